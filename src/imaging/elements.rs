//! The data elements of a DICOM file (PS3.10; PS3.5 section 7) up to its pixels, without copying.
//!
//! No declared length is trusted: a value is a slice of the bytes that are there, sequences are
//! stepped over, and reading stops at the first element that does not fit. So a forged file costs no
//! more than its own size. Nested data sets are read only when they are asked for. A data set whose transfer
//! syntax is not declared, or wrongly, is read as its first element looks.

use std::ops::Deref;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

pub use crate::dicom_file::encoding::is_native;
use crate::dicom_file::encoding::{DEFLATED, Encoding, UNDEFINED};
use crate::dicom_file::inflate::{InflatedBytes, InflatedEnd, inflate, inflate_beginning};
use crate::dicom_file::part10::FileMeta;
pub use crate::dicom_file::reader::ElementDamage;
use crate::dicom_file::reader::ElementReader;

use super::CharacterSet;

/// A deflated data set is inflated up to this size: no CT image is larger, a bomb is.
const INFLATED_BYTES_MOST: u64 = 64 << 20;
/// A data set has some hundred elements. Empty ones have 8 bytes in a file, and 24 here.
const ELEMENTS_MOST: usize = 64 << 10;

/// Longer text, like longer lists, is in no element that is read here: the longest value of a text that the
/// standard bounds has 10 240 characters. Texts are kept for each instance that waits.
const TEXT_BYTES_MOST: usize = 16 << 10;
const TEXTS_MOST: usize = 100;

/// A file whose meta information has been read.
pub struct Part10File<'a> {
    pub transfer_syntax_uid: String,
    encoding: Encoding,
    data: DataSetBytes<'a>,
    /// The position at which reading had to stop before the data set.
    damage: Option<ElementDamage>,
}

/// The data set as it is in the file, or inflated.
enum DataSetBytes<'a> {
    InFile(&'a [u8]),
    Inflated(InflatedBytes),
}

impl Deref for DataSetBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            DataSetBytes::InFile(bytes) => bytes,
            DataSetBytes::Inflated(bytes) => bytes,
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file is not DICOM")]
pub struct NotDicom;

impl<'a> Part10File<'a> {
    /// # Errors
    /// If the bytes do not begin as a DICOM file does.
    pub fn open(bytes: &'a [u8]) -> Result<Part10File<'a>, NotDicom> {
        // The part that cannot be inflated is missing at the end, which is noticed there.
        Part10File::opened(bytes, |data, _| inflate(data, INFLATED_BYTES_MOST))
    }

    /// The same for the elements before the pixels: a deflated data set is inflated as far as they go, or a
    /// little farther.
    ///
    /// # Errors
    /// If the bytes do not begin as a DICOM file does.
    pub fn open_header(bytes: &'a [u8]) -> Result<Part10File<'a>, NotDicom> {
        Part10File::opened(bytes, |data, encoding| {
            let beginning = inflate_beginning(data);
            let elements = HeaderElements::of(&beginning, encoding, CharacterSet::default());
            let is_enough = beginning.end != InflatedEnd::TooLong || elements.pixels.is_some();
            drop(elements);
            if is_enough {
                return beginning;
            }
            // Not held while this waits for its bytes: many may wait.
            drop(beginning);
            inflate(data, INFLATED_BYTES_MOST)
        })
    }

    fn opened(
        bytes: &'a [u8],
        inflate: impl FnOnce(&[u8], Encoding) -> InflatedBytes,
    ) -> Result<Part10File<'a>, NotDicom> {
        let FileMeta { head, data_set_begins, damage } = FileMeta::read(bytes).ok_or(NotDicom)?;
        let data = &bytes[data_set_begins..];
        let transfer_syntax_uid = head.transfer_syntax_uid;
        let encoding = Encoding::of(&transfer_syntax_uid);
        let data = match transfer_syntax_uid == DEFLATED {
            true => DataSetBytes::Inflated(inflate(data, encoding)),
            false => DataSetBytes::InFile(data),
        };
        Ok(Part10File { transfer_syntax_uid, encoding, data, damage })
    }

    pub fn elements(&self) -> HeaderElements<'_> {
        let mut elements = HeaderElements::of(&self.data, self.encoding, CharacterSet::default());
        elements.character_set = CharacterSet::declared(&ascii(elements.bytes(tags::SPECIFIC_CHARACTER_SET)));
        elements.damage = self.damage.clone().or(elements.damage);
        elements
    }
}

/// The top-level elements before the pixels.
pub struct HeaderElements<'a> {
    encoding: Encoding,
    character_set: CharacterSet,
    values: Vec<(Tag, &'a [u8])>,
    pub pixels: Option<PixelData<'a>>,
    /// The position at which reading had to stop before the pixels or the end.
    pub damage: Option<ElementDamage>,
}

/// Pixel Data (7FE0,0010) as far as it is there.
#[derive(Clone, Copy)]
pub enum PixelData<'a> {
    Native(NativePixels<'a>),
    /// Bytes after the element's head: items with the offset table and the fragments.
    Encapsulated(&'a [u8]),
}

/// Pixels as they are: as many of the declared bytes as are there.
#[derive(Clone, Copy)]
pub struct NativePixels<'a> {
    pub declared: usize,
    pub bytes: &'a [u8],
    /// The value's VR counts in words, not in bytes.
    pub words: bool,
    pub big_endian: bool,
}

impl<'a> HeaderElements<'a> {
    pub(super) fn of(bytes: &'a [u8], encoding: Encoding, character_set: CharacterSet) -> HeaderElements<'a> {
        let mut elements =
            HeaderElements { encoding, character_set, values: Vec::new(), pixels: None, damage: None };
        elements.read(&mut ElementReader::new(bytes, encoding));
        elements
    }

    fn read(&mut self, reader: &mut ElementReader<'a>) {
        while !reader.is_at_end() {
            if reader.peek_tag() == Some(tags::PIXEL_DATA) {
                self.pixels = pixels(reader);
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
        self.bytes(tag).first_chunk().map(|bytes| self.encoding.u16(*bytes))
    }

    /// The data sets in the items of a sequence; those behind a damaged one are left out.
    ///
    /// Items are read one at a time: an item has 8 bytes in a file, and many times that in memory.
    pub fn items(&self, tag: Tag) -> impl Iterator<Item = HeaderElements<'a>> {
        let (encoding, character_set) = (self.encoding, self.character_set);
        let mut reader = ElementReader::new(self.bytes(tag), encoding);
        let contents = std::iter::from_fn(move || reader.item());
        contents.map(move |content| HeaderElements::of(content, encoding, character_set))
    }

    /// An element's value as it is in the file; empty where it is absent.
    pub fn bytes(&self, tag: Tag) -> &'a [u8] {
        self.values.iter().find(|(other, _)| *other == tag).map_or(&[], |(_, value)| value)
    }
}

fn pixels<'a>(reader: &mut ElementReader<'a>) -> Option<PixelData<'a>> {
    let head = reader.head()?;
    let rest = reader.rest();
    if head.length == UNDEFINED {
        return Some(PixelData::Encapsulated(rest));
    }
    let declared = head.length as usize;
    let bytes = &rest[..declared.min(rest.len())];
    let big_endian = reader.encoding().big_endian;
    Some(PixelData::Native(NativePixels { declared, bytes, words: head.has_words(), big_endian }))
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
