//! Huffman codes (ISO/IEC 10918-1 annex C and F.2.2.3).

use super::bits::JpegBits;
use crate::imaging::codecs::stream::StreamError;

const LENGTH_MOST: usize = 16;

/// The longest codes that the direct table holds, in bits.
const QUICK_BITS: usize = 9;

pub struct HuffmanTable {
    /// Length and symbol of the code that each value of the next [`QUICK_BITS`] bits begins with; length 0
    /// where the code is longer.
    quick: [(u8, u8); 1 << QUICK_BITS],
    /// For each length: the first code, the number of codes, and the index of the first code's symbol.
    lengths: [(u32, u32, usize); LENGTH_MOST + 1],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    /// Reads a table from a DHT segment, after its class and destination: 16 counts, then the symbols.
    /// Returns the rest of the segment too.
    pub fn read(bytes: &[u8]) -> Result<(HuffmanTable, &[u8]), StreamError> {
        let (counts, rest) = bytes.split_first_chunk::<LENGTH_MOST>().ok_or(StreamError::CutOff)?;
        let total = counts.iter().map(|count| usize::from(*count)).sum();
        let (symbols, rest) = rest.split_at_checked(total).ok_or(StreamError::CutOff)?;
        if total > 256 {
            return Err(StreamError::Wrong("Huffman table"));
        }
        let mut table = HuffmanTable {
            quick: [(0, 0); 1 << QUICK_BITS],
            lengths: [(0, 0, 0); LENGTH_MOST + 1],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0_u32, 0);
        for (length, count) in (1..).zip(counts.map(u32::from)) {
            code <<= 1;
            if code + count > 1 << length {
                return Err(StreamError::Wrong("Huffman table"));
            }
            table.lengths[length] = (code, count, place);
            table.look_up(length, code, &symbols[place..place + count as usize]);
            code += count;
            place += count as usize;
        }
        Ok((table, rest))
    }

    fn look_up(&mut self, length: usize, first: u32, symbols: &[u8]) {
        let Some(free) = QUICK_BITS.checked_sub(length) else { return };
        for (code, symbol) in (first as usize..).zip(symbols) {
            self.quick[code << free..(code + 1) << free].fill((length as u8, *symbol));
        }
    }

    /// The next symbol; [`JpegBits::fill`] must have been called.
    #[inline]
    pub fn symbol(&self, bits: &mut JpegBits) -> Result<u8, StreamError> {
        let next = bits.peek();
        let (length, symbol) = self.quick[usize::from(next) >> (16 - QUICK_BITS)];
        if length > 0 {
            bits.skip(length.into())?;
            return Ok(symbol);
        }
        self.long_symbol(next, bits)
    }

    fn long_symbol(&self, next: u16, bits: &mut JpegBits) -> Result<u8, StreamError> {
        for length in QUICK_BITS + 1..=LENGTH_MOST {
            let code = u32::from(next) >> (LENGTH_MOST - length);
            let (first, count, place) = self.lengths[length];
            // A shorter code would have been found above, so `code` is at least `first`.
            let index = code.wrapping_sub(first);
            if index < count {
                bits.skip(length as u32)?;
                return Ok(self.symbols[place + index as usize]);
            }
        }
        Err(StreamError::Wrong("Huffman code"))
    }
}
