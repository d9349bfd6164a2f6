//! The head of a DICOM file (PS3.10 section 7): preamble and file meta group.
//!
//! A received data set is stored behind a head made here, byte for byte as it came; a file to send
//! is split here into what the negotiation needs and the data set. Files without preamble, or without meta
//! information, are read as well, and a data set that is not in the declared syntax as what it is.

use std::ops::Range;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use crate::step::Digest;

use super::encoding::{ElementHead, Encoding, actual_syntax};
use super::reader::{ElementDamage, ElementReader};
use super::uid::UID_BYTES_ACCEPTED_MAX;

/// UIDs of the file meta information, which stands before the data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileHead {
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub transfer_syntax_uid: String,
}

/// Where the mark ends that tells a DICOM file.
pub const MARK_ENDS: u64 = 132;

const PREAMBLE_BYTES: usize = 128;
const MAGIC: &[u8] = b"DICM";

const GROUP_LENGTH: u16 = 0x0000;
const VERSION: u16 = 0x0001;
const SOP_CLASS_UID: u16 = 0x0002;
const SOP_INSTANCE_UID: u16 = 0x0003;
const TRANSFER_SYNTAX_UID: u16 = 0x0010;
const IMPLEMENTATION_CLASS_UID: u16 = 0x0012;
const IMPLEMENTATION_VERSION_NAME: u16 = 0x0013;

/// The beginning of a DICOM file: what comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileBeginning {
    /// The preamble and the mark `DICM`, as PS3.10 has it.
    Preamble,
    /// The file meta information, without a preamble.
    MetaInformation,
    /// The data set, without a head.
    DataSet,
}

impl FileBeginning {
    /// `None` if no DICOM file begins so; [`MARK_ENDS`] bytes are enough to tell.
    pub fn of(bytes: &[u8]) -> Option<FileBeginning> {
        if bytes.get(PREAMBLE_BYTES..PREAMBLE_BYTES + MAGIC.len()) == Some(MAGIC) {
            Some(FileBeginning::Preamble)
        } else if bytes.starts_with(&[2, 0, 0, 0, b'U', b'L', 4, 0]) {
            Some(FileBeginning::MetaInformation)
        } else {
            begins_with_elements(bytes).then_some(FileBeginning::DataSet)
        }
    }
}

/// Whether two elements, the first of them of group 8, stand at the beginning.
fn begins_with_elements(bytes: &[u8]) -> bool {
    let mut reader = ElementReader::new(bytes, Encoding::of(actual_syntax("", bytes)));
    let Some(ElementHead { tag: first, length, .. }) = reader.head() else { return false };
    if first.group() != 8 || first.element() > IDENTITY_ENDS || length > IDENTITY_BYTES_MAX {
        return false;
    }
    let second = reader.take(length as usize).and_then(|_| reader.peek_tag());
    second.is_some_and(|second| second > first && second.group() <= 0x10)
}

/// The first elements of a data set are short, and end with its SOP Instance UID (0008,0018).
const IDENTITY_ENDS: u16 = 0x18;
const IDENTITY_BYTES_MAX: u32 = UID_BYTES_ACCEPTED_MAX as u32;

/// Whether the bytes begin as a DICOM file does.
pub fn is_dicom(bytes: &[u8]) -> bool {
    FileBeginning::of(bytes).is_some()
}

/// Tells the world that a file, or an association, is this program's.
pub const IMPLEMENTATION_VERSION: &str = "FLOW";

pub fn implementation_class_uid() -> String {
    Digest::of(b"flow implementation class").uid()
}

impl FileHead {
    /// The bytes before the data set. No time, host or sender in them: the same instance received
    /// again gives the same file.
    pub fn encode(&self) -> Vec<u8> {
        let implementation = implementation_class_uid();
        let mut group = element(VERSION, b"OB", &[0, 1]);
        for (number, uid) in [
            (SOP_CLASS_UID, &self.sop_class_uid),
            (SOP_INSTANCE_UID, &self.sop_instance_uid),
            (TRANSFER_SYNTAX_UID, &self.transfer_syntax_uid),
            (IMPLEMENTATION_CLASS_UID, &implementation),
        ] {
            group.extend(element(number, b"UI", uid.as_bytes()));
        }
        group.extend(element(IMPLEMENTATION_VERSION_NAME, b"SH", IMPLEMENTATION_VERSION.as_bytes()));

        let mut bytes = vec![0; PREAMBLE_BYTES];
        bytes.extend(MAGIC);
        bytes.extend(element(GROUP_LENGTH, b"UL", &(group.len() as u32).to_le_bytes()));
        bytes.extend(group);
        bytes
    }

    /// Reads the head, and where the data set lies. `None` if this is not a DICOM file or its head
    /// is damaged.
    pub fn decode(bytes: &[u8]) -> Option<(FileHead, Range<usize>)> {
        let FileMeta { head, data_set_begins, damage } = FileMeta::read(bytes)?;
        damage.is_none().then_some((head, data_set_begins..bytes.len()))
    }
}

/// The part of a file before its data set, as far as it can be read.
pub struct FileMeta {
    pub head: FileHead,
    pub data_set_begins: usize,
    /// Where reading had to stop before the data set.
    pub damage: Option<ElementDamage>,
}

impl FileMeta {
    /// `None` if the bytes do not begin as a DICOM file does.
    pub fn read(bytes: &[u8]) -> Option<FileMeta> {
        let begins = match FileBeginning::of(bytes)? {
            FileBeginning::Preamble => PREAMBLE_BYTES + MAGIC.len(),
            FileBeginning::MetaInformation => 0,
            FileBeginning::DataSet => return Some(FileMeta::of_data_set(bytes)),
        };
        let (mut head, mut damage) = (FileHead::default(), None);
        let mut reader = ElementReader::new(&bytes[begins..], Encoding::EXPLICIT);
        while reader.rest().starts_with(&[2, 0]) {
            match reader.element() {
                Ok((Tag(_, GROUP_LENGTH), value)) => damage = damage.or(cut_off(value, reader.rest())),
                Ok((Tag(_, SOP_CLASS_UID), value)) => head.sop_class_uid = text(value),
                Ok((Tag(_, SOP_INSTANCE_UID), value)) => head.sop_instance_uid = text(value),
                Ok((Tag(_, TRANSFER_SYNTAX_UID), value)) => head.transfer_syntax_uid = text(value),
                Ok(_) => {}
                Err(found) => {
                    damage = Some(found);
                    break;
                }
            }
        }
        let data_set_begins = begins + reader.at();
        let declared = head.transfer_syntax_uid.trim_start();
        head.transfer_syntax_uid = actual_syntax(declared, &bytes[data_set_begins..]).to_owned();
        Some(FileMeta { head, data_set_begins, damage })
    }

    /// The head that a data set without one should have.
    fn of_data_set(bytes: &[u8]) -> FileMeta {
        let syntax = actual_syntax("", bytes);
        let mut head = FileHead { transfer_syntax_uid: syntax.to_owned(), ..FileHead::default() };
        let mut reader = ElementReader::new(bytes, Encoding::of(syntax));
        while reader.peek_tag().is_some_and(|tag| tag <= tags::SOP_INSTANCE_UID) {
            match reader.element() {
                Ok((tags::SOP_CLASS_UID, value)) => head.sop_class_uid = text(value),
                Ok((tags::SOP_INSTANCE_UID, value)) => head.sop_instance_uid = text(value),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        FileMeta { head, data_set_begins: 0, damage: None }
    }
}

/// The damage of a group that its length says to be longer than what is left. A length that is too short
/// does no harm: the group is read element by element.
fn cut_off(length: &[u8], left: &[u8]) -> Option<ElementDamage> {
    let declared = u64::from(u32::from_le_bytes(length.try_into().ok()?));
    let element = || "the file meta information".to_owned();
    (declared > left.len() as u64).then(|| ElementDamage { element: element(), declared, left: left.len() })
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches(['\0', ' ']).to_owned()
}

fn element(number: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let padding = value.len() % 2;
    let length = value.len() + padding;
    let mut bytes = vec![2, 0];
    bytes.extend(number.to_le_bytes());
    bytes.extend(vr);
    if vr == b"OB" {
        bytes.extend([0, 0]);
        bytes.extend((length as u32).to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes.extend(std::iter::repeat_n(if vr == b"SH" { b' ' } else { 0 }, padding));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> FileHead {
        FileHead {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: "1.2.3.45".to_owned(),
            transfer_syntax_uid: "1.2.840.10008.1.2.1".to_owned(),
        }
    }

    #[test]
    fn written_and_read() {
        let mut bytes = head().encode();
        let length = bytes.len();
        bytes.extend([8, 0, 5, 0]);
        assert_eq!(FileHead::decode(&bytes), Some((head(), length..length + 4)));
    }

    #[test]
    fn another_reader_agrees() {
        let bytes = head().encode();
        let table = dicom_object::FileMetaTable::from_reader(&bytes[PREAMBLE_BYTES..]).unwrap();
        assert_eq!(table.media_storage_sop_instance_uid(), "1.2.3.45");
        assert_eq!(table.transfer_syntax(), "1.2.840.10008.1.2.1");
        assert_eq!(table.information_group_length as usize, bytes.len() - PREAMBLE_BYTES - 4 - 12);
    }

    #[test]
    fn a_cut_or_forged_head_is_refused() {
        let bytes = head().encode();
        assert_eq!(FileHead::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(FileHead::decode(&bytes[..100]), None);
        let damage = |bytes: &[u8]| FileMeta::read(bytes).unwrap().damage.map(|damage| damage.element);
        assert_eq!(damage(&bytes), None);
        let between_elements = &bytes[..158];
        assert_eq!(damage(between_elements).as_deref(), Some("the file meta information"));
        let mut forged = bytes.clone();
        assert_eq!(forged[148..150], *b"OB");
        forged[152..156].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(FileHead::decode(&forged), None);
    }

    /// Source, sending and receiving presentation addresses, (0002,0026) to (0002,0028), have VR UR.
    #[test]
    fn long_lengths_do_not_shift_the_data_set() {
        for vr in [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"] {
            let mut bytes = head().encode();
            bytes.extend([2, 0, 0x26, 0]);
            bytes.extend(vr);
            bytes.extend([0, 0, 10, 0, 0, 0]);
            bytes.extend(b"http://a/b");
            let length = bytes.len();
            bytes.extend([8, 0, 5, 0]);
            assert_eq!(FileHead::decode(&bytes), Some((head(), length..length + 4)));
        }
    }
}
