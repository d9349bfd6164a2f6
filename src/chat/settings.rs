//! `chat` in a site's file: where it listens, whose tokens it takes, which types it serves, and its limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::calls::check_address;
use crate::site::{BuiltInSection, SectionReader, SectionSettings, SiteSection};
use crate::tls::TlsIdentity;

use super::model_request::SiteModel;

/// Reads `chat`.
struct ChatSection;

inventory::submit! { BuiltInSection(&ChatSection) }

/// The settings of a chat server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatSettings {
    pub address: SocketAddr,
    /// The file of the key of tokens; `None`: one is made in the state folder, for trying.
    pub key: Option<PathBuf>,
    /// The audience that tokens have to name.
    pub audience: Option<String>,
    /// The folder of message types; `None`: those that flow carries.
    pub types: Option<PathBuf>,
    /// Pages from these origins may connect, besides the server's own; `*`: all.
    pub origins: Vec<String>,
    /// The certificate and key, if connections are encrypted.
    pub identity: Option<TlsIdentity>,
    /// The model server that types call `site:`; `None`: the sample server in this process.
    pub model: Option<SiteModel>,
    pub limits: ChatLimits,
}

/// The limits of a chat server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatLimits {
    /// The longest frame from a client, in bytes.
    pub frame_bytes_max: usize,
    /// Messages a second of a device.
    pub rate: usize,
    pub connections_max: usize,
    pub per_address_max: usize,
    /// The time until a client has to say who it is.
    pub hello: Duration,
}

impl Default for ChatSettings {
    fn default() -> ChatSettings {
        ChatSettings {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ChatSettings::PORT),
            key: None,
            audience: None,
            types: None,
            origins: Vec::new(),
            identity: None,
            model: None,
            limits: ChatLimits::default(),
        }
    }
}

impl Default for ChatLimits {
    fn default() -> ChatLimits {
        ChatLimits {
            frame_bytes_max: 64 << 10,
            rate: 20,
            connections_max: 10_000,
            per_address_max: 1_000,
            hello: Duration::from_secs(10),
        }
    }
}

impl ChatSettings {
    /// The port, unless another is given.
    pub const PORT: u16 = 8090;
}

impl SectionSettings for ChatSettings {}

const TLS: [(&str, bool); 2] = [("none", false), ("server", true)];

const KEYS: [&str; 13] = [
    "listen",
    "tls",
    "key",
    "audience",
    "types",
    "origins",
    "model",
    "model_key",
    "frame",
    "rate",
    "connections",
    "connections_per_address",
    "hello",
];

const FRAME_BYTES_LIMIT: u64 = 16 << 20;
const COUNT_LIMIT: usize = 1_000_000;

impl SiteSection for ChatSection {
    fn keys(&self) -> &'static [&'static str] {
        &["chat"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        Box::new(reader.section("chat", chat).unwrap_or_default())
    }
}

fn chat(reader: &mut SectionReader) -> ChatSettings {
    reader.known("\"chat\"", &KEYS);
    let usual = ChatSettings::default();
    let address = reader.listen_address("listen").unwrap_or(usual.address);
    let is_encrypted = reader.choice("tls", &TLS).unwrap_or(false);
    let identity = reader.context().identity.clone().filter(|_| is_encrypted);
    if is_encrypted && identity.is_none() {
        reader.wrong(
            "it is to be encrypted, and there is no certificate of ours",
            "add tls: {certificate: FILE, key: FILE}",
        );
    }
    let key = reader.path("key");
    if key.is_none() && !address.ip().is_loopback() {
        reader.wrong(
            "a key that is made here is for trying on this machine alone",
            "add key: FILE, with which tokens are signed",
        );
    }
    let origins = reader.texts("origins");
    for origin in &origins {
        let is_origin = origin.value == "*" || origin.value.contains("://") && !origin.value.ends_with('/');
        if !is_origin {
            let message = format!("\"{}\" is no origin", origin.value);
            let hint = "write it as browsers do, https://HOST, or '*' for all".to_owned();
            reader.wrong_at(origin.place, message, Some(hint));
        }
    }
    ChatSettings {
        address,
        key,
        audience: reader.text("audience").map(|text| text.value),
        types: reader.path("types"),
        origins: origins.into_iter().map(|origin| origin.value).collect(),
        identity,
        model: model(reader),
        limits: limits(reader),
    }
}

/// `model: URL`, with `model_key: FILE`.
fn model(reader: &mut SectionReader) -> Option<SiteModel> {
    let key_file = reader.path("model_key");
    let Some(url) = reader.text("model") else {
        if key_file.is_some() {
            reader.wrong("there is a key and no model server", "add model: URL");
        }
        return None;
    };
    if let Err(wrong) = check_address(&url.value) {
        let message = format!("\"{}\" is no address of a model server: {wrong}", url.value);
        reader.wrong_at(url.place, message, Some("write it as http://127.0.0.1:8000".to_owned()));
    }
    Some(SiteModel { url: url.value, key_file })
}

fn limits(reader: &mut SectionReader) -> ChatLimits {
    let usual = ChatLimits::default();
    let frame = reader.bytes("frame").map(|bytes| bytes.min(FRAME_BYTES_LIMIT));
    ChatLimits {
        frame_bytes_max: frame.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usual.frame_bytes_max),
        rate: reader.count("rate", COUNT_LIMIT).unwrap_or(usual.rate),
        connections_max: reader.count("connections", COUNT_LIMIT).unwrap_or(usual.connections_max),
        per_address_max: reader
            .count("connections_per_address", COUNT_LIMIT)
            .unwrap_or(usual.per_address_max),
        hello: reader.duration("hello").unwrap_or(usual.hello),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::Site;

    fn read(text: &str) -> Result<ChatSettings, String> {
        let site = Site::parse("site.yaml", text, Path::new("/site"), &[&ChatSection]);
        let site = site.map_err(|problems| problems.to_string())?;
        Ok(site.section::<ChatSettings>().cloned().unwrap_or_default())
    }

    #[test]
    fn settings_are_read_and_others_are_as_usual() {
        assert_eq!(read("state: s\n").unwrap(), ChatSettings::default());
        let text = "chat:\n  listen: 0\n  key: k\n  audience: flow\n  types: t\n  origins: ['https://clinic.example']\n  \
                    frame: 1 KiB\n  rate: 5\n  hello: 1 s\n  connections_per_address: 7\n  \
                    model: 'http://127.0.0.1:1'\n  model_key: m\n";
        let settings = read(text).unwrap();
        assert_eq!(settings.address, "127.0.0.1:0".parse().unwrap());
        assert_eq!(settings.types, Some("/site/t".into()));
        assert_eq!(settings.audience.as_deref(), Some("flow"));
        let ChatLimits { frame_bytes_max, rate, per_address_max, hello, .. } = settings.limits;
        assert_eq!((frame_bytes_max, rate, per_address_max), (1024, 5, 7));
        assert_eq!(hello, Duration::from_secs(1));
        let model = SiteModel { url: "http://127.0.0.1:1".to_owned(), key_file: Some("/site/m".into()) };
        assert_eq!(settings.model, Some(model));
    }

    #[test]
    fn what_is_open_to_others_needs_a_key() {
        assert!(read("chat: {listen: '0.0.0.0:1'}\n").unwrap_err().contains("add key: FILE"));
        assert!(read("chat: {listen: '0.0.0.0:1', key: k}\n").is_ok());
        assert!(read("chat: {tls: server}\n").unwrap_err().contains("no certificate of ours"));
        assert!(read("chat: {origins: [clinic.example]}\n").unwrap_err().contains("is no origin"));
    }
}
