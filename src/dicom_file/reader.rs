//! The reader of data elements that are in memory.
//!
//! A value is a slice of the bytes that are there, sequences are stepped over, and reading stops at the
//! first element that does not fit. So a forged file costs no more than its own size.

use dicom_core::Tag;

use super::encoding::{ElementHead, Encoding, ITEM, ITEM_END, SEQUENCE_END, UNDEFINED};

const DELIMITER_BYTES: usize = 8;

/// Reads elements one after the other, without copying and without recursion.
pub struct ElementReader<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
}

impl<'a> ElementReader<'a> {
    pub fn new(bytes: &'a [u8], encoding: Encoding) -> ElementReader<'a> {
        ElementReader { bytes, at: 0, encoding }
    }

    /// How many bytes have been read.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The bytes that have not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The value that comes next, if all of it is there.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..count)?;
        self.at += count;
        Some(taken)
    }

    /// Reads one element; the value of a sequence is its items.
    ///
    /// # Errors
    /// If it does not fit into the bytes.
    pub fn element(&mut self) -> Result<(Tag, &'a [u8]), ElementDamage> {
        let at = self.at;
        let head = self.head().ok_or_else(|| self.damage_at(at))?;
        if head.length == UNDEFINED {
            let start = self.at;
            self.skip_sequence(head.is_unknown()).ok_or_else(|| self.damage(head.tag, UNDEFINED))?;
            return Ok((head.tag, &self.bytes[start..self.at]));
        }
        let value = self.take(head.length as usize).ok_or_else(|| self.damage(head.tag, head.length))?;
        Ok((head.tag, value))
    }

    /// The content of the item that begins here, without its delimiter.
    pub fn item(&mut self) -> Option<&'a [u8]> {
        let head = self.head().filter(|head| head.tag == ITEM)?;
        if head.length != UNDEFINED {
            return self.take(head.length as usize);
        }
        let start = self.at;
        self.skip_sequence(false)?;
        Some(&self.bytes[start..self.at - DELIMITER_BYTES])
    }

    /// The head of the element, item or delimiter that begins here. `None` where it is cut off.
    pub fn head(&mut self) -> Option<ElementHead> {
        ElementHead::read(self.encoding, |into| {
            let taken = self.take(into.len()).ok_or(())?;
            into.copy_from_slice(taken);
            Ok::<(), ()>(())
        })
        .ok()
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
                    implicit_from = implicit_from.or(head.is_unknown().then_some(depth));
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

    /// The tag that comes next.
    pub fn peek_tag(&self) -> Option<Tag> {
        let [a, b, c, d] = *self.rest().first_chunk()?;
        Some(Tag(self.encoding.u16([a, b]), self.encoding.u16([c, d])))
    }

    /// The damage of an element that declares so many bytes, here.
    pub fn damage(&self, tag: Tag, length: u32) -> ElementDamage {
        let declared = u64::from(length);
        ElementDamage {
            element: format!("element {tag}"),
            declared,
            left: self.bytes.len().saturating_sub(self.at),
        }
    }

    fn damage_at(&self, at: usize) -> ElementDamage {
        let left = self.bytes.len() - at;
        ElementDamage { element: format!("the element at byte {at} of the data set"), declared: 8, left }
    }
}

/// An element that does not fit into the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file is damaged or cut off: {element} declares {declared} bytes, {left} are left")]
pub struct ElementDamage {
    pub element: String,
    pub declared: u64,
    pub left: usize,
}
