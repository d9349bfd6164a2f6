//! `audit`: the audit record repository to which flow reports who did what.

use super::SectionReader;

/// An audit record repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    pub transport: AuditProtocol,
    /// `host:port`.
    pub address: String,
    /// The most bytes that are kept while the repository cannot be reached.
    pub spool_bytes_max: Option<u64>,
}

/// The transport of audit messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditProtocol {
    Udp,
    Tcp,
    Tls,
}

const TRANSPORTS: [(&str, AuditProtocol); 3] =
    [("udp", AuditProtocol::Udp), ("tcp", AuditProtocol::Tcp), ("tls", AuditProtocol::Tls)];

pub(super) fn read(reader: &mut SectionReader) -> Option<AuditSettings> {
    reader.known("\"audit\"", &["server", "spool"]);
    let hint = "write udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT";
    let server = reader.required("server", |reader| reader.value("server", "an address", hint, server));
    let spool_bytes_max = reader.bytes("spool");
    let (transport, address) = server?;
    Some(AuditSettings { transport, address, spool_bytes_max })
}

fn server(text: &str) -> Option<(AuditProtocol, String)> {
    let (scheme, address) = text.split_once("://")?;
    let (_, transport) = TRANSPORTS.into_iter().find(|(name, _)| *name == scheme)?;
    let (host, port) = address.rsplit_once(':')?;
    let is_bare = !host.contains(['/', '@', ':', ' ']) || host.starts_with('[') && host.ends_with(']');
    let sound = !host.is_empty() && is_bare && port.parse::<u16>().is_ok_and(|port| port > 0);
    sound.then(|| (transport, address.to_owned()))
}
