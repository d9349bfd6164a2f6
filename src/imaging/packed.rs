//! Pixels of one bit, one frame behind the other without gaps: the first pixel is in the lowest bit (PS3.5
//! 8.1.1 and annex D).

use super::VoxelSet;
use super::bits::WORD;

/// A rectangle of a slice: the first column and row, and how many of them.
#[derive(Clone, Copy, Debug)]
pub struct SliceWindow {
    pub corner: [usize; 2],
    pub columns: usize,
    pub rows: usize,
}

impl SliceWindow {
    /// Whether the set has a voxel in the window of slice `z`.
    pub fn shows(&self, set: &VoxelSet, z: usize) -> bool {
        let is_within = set.bounds().is_some_and(|bounds| (bounds.low[2]..bounds.high[2]).contains(&z));
        let has_some = |y: usize| set.row(self.corner[1] + y, z).iter().any(|word| *word != 0);
        is_within && (0..self.rows).any(|y| has_some(y) && self.words(set, y, z).any(|(word, _)| word != 0))
    }

    /// A row of the window, as words and how many of their bits count; the others are zero.
    fn words<'a>(&self, set: &'a VoxelSet, y: usize, z: usize) -> impl Iterator<Item = (u64, usize)> + 'a {
        let SliceWindow { corner: [left, top], columns, .. } = *self;
        let (row, shift) = (&set.row(top + y, z)[left / WORD..], left % WORD);
        (0..columns.div_ceil(WORD)).map(move |index| {
            let high =
                if shift == 0 { 0 } else { row.get(index + 1).map_or(0, |word| word << (WORD - shift)) };
            let count = WORD.min(columns - index * WORD);
            ((row[index] >> shift | high) & (u64::MAX >> (WORD - count)), count)
        })
    }
}

/// Frames of one bit per pixel, written one behind the other.
#[derive(Debug)]
pub struct PackedFrames<'a> {
    bytes: &'a mut [u8],
    /// The bytes that are written.
    written: usize,
    /// Bits that do not fill a word yet, the first one lowest.
    pending: u64,
    pending_bits: usize,
}

impl<'a> PackedFrames<'a> {
    /// Frames that are written into these bytes.
    pub fn of(bytes: &'a mut [u8]) -> PackedFrames<'a> {
        PackedFrames { bytes, written: 0, pending: 0, pending_bits: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.bytes[self.written..self.written + bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
    }

    /// Appends the window of a slice as a frame.
    pub fn push(&mut self, window: &SliceWindow, set: &VoxelSet, z: usize) {
        let [left, top] = window.corner;
        // Whole words at their places are the bytes already.
        let is_aligned = [left, window.columns, self.pending_bits].iter().all(|bits| bits % WORD == 0);
        for y in 0..window.rows {
            if is_aligned && cfg!(target_endian = "little") {
                let words = &set.row(top + y, z)[left / WORD..][..window.columns / WORD];
                self.write(bytemuck::cast_slice(words));
                continue;
            }
            window.words(set, y, z).for_each(|(word, count)| self.push_word(word, count));
        }
    }

    fn push_word(&mut self, word: u64, count: usize) {
        self.pending |= word << self.pending_bits;
        let bits = self.pending_bits + count;
        if bits < WORD {
            self.pending_bits = bits;
            return;
        }
        self.write(&self.pending.to_le_bytes());
        self.pending = if self.pending_bits == 0 { 0 } else { word >> (WORD - self.pending_bits) };
        self.pending_bits = bits - WORD;
    }

    /// Writes the bits that are left.
    pub fn finish(mut self) {
        let last = self.pending.to_le_bytes();
        self.write(&last[..self.pending_bits.div_ceil(8)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_size_follow_without_a_gap() {
        let size = [150, 7, 3];
        let is_in = |index: usize| (index * 7919) % 5 < 2;
        let set = VoxelSet::of(size, is_in);
        for (left, top, columns, rows) in [(0, 0, 150, 7), (3, 1, 64, 5), (70, 2, 13, 3), (1, 0, 129, 6)] {
            let window = SliceWindow { corner: [left, top], columns, rows };
            let mut bytes = vec![0; (3 * rows * columns).div_ceil(8)];
            let mut frames = PackedFrames::of(&mut bytes);
            (0..3).for_each(|z| frames.push(&window, &set, z));
            frames.finish();
            let places =
                (0..3).flat_map(|z| (0..rows).flat_map(move |y| (0..columns).map(move |x| [x, y, z])));
            for (at, [x, y, z]) in places.enumerate() {
                let bit = bytes[at / 8] >> (at % 8) & 1 == 1;
                assert_eq!(bit, set.contains([left + x, top + y, z]), "{columns}: {x} {y} {z}");
            }
        }
    }

    #[test]
    fn a_window_shows_its_own_voxels_only() {
        let mut set = VoxelSet::empty([150, 4, 1]);
        set.insert([140, 3, 0]);
        let window = |corner, columns| SliceWindow { corner, columns, rows: 2 };
        assert!(window([76, 2], 65).shows(&set, 0));
        assert!(!window([76, 2], 64).shows(&set, 0) && !window([76, 1], 65).shows(&set, 0));
    }
}
