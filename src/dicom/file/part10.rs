//! The head of a DICOM file (PS3.10 section 7): preamble and file meta group.
//!
//! A received data set is stored behind a head made here, byte for byte as it came; a file to send
//! is split here into what the negotiation needs and the data set.

use std::ops::Range;

use crate::step::Digest;

/// What stands before the data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dicom) struct Head {
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub transfer_syntax_uid: String,
}

/// Where the mark ends that tells a DICOM file.
pub(in crate::dicom) const MARK_ENDS: u64 = 132;

const PREAMBLE_BYTES: usize = 128;
const MAGIC: &[u8] = b"DICM";

const GROUP_LENGTH: u16 = 0x0000;
const VERSION: u16 = 0x0001;
const SOP_CLASS_UID: u16 = 0x0002;
const SOP_INSTANCE_UID: u16 = 0x0003;
const TRANSFER_SYNTAX_UID: u16 = 0x0010;
const IMPLEMENTATION_CLASS_UID: u16 = 0x0012;
const IMPLEMENTATION_VERSION_NAME: u16 = 0x0013;

/// Whether the bytes begin as a DICOM file does.
pub(in crate::dicom) fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(PREAMBLE_BYTES..PREAMBLE_BYTES + MAGIC.len()) == Some(MAGIC)
}

/// Tells the world that a file, or an association, is this program's.
pub(in crate::dicom) const IMPLEMENTATION_VERSION: &str = "FLOW";

pub(in crate::dicom) fn implementation_class_uid() -> String {
    Digest::of(b"flow implementation class").uid()
}

impl Head {
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
    pub fn decode(bytes: &[u8]) -> Option<(Head, Range<usize>)> {
        if !is_dicom(bytes) {
            return None;
        }
        let mut head = Head::default();
        let mut at = PREAMBLE_BYTES + MAGIC.len();
        while bytes.get(at..at + 2) == Some(&[2, 0]) {
            let number = u16::from_le_bytes(array(bytes, at + 2)?);
            let value = value_range(bytes, at + 4)?;
            let text = || text(&bytes[value.clone()]);
            match number {
                SOP_CLASS_UID => head.sop_class_uid = text(),
                SOP_INSTANCE_UID => head.sop_instance_uid = text(),
                TRANSFER_SYNTAX_UID => head.transfer_syntax_uid = text(),
                _ => {}
            }
            at = value.end;
        }
        Some((head, at..bytes.len()))
    }
}

/// Where the value lies whose VR stands at `at`, explicit VR little endian.
fn value_range(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let long = matches!(bytes.get(at..at + 2)?, b"OB" | b"OW" | b"OF" | b"SQ" | b"UN" | b"UT");
    let (start, length) = if long {
        (at + 8, u32::from_le_bytes(array(bytes, at + 4)?) as usize)
    } else {
        (at + 4, usize::from(u16::from_le_bytes(array(bytes, at + 2)?)))
    };
    let end = start.checked_add(length)?;
    (end <= bytes.len()).then_some(start..end)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
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

    fn head() -> Head {
        Head {
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
        assert_eq!(Head::decode(&bytes), Some((head(), length..length + 4)));
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
        assert_eq!(Head::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Head::decode(&bytes[..100]), None);
        let mut forged = bytes.clone();
        assert_eq!(forged[148..150], *b"OB");
        forged[152..156].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Head::decode(&forged), None);
    }
}
