//! The source of a conversion: a length beyond the end gives an error, and no memory is allocated for it.

use std::io::{self, BufRead, BufReader, Read};

use crate::dicom_file::encoding::{ElementHead, Encoding, ITEM, SEQUENCE_END, UNDEFINED};

use super::untranscodable::TranscodeError;

/// The bytes of a value that are in memory at once; a multiple of every word size.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes of the source, and the position in them.
pub struct SourceBytes<'a> {
    bytes: BufReader<Box<dyn Read + 'a>>,
    at: u64,
}

impl<'a> SourceBytes<'a> {
    pub fn new(bytes: Box<dyn Read + 'a>) -> SourceBytes<'a> {
        SourceBytes { bytes: BufReader::with_capacity(PIECE_BYTES, bytes), at: 0 }
    }

    /// The number of bytes that have been read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The head of the next element; `None` at the end.
    pub fn head(&mut self, encoding: Encoding) -> Result<Option<ElementHead>, TranscodeError> {
        if self.bytes.fill_buf()?.is_empty() {
            return Ok(None);
        }
        ElementHead::read(encoding, |into| self.read(into)).map(Some)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), TranscodeError> {
        match self.bytes.read_exact(into) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged("it is cut off")),
            read => {
                self.at += into.len() as u64;
                Ok(read?)
            }
        }
    }

    /// Reads this many bytes, piece by piece.
    pub fn pieces(
        &mut self,
        length: u32,
        mut give: impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<(), TranscodeError> {
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

    pub fn skip(&mut self, length: u32) -> Result<(), TranscodeError> {
        self.pieces(length, |_| Ok(()))
    }

    /// Skips the fragments of compressed pixels, and the delimiter after them.
    pub fn skip_fragments(&mut self, encoding: Encoding) -> Result<(), TranscodeError> {
        loop {
            match self.head(encoding)? {
                Some(ElementHead { tag: ITEM, length, .. }) if length != UNDEFINED => self.skip(length)?,
                Some(ElementHead { tag: SEQUENCE_END, .. }) => return Ok(()),
                _ => return Err(self.damaged("compressed pixels have something other than fragments")),
            }
        }
    }

    pub fn damaged(&self, what: &'static str) -> TranscodeError {
        TranscodeError::Damaged { at: self.at, what }
    }
}
