//! The bits of entropy-coded data (T.87 A.1): the first bit of a byte after 0xFF is stuffing.

use crate::imaging::codecs::stream::StreamError;

pub struct JpegLsBits<'a> {
    data: &'a [u8],
    stuffed: bool,
    /// The next bits, the first one highest; zeros follow the last bit.
    held: u64,
    count: u32,
}

impl<'a> JpegLsBits<'a> {
    pub fn new(data: &'a [u8]) -> JpegLsBits<'a> {
        JpegLsBits { data, stuffed: false, held: 0, count: 0 }
    }

    /// Makes at least 57 bits available, or as many as are left.
    fn fill(&mut self) {
        while self.count <= 56 {
            let [byte, rest @ ..] = self.data else { return };
            self.data = rest;
            let size = if self.stuffed { 7 } else { 8 };
            self.held |= u64::from(*byte) << (64 - size - self.count);
            self.count += size;
            self.stuffed = *byte == 0xFF;
        }
    }

    /// Reads `size` bits, at most 24, as a number.
    #[inline]
    pub fn number(&mut self, size: u32) -> Result<i32, StreamError> {
        if size == 0 {
            return Ok(0);
        }
        if self.count < size {
            self.fill();
        }
        let number = (self.held >> (64 - size)) as i32;
        self.skip(size)?;
        Ok(number)
    }

    /// Counts the zeros before the next one, and skips both. No code has more than 56 zeros.
    #[inline]
    pub fn zeros(&mut self) -> Result<u32, StreamError> {
        let mut zeros = self.held.leading_zeros();
        if zeros >= self.count {
            self.fill();
            zeros = self.held.leading_zeros();
        }
        // 64 zeros have no one after them here, and a shift by 64 would overflow.
        self.skip(zeros.min(62) + 1)?;
        Ok(zeros)
    }

    #[inline]
    fn skip(&mut self, count: u32) -> Result<(), StreamError> {
        self.count = self.count.checked_sub(count).ok_or(StreamError::CutOff)?;
        self.held <<= count;
        Ok(())
    }
}
