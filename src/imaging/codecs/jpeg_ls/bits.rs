//! The bits of entropy-coded data (T.87 A.1): after 0xFF the first bit of a byte is stuffed.

use crate::imaging::codecs::stream::StreamError;

pub struct Bits<'a> {
    data: &'a [u8],
    stuffed: bool,
    /// The next bits, from the top; zeros behind the last one.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Bits<'a> {
        Bits { data, stuffed: false, held: 0, count: 0 }
    }

    /// Makes at least 57 bits ready, or as many as are left.
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

    /// So many bits, at most 24, as a number.
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

    /// How many zeros come before the next one; the one is taken too. No code has more than 56.
    #[inline]
    pub fn zeros(&mut self) -> Result<u32, StreamError> {
        let mut zeros = self.held.leading_zeros();
        if zeros >= self.count {
            self.fill();
            zeros = self.held.leading_zeros();
        }
        // Of 64 zeros none is followed by a one here; and shifting by 64 would be too far.
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
