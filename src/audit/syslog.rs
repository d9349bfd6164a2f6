//! Syslog messages (RFC 5424) that carry an audit message, as PS3.15 A.6 and A.7 require.

use std::time::SystemTime;

use super::message::{AuditMessage, AuditSource, EventOutcome};
use super::record::record;
use super::timestamp::timestamp;

/// The facility "security/authorization messages".
const FACILITY: u8 = 10;
/// The severity "notice: normal but significant condition", usual for audit messages.
const NOTICE: u8 = 5;
const WARNING: u8 = 4;

/// The MSGID of DICOM audit messages (PS3.15 A.6).
const MESSAGE_ID: &str = "DICOM+RFC3881";

/// The byte order mark that a UTF-8 message must begin with (RFC 5424 section 6.4).
const MARK: &str = "\u{feff}";

const HOST_BYTES_MAX: usize = 255;

pub fn syslog(source: &AuditSource, message: &AuditMessage, at: SystemTime) -> String {
    let priority = FACILITY * 8 + severity(message);
    let (time, host, process) = (timestamp(at), header(&source.host), source.process_id);
    let record = record(source, message, at);
    format!("<{priority}>1 {time} {host} flow {process} {MESSAGE_ID} - {MARK}{record}")
}

fn severity(message: &AuditMessage) -> u8 {
    let outcome = match message {
        AuditMessage::Started | AuditMessage::Stopped | AuditMessage::Sending { .. } => {
            &EventOutcome::Success
        }
        AuditMessage::Sent { outcome, .. }
        | AuditMessage::Received { outcome, .. }
        | AuditMessage::Read { outcome, .. }
        | AuditMessage::Queried { outcome, .. }
        | AuditMessage::Imported { outcome, .. }
        | AuditMessage::Exported { outcome, .. }
        | AuditMessage::Alert { outcome, .. } => outcome,
    };
    if *outcome == EventOutcome::Success { NOTICE } else { WARNING }
}

/// A header field: printable ASCII without spaces; `-` for an empty one.
fn header(text: &str) -> String {
    let field: String = text.chars().filter(char::is_ascii_graphic).take(HOST_BYTES_MAX).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}
