//! `dicom` and `web`: the listeners, with their callers and limits.

use std::net::SocketAddr;

use crate::dicom::KnownCaller;
use crate::site::SectionReader;

/// A listener: its address, its callers and their limits.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    pub address: SocketAddr,
    pub security: ListenerSecurity,
    /// Callers that are accepted; if the list is empty, every caller is.
    pub callers: Vec<KnownCaller>,
    pub any_called_title: bool,
    pub associations_max: Option<usize>,
    pub contexts_max: Option<usize>,
    pub pdu_bytes_max: Option<u32>,
    pub instance_bytes_max: Option<u64>,
    pub idle_time_max: Option<std::time::Duration>,
}

/// The protection of a listener's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerSecurity {
    None,
    /// TLS with a server certificate.
    Tls,
    /// TLS with a client certificate, too.
    Mutual,
}

const SECURITY: [(&str, ListenerSecurity); 3] = [
    ("none", ListenerSecurity::None),
    ("server", ListenerSecurity::Tls),
    ("mutual", ListenerSecurity::Mutual),
];

/// The listener for associations.
pub(super) fn dicom(reader: &mut SectionReader) -> Option<ListenerSettings> {
    let keys = [
        "listen",
        "tls",
        "callers",
        "any_called_title",
        "associations",
        "contexts",
        "pdu",
        "instance",
        "idle_time",
    ];
    reader.known("\"dicom\"", &keys);
    read(reader)
}

/// The listener for STOW-RS.
pub(super) fn web(reader: &mut SectionReader) -> Option<ListenerSettings> {
    reader.known("\"web\"", &["listen", "tls", "callers", "associations", "instance", "idle_time"]);
    read(reader)
}

fn read(reader: &mut SectionReader) -> Option<ListenerSettings> {
    let address = reader.required("listen", |reader| {
        let hint = "for example 127.0.0.1:11112, or 0.0.0.0:11112 for all who can reach this machine";
        reader.value("listen", "an address and a port", hint, |text| text.parse::<SocketAddr>().ok())
    });
    let callers = reader.texts("callers");
    let callers = callers.iter().filter_map(|text| reader.parse::<KnownCaller>(text)).collect();
    let pdu = reader.value("pdu", "a size from 4 KiB to 256 KiB", "for example 128 KiB", |text| {
        crate::yaml::size(text).filter(|bytes| (4 << 10..=256 << 10).contains(bytes))
    });
    Some(ListenerSettings {
        security: reader.choice("tls", &SECURITY).unwrap_or(ListenerSecurity::None),
        callers,
        any_called_title: reader.flag("any_called_title").unwrap_or(false),
        associations_max: reader.count("associations", 1000),
        contexts_max: reader.count("contexts", 128),
        pdu_bytes_max: pdu.map(|bytes| bytes as u32),
        instance_bytes_max: reader.bytes("instance"),
        idle_time_max: reader.duration("idle_time"),
        address: address?,
    })
}
