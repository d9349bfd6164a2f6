//! The data elements of a DICOM file (PS3.10; PS3.5 section 7) up to its pixels, without copying.
//!
//! No declared length is believed: a value is a slice of the bytes that are there, sequences are
//! stepped over, and reading stops at the first element that does not fit. So a forged file costs no
//! more than its own size. Nested data sets are read only when they are asked for. A file without the `DICM` mark is not
//! taken for DICOM; one that lacks its transfer syntax is read as its first element looks.

use std::borrow::Cow;
use std::io::Read;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::CharacterSet;

/// A deflated data set is inflated up to this size: no CT image is larger, a bomb is.
const INFLATED_BYTES_MOST: u64 = 64 << 20;
/// A data set has some hundred elements. Empty ones have 8 bytes in a file, and 24 here.
const ELEMENTS_MOST: usize = 64 << 10;

/// Longer text, like longer lists, is in no element that is read here: the longest value of a text that the
/// standard bounds has 10 240 characters. Texts are kept for each instance that waits.
const TEXT_BYTES_MOST: usize = 16 << 10;
const TEXTS_MOST: usize = 100;

const PREAMBLE_BYTES: usize = 128;
const UNDEFINED: u32 = u32::MAX;
const DELIMITER_BYTES: usize = 8;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// A file whose meta information has been read.
pub struct Part10<'a> {
    pub transfer_syntax_uid: String,
    encoding: Encoding,
    data: Cow<'a, [u8]>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file is not DICOM")]
pub struct NotDicom;

impl<'a> Part10<'a> {
    /// # Errors
    /// If the bytes lack the mark `DICM` after 128 bytes.
    pub fn open(bytes: &'a [u8]) -> Result<Part10<'a>, NotDicom> {
        let after_preamble = bytes.get(PREAMBLE_BYTES..).ok_or(NotDicom)?;
        let meta = after_preamble.strip_prefix(b"DICM").ok_or(NotDicom)?;
        let mut reader = Reader { bytes: meta, at: 0, encoding: Encoding::EXPLICIT };
        let mut transfer_syntax_uid = String::new();
        while reader.peek_group() == Some(2) {
            let Ok((tag, value)) = reader.element() else { break };
            if tag == tags::TRANSFER_SYNTAX_UID {
                transfer_syntax_uid = ascii(value);
            }
        }
        let data = &meta[reader.at..];
        if transfer_syntax_uid.is_empty() {
            transfer_syntax_uid = guess(data).to_owned();
        }
        let encoding = Encoding::of(&transfer_syntax_uid);
        let data = if transfer_syntax_uid == DEFLATED { inflated(data) } else { Cow::Borrowed(data) };
        Ok(Part10 { transfer_syntax_uid, encoding, data })
    }

    pub fn elements(&self) -> Elements<'_> {
        let mut elements = Elements::of(&self.data, self.encoding, CharacterSet::default());
        elements.character_set = CharacterSet::declared(&ascii(elements.bytes(tags::SPECIFIC_CHARACTER_SET)));
        elements
    }
}

/// The top-level elements before the pixels.
pub struct Elements<'a> {
    encoding: Encoding,
    character_set: CharacterSet,
    values: Vec<(Tag, &'a [u8])>,
    pub pixels: Option<Pixels<'a>>,
    /// Where reading had to stop before the pixels or the end.
    pub damage: Option<Damage>,
}

/// Pixel Data (7FE0,0010) as far as it is there.
#[derive(Clone, Copy)]
pub enum Pixels<'a> {
    Native(Native<'a>),
    /// What follows the element's head: items with the offset table and the fragments.
    Encapsulated(&'a [u8]),
}

/// Pixels as they are: as many of the declared bytes as are there.
#[derive(Clone, Copy)]
pub struct Native<'a> {
    pub declared: usize,
    pub bytes: &'a [u8],
    /// The value's VR counts in words, not in bytes.
    pub words: bool,
    pub big_endian: bool,
}

/// An element that does not fit into the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file is damaged or cut off: {element} declares {declared} bytes, {left} are left")]
pub struct Damage {
    element: String,
    declared: u64,
    left: usize,
}

impl<'a> Elements<'a> {
    fn of(bytes: &'a [u8], encoding: Encoding, character_set: CharacterSet) -> Elements<'a> {
        let mut elements =
            Elements { encoding, character_set, values: Vec::new(), pixels: None, damage: None };
        elements.read(&mut Reader { bytes, at: 0, encoding });
        elements
    }

    fn read(&mut self, reader: &mut Reader<'a>) {
        while reader.at < reader.bytes.len() {
            if reader.peek_tag() == Some(tags::PIXEL_DATA) {
                self.pixels = reader.pixels();
                self.damage = self.pixels.is_none().then(|| reader.damage(tags::PIXEL_DATA, 0));
                return;
            }
            match reader.element() {
                Ok((tag, _)) if self.values.len() == ELEMENTS_MOST => {
                    self.damage = Some(reader.damage(tag, 0));
                    return;
                }
                Ok(element) => self.values.push(element),
                Err(damage) => {
                    self.damage = Some(damage);
                    return;
                }
            }
        }
    }

    /// The text of an element without its padding, its beginning if it is too long; empty where it is absent.
    pub fn text(&self, tag: Tag) -> String {
        let vr = StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
        let bytes = self.bytes(tag);
        let text = self.character_set.decode(vr, &bytes[..bytes.len().min(TEXT_BYTES_MOST)]);
        text.trim_matches([' ', '\0']).to_owned()
    }

    pub fn texts(&self, tag: Tag) -> Vec<String> {
        let text = self.text(tag);
        let texts = text.split('\\').take(if text.is_empty() { 0 } else { TEXTS_MOST });
        texts.map(|one| one.trim().to_owned()).collect()
    }

    /// The first of the numbers written as text (VR DS).
    pub fn decimal(&self, tag: Tag) -> Option<f64> {
        ascii(self.bytes(tag)).split('\\').next().and_then(number)
    }

    /// Exactly `N` numbers written as text.
    pub fn decimals<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        let numbers: Option<Vec<f64>> = ascii(self.bytes(tag)).split('\\').map(number).collect();
        numbers?.try_into().ok()
    }

    /// A whole number written as text (VR IS).
    pub fn integer(&self, tag: Tag) -> Option<i32> {
        ascii(self.bytes(tag)).split('\\').next()?.trim().parse().ok()
    }

    /// A 16-bit number (VR US or SS).
    pub fn short(&self, tag: Tag) -> Option<u16> {
        let bytes = self.bytes(tag).first_chunk::<2>()?;
        Some(if self.encoding.big_endian { u16::from_be_bytes(*bytes) } else { u16::from_le_bytes(*bytes) })
    }

    /// The data sets in the items of a sequence; those behind a damaged one are left out.
    ///
    /// One at a time: an item has 8 bytes in a file, and many times that here.
    pub fn items(&self, tag: Tag) -> impl Iterator<Item = Elements<'a>> {
        let (encoding, character_set) = (self.encoding, self.character_set);
        let mut reader = Reader { bytes: self.bytes(tag), at: 0, encoding };
        let contents = std::iter::from_fn(move || reader.item());
        contents.map(move |content| Elements::of(content, encoding, character_set))
    }

    /// An element's value as it is in the file; empty where it is absent.
    pub fn bytes(&self, tag: Tag) -> &'a [u8] {
        self.values.iter().find(|(other, _)| *other == tag).map_or(&[], |(_, value)| value)
    }
}

/// How elements are written.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Encoding {
    explicit: bool,
    big_endian: bool,
}

impl Encoding {
    const EXPLICIT: Encoding = Encoding { explicit: true, big_endian: false };
    const IMPLICIT: Encoding = Encoding { explicit: false, big_endian: false };

    fn of(transfer_syntax_uid: &str) -> Encoding {
        match transfer_syntax_uid {
            IMPLICIT_LITTLE_ENDIAN => Encoding::IMPLICIT,
            EXPLICIT_BIG_ENDIAN => Encoding { explicit: true, big_endian: true },
            _ => Encoding::EXPLICIT,
        }
    }
}

/// Whether pixels of this transfer syntax are stored as they are, not encapsulated.
pub fn is_native(transfer_syntax_uid: &str) -> bool {
    [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, DEFLATED]
        .contains(&transfer_syntax_uid)
}

/// The head of an element: its tag, whether its value is unknown (VR UN) or words (VR OW), its length.
struct Head {
    tag: Tag,
    unknown: bool,
    words: bool,
    length: u32,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
}

impl<'a> Reader<'a> {
    /// Reads one element; the value of a sequence is its items.
    fn element(&mut self) -> Result<(Tag, &'a [u8]), Damage> {
        let at = self.at;
        let head = self.head().ok_or_else(|| self.damage_at(at))?;
        if head.length == UNDEFINED {
            let start = self.at;
            self.skip_sequence(head.unknown).ok_or_else(|| self.damage(head.tag, UNDEFINED))?;
            return Ok((head.tag, &self.bytes[start..self.at]));
        }
        let value = self.take(head.length as usize).ok_or_else(|| self.damage(head.tag, head.length))?;
        Ok((head.tag, value))
    }

    /// The content of the item that begins here, without its delimiter.
    fn item(&mut self) -> Option<&'a [u8]> {
        let head = self.head().filter(|head| head.tag == ITEM)?;
        if head.length != UNDEFINED {
            return self.take(head.length as usize);
        }
        let start = self.at;
        self.skip_sequence(false)?;
        Some(&self.bytes[start..self.at - DELIMITER_BYTES])
    }

    fn pixels(&mut self) -> Option<Pixels<'a>> {
        let head = self.head()?;
        let rest = &self.bytes[self.at..];
        if head.length == UNDEFINED {
            return Some(Pixels::Encapsulated(rest));
        }
        let declared = head.length as usize;
        let bytes = &rest[..declared.min(rest.len())];
        let big_endian = self.encoding.big_endian;
        Some(Pixels::Native(Native { declared, bytes, words: head.words, big_endian }))
    }

    fn head(&mut self) -> Option<Head> {
        let tag = self.peek_tag()?;
        self.at += 4;
        // Items and delimiters have no VR.
        if !self.encoding.explicit || tag.group() == 0xFFFE {
            return Some(Head { tag, unknown: false, words: true, length: self.u32()? });
        }
        let vr: [u8; 2] = *self.take(2)?.first_chunk()?;
        let length = if has_short_length(vr) {
            u32::from(self.u16()?)
        } else {
            self.take(2)?;
            self.u32()?
        };
        Some(Head { tag, unknown: &vr == b"UN", words: &vr == b"OW", length })
    }

    /// Steps over the items of a sequence of undefined length and whatever is nested in them, by
    /// counting what opens and closes: no recursion that a forged file could drive deep.
    fn skip_sequence(&mut self, unknown: bool) -> Option<()> {
        let outer = self.encoding;
        // PS3.5 6.2.2: inside a UN of undefined length everything is implicit little endian.
        let mut implicit_from = unknown.then_some(1_u64);
        let mut depth = 1_u64;
        while depth > 0 {
            self.encoding = if implicit_from.is_some() { Encoding::IMPLICIT } else { outer };
            let head = self.head()?;
            match head.tag {
                ITEM_END | SEQUENCE_END => depth -= 1,
                _ if head.length == UNDEFINED => {
                    depth += 1;
                    implicit_from = implicit_from.or(head.unknown.then_some(depth));
                }
                _ => {
                    self.take(head.length as usize)?;
                }
            }
            implicit_from = implicit_from.filter(|from| depth >= *from);
        }
        self.encoding = outer;
        Some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = *self.take(2)?.first_chunk()?;
        Some(if self.encoding.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = *self.take(4)?.first_chunk()?;
        Some(if self.encoding.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn peek_tag(&self) -> Option<Tag> {
        let mut ahead = Reader { bytes: self.bytes, at: self.at, encoding: self.encoding };
        Some(Tag(ahead.u16()?, ahead.u16()?))
    }

    fn peek_group(&self) -> Option<u16> {
        self.peek_tag().map(|tag| tag.group())
    }

    fn damage(&self, tag: Tag, length: u32) -> Damage {
        let declared = u64::from(length);
        Damage { element: format!("element {tag}"), declared, left: self.bytes.len().saturating_sub(self.at) }
    }

    fn damage_at(&self, at: usize) -> Damage {
        let left = self.bytes.len() - at;
        Damage { element: format!("the element at byte {at} of the data set"), declared: 8, left }
    }
}

/// VRs whose length has 16 bits (PS3.5 table 7.1-2); all others, also future ones, have 32.
fn has_short_length(vr: [u8; 2]) -> bool {
    const SHORT: [&[u8; 2]; 20] = [
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH",
        b"SL", b"SS", b"ST", b"TM", b"UI", b"UL",
    ];
    &vr == b"US" || SHORT.contains(&&vr)
}

fn guess(data: &[u8]) -> &'static str {
    let vr = data.get(4..6).unwrap_or_default();
    let explicit = vr.len() == 2 && vr.iter().all(u8::is_ascii_uppercase);
    if explicit { EXPLICIT_LITTLE_ENDIAN } else { IMPLICIT_LITTLE_ENDIAN }
}

fn inflated(data: &[u8]) -> Cow<'_, [u8]> {
    let mut inflated = Vec::new();
    let reader = flate2::read::DeflateDecoder::new(data);
    // What cannot be inflated is missing from the end, and is found there.
    let _ = reader.take(INFLATED_BYTES_MOST).read_to_end(&mut inflated);
    Cow::Owned(inflated)
}

fn ascii(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches([' ', '\0']).to_owned()
}

/// A number written as text. Some exporters write a decimal comma, which no list of numbers contains.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let point = if text.contains('.') { None } else { text.split_once(',') };
    let number: Result<f64, _> = match point {
        Some((whole, fraction)) => format!("{whole}.{fraction}").parse(),
        None => text.parse(),
    };
    number.ok().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests;
