//! What is read: whoever asks for more than there is gets an error and not memory.

use std::io::{self, BufRead, BufReader, Read};

use dicom_core::Tag;

use super::{Form, ITEM, SEQUENCE_END, UNDEFINED, Untranscodable};

/// So much of a value is in memory; a multiple of every word.
const PIECE_BYTES: usize = 64 << 10;

/// What is read, and how far.
pub struct Source<'a> {
    bytes: BufReader<Box<dyn Read + 'a>>,
    at: u64,
}

impl<'a> Source<'a> {
    pub fn new(bytes: Box<dyn Read + 'a>) -> Source<'a> {
        Source { bytes: BufReader::with_capacity(PIECE_BYTES, bytes), at: 0 }
    }

    /// How many bytes have been read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// `None` at the end.
    pub fn tag(&mut self, form: Form) -> Result<Option<Tag>, Untranscodable> {
        if self.bytes.fill_buf()?.is_empty() {
            return Ok(None);
        }
        Ok(Some(Tag(self.u16(form)?, self.u16(form)?)))
    }

    pub fn u16(&mut self, form: Form) -> Result<u16, Untranscodable> {
        let bytes = self.bytes()?;
        Ok(if form.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub fn u32(&mut self, form: Form) -> Result<u32, Untranscodable> {
        let bytes = self.bytes()?;
        Ok(if form.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Untranscodable> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Untranscodable> {
        match self.bytes.read_exact(into) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged("it is cut off")),
            read => {
                self.at += into.len() as u64;
                Ok(read?)
            }
        }
    }

    /// Gives so many bytes, a piece after the other.
    pub fn pieces(
        &mut self,
        length: u32,
        mut give: impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<(), Untranscodable> {
        let mut left = length as usize;
        let mut piece = vec![0; left.min(PIECE_BYTES)];
        while left > 0 {
            let now = left.min(PIECE_BYTES);
            self.read(&mut piece[..now])?;
            give(&mut piece[..now])?;
            left -= now;
        }
        Ok(())
    }

    pub fn skip(&mut self, length: u32) -> Result<(), Untranscodable> {
        self.pieces(length, |_| Ok(()))
    }

    /// Passes over the fragments of compressed pixels, and their end.
    pub fn skip_fragments(&mut self, form: Form) -> Result<(), Untranscodable> {
        loop {
            let tag = self.tag(form)?;
            let length = self.u32(form)?;
            match tag {
                Some(ITEM) if length != UNDEFINED => self.skip(length)?,
                Some(SEQUENCE_END) => return Ok(()),
                _ => return Err(self.damaged("compressed pixels have something other than fragments")),
            }
        }
    }

    pub fn damaged(&self, what: &'static str) -> Untranscodable {
        Untranscodable::Damaged { at: self.at, what }
    }
}
