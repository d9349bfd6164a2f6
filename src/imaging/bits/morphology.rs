//! Dilation and erosion of sets of voxels by balls.
//!
//! A lung fills a part of the box around it: only the rows that can change are looked at, slice by slice.

use std::ops::Range;

use rayon::prelude::*;

use super::ball::VoxelDisc;
use super::{VoxelBall, VoxelSet, WORD, add, clear_beyond};

impl VoxelSet {
    /// Every voxel that a ball around a voxel of the set reaches.
    pub fn dilate(&self, ball: &VoxelBall) -> VoxelSet {
        let filled = self.filled_rows();
        let reached = |z: usize| {
            let slices = z.saturating_sub(ball.discs.len() - 1)..filled.len().min(z + ball.discs.len());
            let rows = filled[slices].iter().fold(0..0, |rows, other| hull(&rows, other));
            if rows.is_empty() { rows } else { widened(&rows, ball.rows, self.size[1]) }
        };
        let reached: Vec<Range<usize>> = (0..self.size[2]).map(reached).collect();
        self.reached(ball, &filled, &reached)
    }

    /// Every voxel around which the whole ball is in the set; voxels outside the grid count as in the set.
    pub fn erode(self, ball: &VoxelBall) -> VoxelSet {
        // A ball has its middle, so only voxels of the set remain.
        let filled = self.filled_rows();
        let (columns, words_per_row) = (self.size[0], self.words_per_row);
        let around = self.complement();
        let mut eroded = around.reached(ball, &around.filled_rows(), &filled);
        eroded.slices_mut().for_each(|(z, slice)| {
            let rows = &mut slice[in_words(&filled[z], words_per_row)];
            rows.iter_mut().for_each(|word| *word = !*word);
            clear_beyond(rows, columns, words_per_row);
        });
        eroded
    }

    /// Adds the voxels that no ball outside the set can reach.
    pub fn close(&self, ball: &VoxelBall) -> VoxelSet {
        self.dilate(ball).erode(ball)
    }

    /// For each slice, the rows from the first to the last with voxels.
    fn filled_rows(&self) -> Vec<Range<usize>> {
        let filled = |z: usize| {
            let slice = self.slice(z);
            let first = slice.iter().position(|word| *word != 0).unwrap_or(slice.len());
            let last = slice.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
            if first < last { first / self.words_per_row..last.div_ceil(self.words_per_row) } else { 0..0 }
        };
        (0..self.size[2]).into_par_iter().map(filled).collect()
    }

    /// What a ball around each voxel of the set reaches in some rows of each slice; nothing in other rows. `filled` are
    /// the rows with voxels.
    fn reached(&self, ball: &VoxelBall, filled: &[Range<usize>], wanted: &[Range<usize>]) -> VoxelSet {
        let mut found = VoxelSet::empty(self.size);
        let slice_words = self.words_per_row * self.size[1];
        let buffer = || [vec![0; slice_words], vec![0; slice_words * (ball.half_width_most + 1)]];
        found.slices_mut().for_each_init(buffer, |[pair, reached], (z, slice)| {
            let wanted = &wanted[z];
            if wanted.is_empty() {
                return;
            }
            let words = in_words(wanted, self.words_per_row);
            reached.chunks_exact_mut(slice_words).for_each(|reached| reached[words.clone()].fill(0));
            let near = widened(wanted, ball.rows, self.size[1]);
            for disc in &ball.discs {
                let rows = self.rows_beside(z, disc.dz, filled, &near, pair);
                self.reach(disc, pair, &rows, wanted, reached);
            }
            self.widen_and_join(reached, slice, words);
        });
        found
    }

    /// Joins the slices at a distance to either side, in the rows with voxels among some rows. Returns these rows.
    fn rows_beside(
        &self,
        z: usize,
        dz: usize,
        filled: &[Range<usize>],
        near: &Range<usize>,
        pair: &mut [u64],
    ) -> Range<usize> {
        let before = z.checked_sub(dz).filter(|z| !filled[*z].is_empty());
        let after = Some(z + dz).filter(|z| *z < self.size[2] && !filled[*z].is_empty());
        let [Some(one), Some(other)] = [before.or(after), after.or(before)] else { return 0..0 };
        let rows = hull(&filled[one], &filled[other]);
        let rows = rows.start.max(near.start)..rows.end.min(near.end);
        if rows.is_empty() {
            return 0..0;
        }
        let words = in_words(&rows, self.words_per_row);
        let [ones, others] = [one, other].map(|z| &self.slice(z)[words.clone()]);
        pair[words].iter_mut().zip(ones).zip(others).for_each(|((word, one), other)| *word = one | other);
        rows
    }

    /// Fills a slice of `reached` for every half width: the wanted rows to which the ball extends with that half width.
    fn reach(
        &self,
        disc: &VoxelDisc,
        source: &[u64],
        rows: &Range<usize>,
        wanted: &Range<usize>,
        reached: &mut [u64],
    ) {
        let slices = reached.chunks_exact_mut(source.len());
        for (half_widths, reached) in disc.dys_by_half_width.iter().zip(slices) {
            for dy in half_widths {
                let to = rows.start.saturating_add_signed(*dy).max(wanted.start)
                    ..rows.end.saturating_add_signed(*dy).min(wanted.end);
                if !to.is_empty() {
                    let from = to.start.saturating_add_signed(-dy)..to.end.saturating_add_signed(-dy);
                    let [to, from] = [to, from].map(|rows| in_words(&rows, self.words_per_row));
                    add(&mut reached[to], &source[from]);
                }
            }
        }
    }

    /// In some words, widens the slice of the largest half width by one voxel, joins it with the next, and so on down
    /// to the rows themselves.
    fn widen_and_join(&self, reached: &[u64], slice: &mut [u64], words: Range<usize>) {
        let length = slice.len();
        let rows = &mut slice[words.clone()];
        for (half_width, reached) in reached.chunks_exact(length).enumerate().rev() {
            add(rows, &reached[words.clone()]);
            if half_width > 0 {
                rows.chunks_exact_mut(self.words_per_row).for_each(widen);
            }
        }
        clear_beyond(rows, self.size[0], self.words_per_row);
    }
}

/// The least range that holds two.
fn hull(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.clone(),
        (_, true) => one.clone(),
        _ => one.start.min(other.start)..one.end.max(other.end),
    }
}

/// A range with some more to either side, up to an end.
fn widened(range: &Range<usize>, by: usize, end: usize) -> Range<usize> {
    range.start.saturating_sub(by)..end.min(range.end + by)
}

fn in_words(rows: &Range<usize>, words_per_row: usize) -> Range<usize> {
    rows.start * words_per_row..rows.end * words_per_row
}

/// Adds both neighbours along x.
fn widen(row: &mut [u64]) {
    let mut before = 0;
    for index in 0..row.len() {
        let word = row[index];
        let after = row.get(index + 1).map_or(0, |next| next << (WORD - 1));
        row[index] = word | word << 1 | word >> 1 | before >> (WORD - 1) | after;
        before = word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voxel by voxel, as the definitions say.
    fn slowly(bits: &VoxelSet, radius_mm: f64, spacing: [f64; 3], with: fn(bool) -> bool) -> VoxelSet {
        let size = bits.size();
        let place = |index: usize| [index % size[0], index / size[0] % size[1], index / size[0] / size[1]];
        let all: Vec<[usize; 3]> = (0..size.iter().product()).map(place).collect();
        let others: Vec<[usize; 3]> = all.iter().copied().filter(|at| with(bits.contains(*at))).collect();
        VoxelSet::of(size, |index| {
            let reaches = |other: &[usize; 3]| {
                let away = |axis: usize| other[axis].abs_diff(all[index][axis]) as f64 * spacing[axis];
                (0..3).map(|axis| away(axis).powi(2)).sum::<f64>() <= radius_mm.powi(2)
            };
            with(others.iter().any(reaches))
        })
    }

    #[test]
    fn rows_without_voxels_change_nothing() {
        let (size, spacing) = ([70, 12, 9], [0.7, 1.0, 2.0]);
        let block =
            |[x, y, z]: [usize; 3]| (60..70).contains(&x) && (1..8).contains(&y) && (2..8).contains(&z);
        let place = |index: usize| [index % 70, index / 70 % 12, index / 840];
        let sets = [
            VoxelSet::empty(size),
            VoxelSet::empty(size).complement(),
            VoxelSet::of(size, |index| matches!(place(index), [3, 0, 0] | [65, 11, 4] | [5, 6, 8])),
            VoxelSet::of(size, |index| block(place(index)) && index % 37 != 0),
        ];
        for bits in sets {
            for radius_mm in [0.5, 2.1, 4.0] {
                let ball = VoxelBall::new(radius_mm, spacing);
                assert_eq!(bits.dilate(&ball), slowly(&bits, radius_mm, spacing, |is_in| is_in));
                assert_eq!(bits.clone().erode(&ball), slowly(&bits, radius_mm, spacing, |is_in| !is_in));
            }
        }
    }
}
