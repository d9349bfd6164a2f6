//! The bits of entropy-coded data (ISO/IEC 10918-1 F.2.2.5): a zero byte after 0xFF is no data.

use crate::imaging::codecs::stream::StreamError;

/// The most bits that a code and the bits after it have together.
const BITS_NEEDED: u32 = 32;

pub struct JpegBits<'a> {
    data: &'a [u8],
    /// The next bits, the first one highest; zeros follow the last bit.
    held: u64,
    count: u32,
}

impl<'a> JpegBits<'a> {
    pub fn new(data: &'a [u8]) -> JpegBits<'a> {
        JpegBits { data, held: 0, count: 0 }
    }

    /// Makes the next 32 bits available, or as many as are left.
    #[inline]
    pub fn fill(&mut self) {
        if self.count < BITS_NEEDED {
            self.refill();
        }
    }

    fn refill(&mut self) {
        while self.count <= 56 {
            let [byte, rest @ ..] = self.data else { return };
            self.data = match (byte, rest) {
                (0xFF, [_, after @ ..]) => after,
                _ => rest,
            };
            self.held |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next 16 bits, with zeros where the data has ended.
    #[inline]
    pub fn peek(&self) -> u16 {
        (self.held >> 48) as u16
    }

    #[inline]
    pub fn skip(&mut self, count: u32) -> Result<(), StreamError> {
        self.count = self.count.checked_sub(count).ok_or(StreamError::CutOff)?;
        self.held <<= count;
        Ok(())
    }

    /// A signed number of `size` bits, at most 16; the lower half of the codes is negative (figure F.12).
    #[inline]
    pub fn signed(&mut self, size: u32) -> Result<i32, StreamError> {
        if size == 0 {
            return Ok(0);
        }
        let value = (self.held >> (64 - size)) as i32;
        self.skip(size)?;
        Ok(if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }
}
