//! Syslog messages (RFC 5424) with an audit record inside, as PS3.15 A.6 and A.7 ask for.

use std::time::SystemTime;

use super::message::{Message, Outcome, Source};
use super::record::record;
use super::timestamp::timestamp;

/// Security and authorization messages.
const FACILITY: u8 = 10;
/// Normal but significant; what an audit record usually is.
const NOTICE: u8 = 5;
const WARNING: u8 = 4;

/// Tells the receiver what the message is (PS3.15 A.6).
const MESSAGE_ID: &str = "DICOM+RFC3881";

/// What is text in UTF-8 begins with this mark (RFC 5424 section 6.4).
const MARK: &str = "\u{feff}";

const HOST_BYTES_MAX: usize = 255;

pub fn syslog(source: &Source, message: &Message, at: SystemTime) -> String {
    let priority = FACILITY * 8 + severity(message);
    let (time, host, process) = (timestamp(at), header(&source.host), source.process_id);
    let record = record(source, message, at);
    format!("<{priority}>1 {time} {host} flow {process} {MESSAGE_ID} - {MARK}{record}")
}

fn severity(message: &Message) -> u8 {
    let outcome = match message {
        Message::Started | Message::Stopped | Message::Sending { .. } => &Outcome::Success,
        Message::Sent { outcome, .. }
        | Message::Received { outcome, .. }
        | Message::Read { outcome, .. }
        | Message::Queried { outcome, .. }
        | Message::Imported { outcome, .. }
        | Message::Exported { outcome, .. }
        | Message::Alert { outcome, .. } => outcome,
    };
    if *outcome == Outcome::Success { NOTICE } else { WARNING }
}

/// A field of the header has no spaces and nothing beyond ASCII; `-` says that there is none.
fn header(text: &str) -> String {
    let field: String = text.chars().filter(char::is_ascii_graphic).take(HOST_BYTES_MAX).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}
