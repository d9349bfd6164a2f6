//! The walk through a data set, element by element, without recursion.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use crate::dicom_file::encoding::{ElementHead, Encoding, ITEM, ITEM_END, SEQUENCE_END, UNDEFINED};
use crate::dicom_file::representation::{is_text, known_vr, word_bytes};

use super::plain_pixels::PlainPixels;
use super::source::SourceBytes;
use super::target::TargetDataSet;
use super::untranscodable::TranscodeError;

/// The deepest nesting of sequences; real files have fewer than ten levels.
const DEPTH_MAX: usize = 128;

const DEFINED_MAX: u32 = UNDEFINED - 1;

const EXTENDED_OFFSETS: Tag = Tag(0x7FE0, 0x0001);
const EXTENDED_LENGTHS: Tag = Tag(0x7FE0, 0x0002);
const ENCAPSULATED_LENGTH: Tag = Tag(0x7FE0, 0x0003);

/// The conversion of a data set, element by element.
pub struct DataSetWalk<'a> {
    source: SourceBytes<'a>,
    target: TargetDataSet<'a>,
    pixels: Option<&'a PlainPixels>,
    open: Vec<OpenSequence>,
    form: Encoding,
    /// Pixel Representation, of each data set that is open.
    signed: Vec<bool>,
}

/// A sequence or an item that has not ended.
struct OpenSequence {
    is_item: bool,
    /// The position of its end, if its length is defined.
    ends: Option<u64>,
    /// Encoding of the enclosing data set, restored at the end.
    form: Encoding,
}

struct ElementHeader {
    tag: Tag,
    vr: [u8; 2],
    length: u32,
}

impl<'a> DataSetWalk<'a> {
    pub fn new(
        source: SourceBytes<'a>,
        form: Encoding,
        target: TargetDataSet<'a>,
        pixels: Option<&'a PlainPixels>,
    ) -> DataSetWalk<'a> {
        DataSetWalk { source, target, pixels, open: Vec::new(), form, signed: vec![false] }
    }

    pub fn all(mut self) -> Result<(), TranscodeError> {
        loop {
            self.close_what_ends()?;
            let Some(head) = self.source.head(self.form)? else { break };
            match head.tag {
                ITEM | ITEM_END | SEQUENCE_END => self.mark(&head)?,
                _ if self.open.last().is_some_and(|open| !open.is_item) => {
                    return Err(self.source.damaged("a sequence has something other than items"));
                }
                _ => self.element(&head)?,
            }
        }
        if self.open.is_empty() { Ok(()) } else { Err(self.source.damaged("it is cut off")) }
    }

    fn close_what_ends(&mut self) -> Result<(), TranscodeError> {
        while let Some(ends) = self.open.last().and_then(|open| open.ends) {
            if ends > self.source.at() {
                break;
            }
            if ends < self.source.at() {
                return Err(self.source.damaged("a value is longer than its sequence"));
            }
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), TranscodeError> {
        let Some(OpenSequence { is_item, form, .. }) = self.open.pop() else {
            return Err(self.source.damaged("what has not begun ends"));
        };
        self.form = form;
        if is_item {
            self.signed.pop();
        }
        self.target.mark(if is_item { ITEM_END } else { SEQUENCE_END }, 0)
    }

    /// Converts the beginning or the end of an item, or the end of a sequence.
    fn mark(&mut self, &ElementHead { tag, length, .. }: &ElementHead) -> Result<(), TranscodeError> {
        let top = self.open.last().map(|open| (open.is_item, open.ends.is_none()));
        match (tag, top) {
            (ITEM, Some((false, _))) => {
                self.signed.push(self.signed.last().copied().unwrap_or(false));
                self.open(true, length, self.form)?;
                self.target.mark(ITEM, UNDEFINED)
            }
            (ITEM_END, Some((true, true))) | (SEQUENCE_END, Some((false, true))) => self.close(),
            _ => Err(self.source.damaged("an item or its end is out of place")),
        }
    }

    fn open(&mut self, is_item: bool, length: u32, inside: Encoding) -> Result<(), TranscodeError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.source.damaged("its sequences are too deep"));
        }
        let ends = (length != UNDEFINED).then(|| self.source.at() + u64::from(length));
        self.open.push(OpenSequence { is_item, ends, form: self.form });
        self.form = inside;
        Ok(())
    }

    fn element(&mut self, head: &ElementHead) -> Result<(), TranscodeError> {
        let element = self.with_vr(head)?;
        let tag = element.tag;
        let is_root = self.open.is_empty();
        match (element.tag, element.length, self.pixels.filter(|_| is_root)) {
            (tags::PIXEL_DATA, UNDEFINED, Some(pixels)) => {
                self.source.skip_fragments(self.form)?;
                self.target.value(tag, pixels.vr, &pixels.bytes)
            }
            (tags::PIXEL_DATA, UNDEFINED, None) => {
                Err(TranscodeError::Pixels("an image inside it, an icon for example, is compressed".into()))
            }
            (tags::PHOTOMETRIC_INTERPRETATION, _, Some(pixels)) => {
                self.source.skip(element.length)?;
                self.target.value(tag, *b"CS", pixels.photometric_interpretation.as_bytes())
            }
            // Decoded pixels are interleaved, colour by pixel.
            (tags::PLANAR_CONFIGURATION, _, Some(_)) => {
                self.source.skip(element.length)?;
                self.target.value(tag, *b"US", &[0, 0])
            }
            (EXTENDED_OFFSETS | EXTENDED_LENGTHS | ENCAPSULATED_LENGTH, ..=DEFINED_MAX, Some(_)) => {
                self.source.skip(element.length)
            }
            // Group lengths are retired, and would no longer be right.
            (Tag(_, 0), ..=DEFINED_MAX, _) => self.source.skip(element.length),
            _ if &element.vr == b"SQ" || element.length == UNDEFINED => self.sequence(&element),
            _ => self.value(&element),
        }
    }

    fn with_vr(
        &self,
        &ElementHead { tag, vr, length }: &ElementHead,
    ) -> Result<ElementHeader, TranscodeError> {
        let signed = self.signed.last().copied().unwrap_or(false);
        match vr {
            None if !self.form.explicit => Ok(ElementHeader { tag, vr: known_vr(tag, signed), length }),
            Some(vr) if vr.iter().all(u8::is_ascii_uppercase) => Ok(ElementHeader { tag, vr, length }),
            // The VR is `??` or zeros.
            Some(_) => Ok(ElementHeader { tag, vr: *b"UN", length }),
            None => Err(self.source.damaged("a value representation is not one")),
        }
    }

    fn sequence(&mut self, element: &ElementHeader) -> Result<(), TranscodeError> {
        // An element of unknown VR and undefined length is a sequence with implicit VR (PS3.5 6.2.2).
        let inside = if &element.vr == b"UN" { Encoding::IMPLICIT } else { self.form };
        self.open(false, element.length, inside)?;
        self.target.head(element.tag, *b"SQ", UNDEFINED)
    }

    fn value(&mut self, element: &ElementHeader) -> Result<(), TranscodeError> {
        let &ElementHeader { tag, vr, length } = element;
        let length_even = length.checked_add(length % 2).filter(|length| *length != UNDEFINED);
        let length_even = length_even.ok_or_else(|| self.source.damaged("a value is too long"))?;
        self.target.head(tag, vr, length_even)?;
        let word = if self.form.big_endian { word_bytes(vr) } else { 1 };
        let mut first = None;
        self.source.pieces(length, |piece| {
            piece.chunks_exact_mut(word).for_each(<[u8]>::reverse);
            first.get_or_insert(piece.first().copied());
            self.target.to.write_all(piece)
        })?;
        if length % 2 == 1 {
            self.target.to.write_all(if is_text(vr) { b" " } else { b"\0" })?;
        }
        if tag == tags::PIXEL_REPRESENTATION
            && let Some(signed) = self.signed.last_mut()
        {
            *signed = first.flatten() == Some(1);
        }
        Ok(())
    }
}
