//! How a transfer syntax writes elements (PS3.5 annex A), and what begins one.

use dicom_core::Tag;

use super::representation::is_short;

pub const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
pub const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// Retired, and still met.
pub const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// The length of a value that ends with a delimiter.
pub const UNDEFINED: u32 = u32::MAX;
pub const ITEM: Tag = Tag(0xFFFE, 0xE000);
pub const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
pub const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Whether each element says its value representation.
    pub explicit: bool,
    pub big_endian: bool,
}

impl Encoding {
    pub const EXPLICIT: Encoding = Encoding { explicit: true, big_endian: false };
    pub const IMPLICIT: Encoding = Encoding { explicit: false, big_endian: false };

    /// The encoding of a transfer syntax; every one that is not named here is explicit little endian.
    pub fn of(transfer_syntax_uid: &str) -> Encoding {
        match transfer_syntax_uid {
            IMPLICIT_LITTLE_ENDIAN => Encoding::IMPLICIT,
            EXPLICIT_BIG_ENDIAN => Encoding { explicit: true, big_endian: true },
            _ => Encoding::EXPLICIT,
        }
    }

    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// The transfer syntax of a data set that begins with these bytes, where another one was declared, or none:
/// some writers declare explicit elements and write implicit ones, or the other way round.
pub fn actual_syntax<'a>(declared: &'a str, begins: &[u8]) -> &'a str {
    let Some(&[_, _, _, _, v, r, _, _]) = begins.first_chunk() else {
        return if declared.is_empty() { IMPLICIT_LITTLE_ENDIAN } else { declared };
    };
    // The length of a first element is short: its first two bytes are not letters.
    match ([v, r].iter().all(u8::is_ascii_uppercase), declared) {
        (true, IMPLICIT_LITTLE_ENDIAN | "") => EXPLICIT_LITTLE_ENDIAN,
        (false, EXPLICIT_LITTLE_ENDIAN | "") => IMPLICIT_LITTLE_ENDIAN,
        _ => declared,
    }
}

/// Whether pixels of this transfer syntax are stored as they are, not encapsulated.
pub fn is_native(transfer_syntax_uid: &str) -> bool {
    [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, DEFLATED]
        .contains(&transfer_syntax_uid)
}

/// The head of an element, which stands before its value, or the beginning or end of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementHead {
    pub tag: Tag,
    /// The value representation, where it is said.
    pub vr: Option<[u8; 2]>,
    pub length: u32,
}

impl ElementHead {
    /// Reads a head; `fill` gives the bytes that come next, from wherever they come.
    ///
    /// # Errors
    /// Errors of `fill`.
    pub fn read<E>(
        encoding: Encoding,
        mut fill: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<ElementHead, E> {
        let (mut two, mut other, mut four) = ([0; 2], [0; 2], [0; 4]);
        fill(&mut two)?;
        fill(&mut other)?;
        let tag = Tag(encoding.u16(two), encoding.u16(other));
        // Items and delimiters have no value representation.
        if !encoding.explicit || tag.group() == ITEM.group() {
            fill(&mut four)?;
            return Ok(ElementHead { tag, vr: None, length: encoding.u32(four) });
        }
        fill(&mut two)?;
        fill(&mut other)?;
        if is_short(two) {
            return Ok(ElementHead { tag, vr: Some(two), length: u32::from(encoding.u16(other)) });
        }
        fill(&mut four)?;
        Ok(ElementHead { tag, vr: Some(two), length: encoding.u32(four) })
    }

    /// Whether the value's representation is said to be unknown.
    pub fn is_unknown(&self) -> bool {
        self.vr == Some(*b"UN")
    }

    /// Whether the value is of words: said so, or by default.
    pub fn has_words(&self) -> bool {
        self.vr.is_none_or(|vr| &vr == b"OW")
    }
}
