//! Socket.IO packets (protocol version 5), of the namespace `/`: what a client emits, and what is emitted to it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::names::{ID_BYTES_MAX, name_problem};
use super::outgoing::Outgoing;
use super::token::ChatMember;

/// A packet of a client, without the Engine.IO type before it.
#[derive(Debug, PartialEq)]
pub enum SocketPacket {
    Connect {
        namespace: String,
        auth: Value,
    },
    Disconnect,
    /// An event, with the number under which the client waits for an acknowledgement.
    Event {
        name: String,
        arguments: Vec<Value>,
        ack: Option<u64>,
    },
    /// An event that has half of a surrogate pair in a text: JavaScript writes it so, and it stands for no character.
    Halved {
        /// The id of the message in it.
        id: Option<String>,
        ack: Option<u64>,
    },
    /// An acknowledgement; we ask for none.
    Acknowledgement,
}

/// The `auth` of a client that connects.
#[derive(Debug, Default, Deserialize)]
pub struct ConnectAuth {
    pub token: String,
    #[serde(default)]
    pub seen: HashMap<String, u64>,
}

const MAIN: &str = "/";

impl SocketPacket {
    /// Reads a packet; `None` if it is none, or a binary one.
    pub fn read(text: &str) -> Option<SocketPacket> {
        let (kind, rest) = text.split_at_checked(1)?;
        let (namespace, rest) = match rest.strip_prefix('/') {
            None => (MAIN.to_owned(), rest),
            Some(named) => match named.split_once(',') {
                Some((name, rest)) => (format!("/{name}"), rest),
                None => (format!("/{named}"), ""),
            },
        };
        match kind {
            "0" => {
                let auth = if rest.is_empty() { Value::Null } else { serde_json::from_str(rest).ok()? };
                Some(SocketPacket::Connect { namespace, auth })
            }
            "1" => Some(SocketPacket::Disconnect),
            "2" if namespace == MAIN => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let (ack, rest) = rest.split_at(digits);
                let ack = if ack.is_empty() { None } else { Some(ack.parse().ok()?) };
                let Ok(mut parts) = serde_json::from_str::<Vec<Value>>(rest) else {
                    return halved(rest, ack);
                };
                let name = if parts.is_empty() { Value::Null } else { parts.remove(0) };
                let Value::String(name) = name else { return None };
                Some(SocketPacket::Event { name, arguments: parts, ack })
            }
            "3" => Some(SocketPacket::Acknowledgement),
            _ => None,
        }
    }
}

/// An event that can be read but for halves of surrogate pairs.
fn halved(arguments: &str, ack: Option<u64>) -> Option<SocketPacket> {
    let parts: Vec<Value> = serde_json::from_str(&without_halves(arguments)).ok()?;
    let id = parts.get(1).and_then(|message| message["id"].as_str());
    let id = id.filter(|id| name_problem(id, ID_BYTES_MAX).is_none()).map(str::to_owned);
    Some(SocketPacket::Halved { id, ack })
}

/// JSON with the replacement character for each escaped half of a surrogate pair without the other one (RFC 8259, 8.2).
fn without_halves(json: &str) -> String {
    let escaped = |text: &str| match text.as_bytes() {
        [b'\\', b'u', _, _, _, _, ..] => {
            text.get(2..6).and_then(|digits| u16::from_str_radix(digits, 16).ok())
        }
        _ => None,
    };
    let (mut whole, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(begin) = rest.find('\\') {
        whole.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let bytes = match escaped(rest) {
            Some(0xd800..=0xdbff) if matches!(escaped(&rest[6..]), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                whole.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
            None => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        whole.push_str(&rest[..bytes]);
        rest = &rest[bytes..];
    }
    whole + rest
}

/// The packets of the server, with the Engine.IO type `4` for a message.
pub fn connected(session: &str) -> String {
    format!("40{}", json!({"sid": session}))
}

pub fn connect_error(namespace: &str, reason: &str) -> String {
    let prefix = if namespace == MAIN { String::new() } else { format!("{namespace},") };
    format!("44{prefix}{}", json!({"message": reason}))
}

pub fn disconnected() -> String {
    "41".to_owned()
}

/// An event with an object.
pub fn emitted(name: &str, object: &str) -> String {
    format!("42[\"{name}\",{object}]")
}

/// The packet of what goes to a device, as the acknowledgement that it waits for or as an event.
pub fn packet(outgoing: &Outgoing, member: Option<&ChatMember>) -> String {
    match outgoing.ack() {
        Some(ack) => format!("43{ack}[{}]", outgoing.frame(member)),
        None => emitted(outgoing.name(), &outgoing.object(member)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read() {
        let connect =
            |namespace: &str, auth: Value| SocketPacket::Connect { namespace: namespace.into(), auth };
        let event = |ack| SocketPacket::Event { name: "send".into(), arguments: vec![json!({"a": 1})], ack };
        for (text, packet) in [
            ("0", Some(connect("/", Value::Null))),
            ("0{\"token\":\"t\"}", Some(connect("/", json!({"token": "t"})))),
            ("0/admin,{\"a\":1}", Some(connect("/admin", json!({"a": 1})))),
            ("0/admin", Some(connect("/admin", Value::Null))),
            ("1", Some(SocketPacket::Disconnect)),
            ("2[\"send\",{\"a\":1}]", Some(event(None))),
            ("217[\"send\",{\"a\":1}]", Some(event(Some(17)))),
            ("2/admin,[\"send\"]", None),
            ("2[]", None),
            ("2[1]", None),
            ("2", None),
            ("299999999999999999999[\"send\"]", None),
            ("31[]", Some(SocketPacket::Acknowledgement)),
            ("51-[\"send\",{\"_placeholder\":true,\"num\":0}]", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(SocketPacket::read(text), packet, "{text}");
        }
    }

    #[test]
    fn an_event_with_half_of_a_pair_is_known_with_its_id() {
        let halved = |id: Option<&str>, ack| Some(SocketPacket::Halved { id: id.map(str::to_owned), ack });
        let read = |text: &str| SocketPacket::read(text);
        assert_eq!(read(r#"23["send",{"id":"m","text":"a\ud83d"}]"#), halved(Some("m"), Some(3)));
        assert_eq!(read(r#"2["send",{"id":"\udc00","text":""}]"#), halved(Some("\u{fffd}"), None));
        assert_eq!(read(r#"2["send",{"text":"\ud83d\ud83d\ude00"}]"#), halved(None, None));
        assert_eq!(read(r#"2["send",{"text":"\ud83d""#), None, "it is no JSON");
        let whole = r#"["\ud83d\ude00 \\ud83d \n \u00e9é\"]"#;
        assert_eq!(without_halves(whole), whole);
        assert_eq!(without_halves("\\"), "\\");
        assert_eq!(without_halves(r#""\udc00\ud800x\ud800\u0041""#), r#""\ufffd\ufffdx\ufffd\u0041""#);
    }

    #[test]
    fn packets_are_written() {
        let accepted = |ack| Outgoing::Accepted { id: "m".to_owned(), ack };
        assert_eq!(packet(&accepted(Some(3)), None), "433[{\"accepted\":{\"id\":\"m\"}}]");
        assert_eq!(packet(&accepted(None), None), "42[\"accepted\",{\"id\":\"m\"}]");
        assert_eq!(connect_error("/a", "no"), "44/a,{\"message\":\"no\"}");
        assert_eq!(connected("s"), "40{\"sid\":\"s\"}");
    }
}
