//! A set of voxels, one bit each, and morphology on it.
//!
//! A row of voxels is a row of 64-bit words, so that most operations work on 64 voxels at once, and
//! a set takes a sixteenth of its volume's memory. Bits beyond the end of a row are zero.

mod ball;
mod bounds;
mod morphology;
mod stored;

use std::sync::OnceLock;

use rayon::prelude::*;

use super::NumberBlock;

pub use ball::VoxelBall;
pub use bounds::{VoxelBounds, WORD};

#[derive(Clone, Debug)]
pub struct VoxelSet {
    size: [usize; 3],
    words_per_row: usize,
    words: NumberBlock<u64>,
    /// The smallest box around the set, once it is known. Whoever changes the set loses it.
    bounds: OnceLock<Option<VoxelBounds>>,
}

/// Sets are equal if they have the same voxels on the same grid.
impl PartialEq for VoxelSet {
    fn eq(&self, other: &VoxelSet) -> bool {
        (self.size, &self.words) == (other.size, &other.words)
    }
}

impl Eq for VoxelSet {}

impl VoxelSet {
    pub fn empty(size: [usize; 3]) -> VoxelSet {
        VoxelSet::of_words(size, NumberBlock::zeroed)
    }

    /// A set whose words the caller writes, all of them.
    fn unset(size: [usize; 3]) -> VoxelSet {
        VoxelSet::of_words(size, NumberBlock::unset)
    }

    /// A set whose words are made by their number.
    fn of_words(size: [usize; 3], words: impl FnOnce(usize) -> NumberBlock<u64>) -> VoxelSet {
        let words_per_row = size[0].div_ceil(WORD);
        let words = words(words_per_row * size[1] * size[2]);
        VoxelSet { size, words_per_row, words, bounds: OnceLock::new() }
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self.bounds.take();
        &mut self.words
    }

    /// The voxels that a rule accepts, by their index: x fastest, then y, then z.
    pub fn of(size: [usize; 3], accepts: impl Fn(usize) -> bool + Sync) -> VoxelSet {
        let mut bits = VoxelSet::unset(size);
        let (rows, words_per_row) = (size[1], bits.words_per_row);
        bits.slices_mut().for_each(|(z, slice)| {
            for (y, words) in slice.chunks_exact_mut(words_per_row).enumerate() {
                let start = (z * rows + y) * size[0];
                for (index, word) in words.iter_mut().enumerate() {
                    let columns = index * WORD..size[0].min((index + 1) * WORD);
                    let bit = |x: usize| u64::from(accepts(start + x)) << (x % WORD);
                    *word = columns.fold(0, |word, x| word | bit(x));
                }
            }
        });
        bits
    }

    /// The voxels strictly below a CT number, of an array of a size.
    pub fn below(voxels: &[i16], size: [usize; 3], hu: i16) -> VoxelSet {
        let mut bits = VoxelSet::unset(size);
        let rows = voxels.par_chunks_exact(size[0]);
        let words_per_row = bits.words_per_row;
        let words = bits.words_mut().par_chunks_exact_mut(words_per_row);
        words.zip(rows).with_min_len(512).for_each(|(words, voxels)| row_below(voxels, hu, words));
        bits
    }

    /// Keeps the voxels strictly below a CT number. The set lies in a box of an array whose `low[0]` is a multiple of 64;
    /// `row_of` gives a row of the array by `y` and `z`, and only voxels of the set are read.
    pub fn keep_below<'a>(
        &mut self,
        row_of: impl Fn(usize, usize) -> &'a [i16] + Sync,
        bounds: &VoxelBounds,
        hu: i16,
    ) {
        let (columns, words_per_row) = (self.size[0], self.words_per_row);
        self.slices_mut().for_each(|(z, slice)| {
            for (y, words) in slice.chunks_exact_mut(words_per_row).enumerate() {
                let row = row_of(y + bounds.low[1], z + bounds.low[2]);
                let row = &row[bounds.low[0]..bounds.low[0] + columns];
                for (word, voxels) in words.iter_mut().zip(row.chunks(WORD)).filter(|(word, _)| **word != 0) {
                    *word &= some_below(voxels, hu);
                }
            }
        });
    }

    pub fn size(&self) -> [usize; 3] {
        self.size
    }

    pub fn row(&self, y: usize, z: usize) -> &[u64] {
        let start = (z * self.size[1] + y) * self.words_per_row;
        &self.words[start..start + self.words_per_row]
    }

    /// The columns of a row's voxels.
    pub fn columns(&self, y: usize, z: usize) -> impl Iterator<Item = usize> {
        let words = self.row(y, z).iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(|(index, word)| {
            let left = std::iter::successors(Some(*word), |left| Some(left & left.wrapping_sub(1)));
            left.take_while(|left| *left != 0).map(move |left| index * WORD + left.trailing_zeros() as usize)
        })
    }

    /// The slices in parallel: number and words, row by row.
    pub fn slices_mut(&mut self) -> impl IndexedParallelIterator<Item = (usize, &mut [u64])> {
        let length = self.words_per_row * self.size[1];
        self.words_mut().par_chunks_mut(length).enumerate()
    }

    pub fn words_per_row(&self) -> usize {
        self.words_per_row
    }

    pub fn contains(&self, [x, y, z]: [usize; 3]) -> bool {
        debug_assert!(x < self.words_per_row * WORD);
        self.words[(z * self.size[1] + y) * self.words_per_row + x / WORD] >> (x % WORD) & 1 == 1
    }

    pub fn insert(&mut self, [x, y, z]: [usize; 3]) {
        let word = (z * self.size[1] + y) * self.words_per_row + x / WORD;
        self.words_mut()[word] |= 1 << (x % WORD);
    }

    /// Adds a row of voxels to the first one.
    pub fn add_row(&mut self, words: &[u64]) {
        add(self.words_mut(), words);
    }

    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The number of voxels in a slice.
    pub fn slice_count(&self, z: usize) -> u64 {
        self.slice(z).iter().map(|word| u64::from(word.count_ones())).sum()
    }

    fn slice(&self, z: usize) -> &[u64] {
        let length = self.words_per_row * self.size[1];
        &self.words[z * length..][..length]
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub fn add(&mut self, other: &VoxelSet) {
        self.combine(other, |mine, theirs| mine | theirs);
    }

    pub fn remove(&mut self, other: &VoxelSet) {
        self.combine(other, |mine, theirs| mine & !theirs);
    }

    pub fn keep(&mut self, other: &VoxelSet) {
        self.combine(other, |mine, theirs| mine & theirs);
    }

    fn combine(&mut self, other: &VoxelSet, with: impl Fn(u64, u64) -> u64) {
        assert_eq!(self.size, other.size, "sets on one grid");
        for (mine, theirs) in self.words_mut().iter_mut().zip(other.words.iter()) {
            *mine = with(*mine, *theirs);
        }
    }

    /// All voxels that are not in the set.
    pub fn complement(mut self) -> VoxelSet {
        let (size, words_per_row) = (self.size, self.words_per_row);
        self.slices_mut().for_each(|(_, slice)| {
            slice.iter_mut().for_each(|word| *word = !*word);
            clear_beyond(slice, size[0], words_per_row);
        });
        self
    }

    /// The smallest box around the set, computed once; `None` if it is empty.
    pub fn bounds(&self) -> Option<VoxelBounds> {
        *self.bounds.get_or_init(|| self.found_bounds())
    }

    fn found_bounds(&self) -> Option<VoxelBounds> {
        let mut bounds = VoxelBounds { low: [usize::MAX; 3], high: [0; 3] };
        let slices = (0..self.size[2]).filter_map(|z| Some((z, self.slice_bounds(z)?)));
        for (z, (low, high)) in slices {
            for (axis, low, high) in [(0, low[0], high[0]), (1, low[1], high[1]), (2, z, z + 1)] {
                bounds.low[axis] = bounds.low[axis].min(low);
                bounds.high[axis] = bounds.high[axis].max(high);
            }
        }
        (bounds.high[2] > 0).then_some(bounds)
    }

    /// The smallest rectangle around the set in a slice, as the first column and row and those after the last.
    pub fn slice_bounds(&self, z: usize) -> Option<([usize; 2], [usize; 2])> {
        let slice = self.slice(z);
        // Joining a row's words is faster than looking for the first one with voxels.
        let has_voxels = |row: &[u64]| row.iter().fold(0, |any, word| any | word) != 0;
        let first_row = slice.chunks_exact(self.words_per_row).position(has_voxels)?;
        let last_row = slice.chunks_exact(self.words_per_row).rposition(has_voxels)?;
        let rows = &slice[first_row * self.words_per_row..(last_row + 1) * self.words_per_row];
        let mut columns = vec![0; self.words_per_row];
        for row in rows.chunks_exact(self.words_per_row) {
            add(&mut columns, row);
        }
        let first = columns.iter().position(|word| *word != 0)?;
        let last = columns.iter().rposition(|word| *word != 0)?;
        let low = first * WORD + columns[first].trailing_zeros() as usize;
        let high = (last + 1) * WORD - columns[last].leading_zeros() as usize;
        Some(([low, first_row], [high, last_row + 1]))
    }

    /// The set within a box whose `low[0]` is a multiple of 64, on a grid of its own.
    pub fn crop(&self, bounds: &VoxelBounds) -> VoxelSet {
        let mut bits = VoxelSet::unset([0, 1, 2].map(|axis| bounds.high[axis] - bounds.low[axis]));
        let (first, words_per_row) = (bounds.low[0] / WORD, bits.words_per_row);
        let beyond = words_per_row * WORD - bits.size[0];
        bits.slices_mut().for_each(|(z, slice)| {
            for (y, row) in slice.chunks_exact_mut(words_per_row).enumerate() {
                let whole = self.row(y + bounds.low[1], z + bounds.low[2]);
                row.copy_from_slice(&whole[first..first + words_per_row]);
                row[words_per_row - 1] &= u64::MAX >> beyond;
            }
        });
        bits
    }

    /// The set put back where it was cropped from.
    pub fn uncrop(&self, bounds: &VoxelBounds, size: [usize; 3]) -> VoxelSet {
        let mut bits = VoxelSet::unset(size);
        let (words_per_row, first) = (bits.words_per_row, bounds.low[0] / WORD);
        bits.slices_mut().for_each(|(z, slice)| {
            slice.fill(0);
            if (bounds.low[2]..bounds.high[2]).contains(&z) {
                for y in bounds.low[1]..bounds.high[1] {
                    let row = self.row(y - bounds.low[1], z - bounds.low[2]);
                    slice[y * words_per_row + first..][..row.len()].copy_from_slice(row);
                }
            }
        });
        bits
    }
}

/// Makes the bits beyond the end of each row zero again.
fn clear_beyond(words: &mut [u64], columns: usize, words_per_row: usize) {
    let beyond = words_per_row * WORD - columns;
    if beyond > 0 {
        let rows = words.chunks_exact_mut(words_per_row);
        rows.for_each(|row| row[words_per_row - 1] &= u64::MAX >> beyond);
    }
}

fn add(words: &mut [u64], others: &[u64]) {
    words.iter_mut().zip(others).for_each(|(word, other)| *word |= other);
}

/// The voxels below a CT number, as a word. Comparisons give a byte of 0 or 1 each; a multiplication gathers
/// eight of them into eight bits.
fn word_below(voxels: &[i16; WORD], hu: i16) -> u64 {
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let bytes = voxels.map(|voxel| u8::from(voxel < hu));
    let eights = bytes.as_chunks().0.iter().enumerate();
    eights.fold(0, |word, (index, eight)| {
        word | (u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56) << (8 * index)
    })
}

/// The voxels below a CT number, of at most 64, as a word.
pub fn some_below(voxels: &[i16], hu: i16) -> u64 {
    let mut below = [0];
    row_below(voxels, hu, &mut below);
    below[0]
}

fn row_below(voxels: &[i16], hu: i16, words: &mut [u64]) {
    let (whole, rest) = voxels.as_chunks();
    for (word, voxels) in words.iter_mut().zip(whole) {
        *word = word_below(voxels, hu);
    }
    if !rest.is_empty() {
        let mut last = [i16::MAX; WORD];
        last[..rest.len()].copy_from_slice(rest);
        words[whole.len()] = word_below(&last, hu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voxels(bits: &VoxelSet) -> Vec<[usize; 3]> {
        let [columns, rows, slices] = bits.size;
        let all = (0..slices).flat_map(|z| (0..rows).flat_map(move |y| (0..columns).map(move |x| [x, y, z])));
        all.filter(|at| bits.contains(*at)).collect()
    }

    #[test]
    fn below_is_strict_in_every_column() {
        let size = [75, 3, 2];
        let hu = |index: usize| ((index * 7919) % 2000) as i16 - 1000;
        let array: Vec<i16> = (0..450).map(hu).collect();
        let bits = VoxelSet::below(&array, size, -400);
        for (index, [x, y, z]) in (0..450).map(|i| (i, [i % 75, i / 75 % 3, i / 225])) {
            assert_eq!(bits.contains([x, y, z]), hu(index) < -400, "{x} {y} {z}");
        }
        assert_eq!(bits.count() + bits.clone().complement().count(), 450);
    }

    #[test]
    fn a_dilated_voxel_is_the_ball() {
        let spacing = [0.7, 1.0, 2.0];
        for x in [3, 62, 64, 70] {
            let mut bits = VoxelSet::empty([75, 9, 5]);
            bits.insert([x, 4, 2]);
            let inside = |[u, v, w]: &[usize; 3]| {
                let away = [(*u, x, 0), (*v, 4, 1), (*w, 2, 2)];
                let squares = away.map(|(a, b, axis)| ((a as f64 - b as f64) * spacing[axis]).powi(2));
                squares.iter().sum::<f64>() <= 9.0
            };
            let full = VoxelSet::empty([75, 9, 5]).complement();
            let expected: Vec<[usize; 3]> = voxels(&full).into_iter().filter(inside).collect();
            assert_eq!(voxels(&bits.dilate(&VoxelBall::new(3.0, spacing))), expected);
        }
    }

    #[test]
    fn closing_fills_a_hole_and_keeps_the_outline() {
        let mut bits = VoxelSet::empty([80, 12, 12]);
        for index in 0..6 * 6 * 6 {
            bits.insert([60 + index % 6, 3 + index / 6 % 6, 3 + index / 36]);
        }
        let whole = bits.clone();
        let mut hole = VoxelSet::empty(bits.size);
        hole.insert([63, 6, 6]);
        bits.remove(&hole);
        assert_eq!(bits.close(&VoxelBall::new(1.5, [1.0; 3])), whole);
    }

    #[test]
    fn crop_keeps_what_is_inside() {
        let mut bits = VoxelSet::empty([200, 4, 4]);
        bits.insert([70, 1, 1]);
        bits.insert([150, 2, 2]);
        let cropped = bits.crop(&VoxelBounds { low: [64, 1, 1], high: [100, 4, 4] });
        assert_eq!(voxels(&cropped), [[6, 0, 0]]);
    }

    #[test]
    fn a_changed_set_has_another_box() {
        let mut bits = VoxelSet::empty([130, 4, 3]);
        assert_eq!(bits.bounds(), None);
        bits.insert([5, 1, 1]);
        assert_eq!(bits.bounds(), Some(VoxelBounds { low: [5, 1, 1], high: [6, 2, 2] }));
        bits.insert([129, 3, 0]);
        assert_eq!(bits.bounds(), Some(VoxelBounds { low: [5, 1, 0], high: [130, 4, 2] }));
        assert_eq!(bits.complement().bounds(), Some(VoxelBounds { low: [0; 3], high: [130, 4, 3] }));
    }
}
