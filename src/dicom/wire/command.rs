//! DIMSE command sets (PS3.7 annex E): group 0000, implicit VR little endian.
//!
//! A peer's lengths are not trusted: no memory is allocated beyond the bytes that were received.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::dicom::names::status::DimseStatus;
use crate::dicom_file::encoding::Encoding;
use crate::dicom_file::reader::ElementReader;

/// A command set: the values by element number in group 0000, without the group length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dicom) struct CommandSet(BTreeMap<u16, Vec<u8>>);

/// The most bytes a peer's command set may have. A real one has about 150.
pub(in crate::dicom) const COMMAND_BYTES_MAX: usize = 16 << 10;

pub(in crate::dicom) const C_STORE: u16 = 0x0001;
pub(in crate::dicom) const C_ECHO: u16 = 0x0030;
const C_GET: u16 = 0x0010;
const C_FIND: u16 = 0x0020;
const C_MOVE: u16 = 0x0021;
pub(in crate::dicom) const N_EVENT_REPORT: u16 = 0x0100;
pub(in crate::dicom) const N_ACTION: u16 = 0x0130;
const C_CANCEL: u16 = 0x0FFF;
const RESPONSE: u16 = 0x8000;
const NO_DATA_SET: u16 = 0x0101;

const GROUP_LENGTH: u16 = 0x0000;
const SOP_CLASS_UID: u16 = 0x0002;
const REQUESTED_SOP_CLASS_UID: u16 = 0x0003;
const FIELD: u16 = 0x0100;
const MESSAGE_ID: u16 = 0x0110;
const ANSWERED_MESSAGE_ID: u16 = 0x0120;
const MOVE_DESTINATION: u16 = 0x0600;
const PRIORITY: u16 = 0x0700;
const DATA_SET_TYPE: u16 = 0x0800;
const STATUS: u16 = 0x0900;
const COMMENT: u16 = 0x0902;
const SOP_INSTANCE_UID: u16 = 0x1000;
const REQUESTED_SOP_INSTANCE_UID: u16 = 0x1001;
const EVENT_TYPE: u16 = 0x1002;
const ACTION_TYPE: u16 = 0x1008;
const COMPLETED_SUBOPERATIONS: u16 = 0x1021;
const FAILED_SUBOPERATIONS: u16 = 0x1022;
const WARNING_SUBOPERATIONS: u16 = 0x1023;

/// Whether more answers to the same request follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum PendingResponses {
    More,
    Last,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command set is damaged: {0}")]
pub(in crate::dicom) struct CommandSetError(&'static str);

impl CommandSet {
    pub fn echo(message_id: u16) -> CommandSet {
        let verification = dicom_dictionary_std::uids::VERIFICATION;
        CommandSet::request(C_ECHO, message_id, verification).with_number(DATA_SET_TYPE, NO_DATA_SET)
    }

    pub fn store(message_id: u16, sop_class_uid: &str, sop_instance_uid: &str) -> CommandSet {
        CommandSet::request(C_STORE, message_id, sop_class_uid)
            .with_number(PRIORITY, 0)
            .with_number(DATA_SET_TYPE, 0)
            .with_text(SOP_INSTANCE_UID, sop_instance_uid, 0)
    }

    pub fn find(message_id: u16, model: &str) -> CommandSet {
        CommandSet::request(C_FIND, message_id, model).with_number(PRIORITY, 0).with_number(DATA_SET_TYPE, 0)
    }

    pub fn get(message_id: u16, model: &str) -> CommandSet {
        CommandSet::request(C_GET, message_id, model).with_number(PRIORITY, 0).with_number(DATA_SET_TYPE, 0)
    }

    /// A C-MOVE request to send to the node with this AE title.
    pub fn move_to(message_id: u16, model: &str, ae_title: &str) -> CommandSet {
        let asked = CommandSet::request(C_MOVE, message_id, model).with_number(PRIORITY, 0);
        asked.with_number(DATA_SET_TYPE, 0).with_text(MOVE_DESTINATION, ae_title, b' ')
    }

    /// An N-ACTION request on a well-known instance.
    pub fn action(message_id: u16, sop_class_uid: &str, sop_instance_uid: &str, kind: u16) -> CommandSet {
        CommandSet::default()
            .with_number(FIELD, N_ACTION)
            .with_number(MESSAGE_ID, message_id)
            .with_number(DATA_SET_TYPE, 0)
            .with_text(REQUESTED_SOP_CLASS_UID, sop_class_uid, 0)
            .with_text(REQUESTED_SOP_INSTANCE_UID, sop_instance_uid, 0)
            .with_number(ACTION_TYPE, kind)
    }

    /// An N-EVENT-REPORT request about a well-known instance.
    pub fn event(message_id: u16, sop_class_uid: &str, sop_instance_uid: &str, kind: u16) -> CommandSet {
        CommandSet::request(N_EVENT_REPORT, message_id, sop_class_uid)
            .with_number(DATA_SET_TYPE, 0)
            .with_text(SOP_INSTANCE_UID, sop_instance_uid, 0)
            .with_number(EVENT_TYPE, kind)
    }

    /// The C-CANCEL request for this request.
    pub fn cancel(&self) -> CommandSet {
        CommandSet::default()
            .with_number(FIELD, C_CANCEL)
            .with_number(ANSWERED_MESSAGE_ID, self.message_id())
            .with_number(DATA_SET_TYPE, NO_DATA_SET)
    }

    fn request(field: u16, message_id: u16, sop_class_uid: &str) -> CommandSet {
        CommandSet::default().with_number(FIELD, field).with_number(MESSAGE_ID, message_id).with_text(
            SOP_CLASS_UID,
            sop_class_uid,
            0,
        )
    }

    /// The response to this request. `comment` is cut to the 64 characters that the standard allows.
    pub fn answer(&self, status: DimseStatus, comment: &str) -> CommandSet {
        let comment: String = comment.chars().filter(char::is_ascii).take(64).collect();
        let mut answer = CommandSet::default()
            .with_number(FIELD, self.field() | RESPONSE)
            .with_number(ANSWERED_MESSAGE_ID, self.message_id())
            .with_number(DATA_SET_TYPE, NO_DATA_SET)
            .with_number(STATUS, status.0);
        // The requested SOP instance of an N-ACTION is the affected one of its response (PS3.7 10.3.4).
        let copied = [
            (SOP_CLASS_UID, SOP_CLASS_UID),
            (REQUESTED_SOP_CLASS_UID, SOP_CLASS_UID),
            (SOP_INSTANCE_UID, SOP_INSTANCE_UID),
            (REQUESTED_SOP_INSTANCE_UID, SOP_INSTANCE_UID),
            (ACTION_TYPE, ACTION_TYPE),
            (EVENT_TYPE, EVENT_TYPE),
        ];
        for (asked, answered) in copied {
            if let Some(value) = self.0.get(&asked) {
                answer.0.insert(answered, value.clone());
            }
        }
        if comment.is_empty() { answer } else { answer.with_text(COMMENT, &comment, b' ') }
    }

    pub fn field(&self) -> u16 {
        self.number(FIELD).unwrap_or(0)
    }

    pub fn message_id(&self) -> u16 {
        self.number(MESSAGE_ID).unwrap_or(0)
    }

    /// Whether a response is due: not for a response, nor for a cancel request.
    pub fn is_question(&self) -> bool {
        self.field() & RESPONSE == 0 && self.field() != C_CANCEL
    }

    /// Affected SOP Class UID, or else the requested one.
    pub fn sop_class_uid(&self) -> &str {
        match self.text(SOP_CLASS_UID) {
            "" => self.text(REQUESTED_SOP_CLASS_UID),
            uid => uid,
        }
    }

    pub fn sop_instance_uid(&self) -> &str {
        self.text(SOP_INSTANCE_UID)
    }

    /// The error comment. The standard allows ASCII; some peers write in their own language, as UTF-8 or as
    /// Latin-1.
    pub fn comment(&self) -> Cow<'_, str> {
        let value = self.value(COMMENT);
        let text = str::from_utf8(value)
            .map_or_else(|_| Cow::Owned(value.iter().copied().map(char::from).collect()), Cow::Borrowed);
        match text {
            Cow::Borrowed(text) => Cow::Borrowed(trimmed(text)),
            Cow::Owned(text) => Cow::Owned(trimmed(&text).to_owned()),
        }
    }

    pub fn has_data_set(&self) -> bool {
        self.number(DATA_SET_TYPE).is_some_and(|kind| kind != NO_DATA_SET)
    }

    pub fn answers(&self, request: &CommandSet) -> bool {
        self.field() == request.field() | RESPONSE
            && self.number(ANSWERED_MESSAGE_ID) == Some(request.message_id())
    }

    /// The status, if this is the response to `request`.
    pub fn status_for(&self, request: &CommandSet) -> Option<DimseStatus> {
        self.number(STATUS).filter(|_| self.answers(request)).map(DimseStatus)
    }

    /// The numbers of completed, failed and warning sub-operations of a move or get.
    pub fn suboperations(&self) -> [Option<u16>; 3] {
        [COMPLETED_SUBOPERATIONS, FAILED_SUBOPERATIONS, WARNING_SUBOPERATIONS]
            .map(|element| self.number(element))
    }

    pub fn decode(bytes: &[u8]) -> Result<CommandSet, CommandSetError> {
        let mut command = CommandSet::default();
        let mut reader = ElementReader::new(bytes, Encoding::IMPLICIT);
        while !reader.is_at_end() {
            let head = reader.head().ok_or(CommandSetError("a tag is cut off"))?;
            let value = reader.take(head.length as usize).ok_or(CommandSetError("a value is cut off"))?;
            // DCMTK puts the list of what it could not send (0008,0058) behind the command of its answer.
            if head.tag.group() == 0 {
                command.0.insert(head.tag.element(), value.to_vec());
            }
        }
        command.0.remove(&GROUP_LENGTH);
        command.number(FIELD).map(|_| command).ok_or(CommandSetError("there is no command field"))
    }

    pub fn encode(&self) -> Vec<u8> {
        let elements: Vec<u8> = self.0.iter().flat_map(|(number, value)| element(*number, value)).collect();
        let mut bytes = element(GROUP_LENGTH, &(elements.len() as u32).to_le_bytes());
        bytes.extend(elements);
        bytes
    }

    fn number(&self, element: u16) -> Option<u16> {
        let value: [u8; 2] = self.0.get(&element)?.as_slice().try_into().ok()?;
        Some(u16::from_le_bytes(value))
    }

    fn text(&self, element: u16) -> &str {
        trimmed(str::from_utf8(self.value(element)).unwrap_or(""))
    }

    fn value(&self, element: u16) -> &[u8] {
        self.0.get(&element).map_or(&[], Vec::as_slice)
    }

    fn with_number(mut self, element: u16, number: u16) -> CommandSet {
        self.0.insert(element, number.to_le_bytes().to_vec());
        self
    }

    fn with_text(mut self, element: u16, text: &str, padding: u8) -> CommandSet {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(padding);
        }
        self.0.insert(element, value);
        self
    }
}

fn element(number: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(number.to_le_bytes());
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value);
    bytes
}

fn trimmed(text: &str) -> &str {
    text.trim_end_matches(['\0', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_its_answer_survive_the_wire() {
        let request = CommandSet::store(7, "1.2.840.10008.5.1.4.1.1.2", "1.2.3");
        let read = CommandSet::decode(&request.encode()).unwrap();
        assert_eq!(read, request);
        assert_eq!((read.sop_class_uid(), read.sop_instance_uid()), ("1.2.840.10008.5.1.4.1.1.2", "1.2.3"));
        assert!(read.has_data_set());
        let answer =
            CommandSet::decode(&read.answer(DimseStatus::CANNOT_UNDERSTAND, "no study").encode()).unwrap();
        assert_eq!(answer.status_for(&request), Some(DimseStatus::CANNOT_UNDERSTAND));
        assert_eq!(answer.status_for(&CommandSet::store(8, "1.2", "1.2.3")), None);
        assert_eq!(answer.comment(), "no study");
        let foreign = CommandSet([(COMMENT, b"Gr\xf6\xdfe \0".to_vec())].into());
        assert_eq!(foreign.comment(), "Größe");
        assert!(!answer.has_data_set());
    }

    #[test]
    fn damage_is_told_and_nothing_is_allocated_for_it() {
        let good = CommandSet::echo(1).encode();
        for length in 0..good.len() {
            // Only a cut between two elements leaves a command, and then one of these bytes alone.
            if let Ok(command) = CommandSet::decode(&good[..length]) {
                assert_eq!(command.encode()[12..], good[12..length]);
            }
        }
        let mut forged = good.clone();
        forged[12 + 4..12 + 8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(CommandSet::decode(&forged), Err(CommandSetError("a value is cut off")));
        assert_eq!(
            CommandSet::decode(&[8, 0, 0, 0, 0, 0, 0, 0]),
            Err(CommandSetError("there is no command field"))
        );
    }

    #[test]
    fn elements_that_are_no_command_are_passed_over() {
        let mut bytes = CommandSet::get(1, "1.2.840.10008.5.1.4.1.2.2.3").encode();
        let command = CommandSet::decode(&bytes).unwrap();
        bytes.extend([8, 0, 0, 0, 4, 0, 0, 0, 12, 0, 0, 0, 8, 0, 0x58, 0, 4, 0, 0, 0]);
        bytes.extend(b"1.22");
        assert_eq!(CommandSet::decode(&bytes), Ok(command));
    }
}
