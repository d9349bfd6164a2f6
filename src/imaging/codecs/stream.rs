//! Common parts of code streams: marker segments (ISO/IEC 10918-1 annex B) and errors.

use super::{DecodeError, PixelLayout};

pub const START_OF_IMAGE: u8 = 0xD8;
pub const END_OF_IMAGE: u8 = 0xD9;
pub const START_OF_SCAN: u8 = 0xDA;
pub const RESTART_INTERVAL: u8 = 0xDD;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("they begin with no known code stream")]
    Unknown,
    #[error("the code stream is cut off")]
    CutOff,
    #[error("they have {} columns and {} rows, the header says {} and {}", found[0], found[1], expected[0], expected[1])]
    Size { found: [usize; 2], expected: [usize; 2] },
    #[error("they have {found} components, the header says {expected}")]
    Components { found: usize, expected: usize },
    #[error("they have {found} bits, the header allocates {allocated}")]
    Precision { found: u32, allocated: u32 },
    #[error("the code stream has a wrong {0}")]
    Wrong(&'static str),
    #[error("{0}")]
    Unsupported(&'static str),
}

impl From<StreamError> for DecodeError {
    fn from(error: StreamError) -> DecodeError {
        match error {
            StreamError::Unsupported(what) => DecodeError::Unsupported(what.to_owned()),
            other => DecodeError::damaged(other),
        }
    }
}

/// The shape that a code stream declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamShape {
    pub columns: usize,
    pub rows: usize,
    pub components: usize,
    /// Bits per sample.
    pub precision: u32,
}

impl StreamShape {
    /// # Errors
    /// If the shape is not the header's, by which memory was allocated.
    pub fn check(self, layout: &PixelLayout) -> Result<(), StreamError> {
        let [found, expected] = [[self.columns, self.rows], [layout.columns, layout.rows]];
        if found != expected {
            return Err(StreamError::Size { found, expected });
        }
        if self.components != layout.samples_per_pixel {
            return Err(StreamError::Components {
                found: self.components,
                expected: layout.samples_per_pixel,
            });
        }
        if !(2..=layout.bits_allocated).contains(&self.precision) {
            return Err(StreamError::Precision { found: self.precision, allocated: layout.bits_allocated });
        }
        Ok(())
    }
}

pub struct MarkerSegment<'a> {
    /// The second byte of the marker.
    pub marker: u8,
    /// The bytes after the length.
    pub bytes: &'a [u8],
}

/// The marker segments of a stream, and the entropy-coded data between them.
pub struct MarkerSegments<'a> {
    rest: &'a [u8],
}

impl<'a> MarkerSegments<'a> {
    pub fn open(stream: &'a [u8]) -> Result<MarkerSegments<'a>, StreamError> {
        let rest = stream.strip_prefix(&[0xFF, START_OF_IMAGE]).ok_or(StreamError::Unknown)?;
        Ok(MarkerSegments { rest })
    }

    /// The next segment; `None` at the end of the image or of the bytes, in which case the reader notices
    /// missing data itself. Fill bytes 0xFF may precede a marker (B.1.1.2): CharLS uses them to make the
    /// length even.
    pub fn next(&mut self) -> Result<Option<MarkerSegment<'a>>, StreamError> {
        let Some(fill) = self.rest.iter().position(|byte| *byte != 0xFF) else { return Ok(None) };
        let marker = self.rest[fill];
        if fill == 0 {
            return Err(StreamError::Wrong("marker"));
        }
        self.rest = &self.rest[fill + 1..];
        if marker == END_OF_IMAGE {
            return Ok(None);
        }
        let length = self.rest.first_chunk().ok_or(StreamError::CutOff)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (segment, rest) = self.rest.split_at_checked(length).ok_or(StreamError::CutOff)?;
        self.rest = rest;
        Ok(Some(MarkerSegment { marker, bytes: segment.get(2..).ok_or(StreamError::Wrong("segment"))? }))
    }

    /// The entropy-coded data up to the next marker, which `is_marker` recognises by its second byte.
    pub fn data(&mut self, is_marker: impl Fn(u8) -> bool) -> &'a [u8] {
        let mut end = 0;
        loop {
            let found = self.rest[end..].iter().position(|byte| *byte == 0xFF);
            end = found.map_or(self.rest.len(), |at| end + at);
            match self.rest.get(end + 1) {
                Some(next) if !is_marker(*next) => end += 2,
                _ => break,
            }
        }
        let (data, rest) = self.rest.split_at(end);
        self.rest = rest;
        data
    }
}

/// A 16-bit number of a segment.
pub fn short(bytes: &[u8], at: usize) -> Result<usize, StreamError> {
    let pair = bytes.get(at..).and_then(|bytes| bytes.first_chunk()).ok_or(StreamError::CutOff)?;
    Ok(usize::from(u16::from_be_bytes(*pair)))
}

pub fn byte(bytes: &[u8], at: usize) -> Result<u8, StreamError> {
    bytes.get(at).copied().ok_or(StreamError::CutOff)
}
