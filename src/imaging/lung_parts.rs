//! The parts of a lung: thirds from top to bottom, and core and peel.
//!
//! Thirds have a third of the lung's volume each, as in the Chest Imaging Platform. A slice belongs to the third
//! that the middle of its voxels lies in. The peel is what lies near the lung's surface. Its distance is measured
//! on cells of about 4 mm, at least half of them lung, so that vessels are no surface.

use super::bits::{VoxelBall, VoxelBounds, VoxelSet, WORD};
use super::{LungPart, Volume};

/// Width of a cell.
const CELL_MM: f64 = 4.0;

/// The place of each voxel of one lung among its parts.
pub struct LungDivision {
    /// The third of each slice.
    thirds: Vec<usize>,
    /// Voxels per cell.
    factor: [usize; 3],
    /// The core: full columns, and a row and a slice per cell.
    core: VoxelSet,
}

impl LungDivision {
    pub const THIRDS: [LungPart; 3] = [LungPart::UpperThird, LungPart::MiddleThird, LungPart::LowerThird];

    /// Divides a lung on the volume's grid; cells whose centres are up to `peel_mm` from a cell that is no lung
    /// are peel.
    pub fn of(volume: &Volume, lung: &VoxelSet, peel_mm: f64) -> LungDivision {
        let factor = volume.spacing.map(|mm| ((CELL_MM / mm).round() as usize).max(1));
        let spacing = std::array::from_fn(|axis| volume.spacing[axis] * factor[axis] as f64);
        let core = lung_cells(lung, factor).erode(&VoxelBall::new(peel_mm, spacing));
        LungDivision {
            thirds: thirds(lung, volume.axes[2][2] >= 0.0),
            factor,
            core: columns_of(&core, volume.size[0], factor[0]),
        }
    }

    /// The third that a slice belongs to: 0 is the upper one.
    pub fn third(&self, z: usize) -> usize {
        self.thirds[z]
    }

    /// The core in a row of voxels.
    pub fn core_row(&self, y: usize, z: usize) -> &[u64] {
        self.core.row(y / self.factor[1], z / self.factor[2])
    }
}

/// The third of each slice. The first slice is the lowest if the stack goes up.
fn thirds(lung: &VoxelSet, goes_up: bool) -> Vec<usize> {
    let counts: Vec<u64> = (0..lung.size()[2]).map(|z| lung.slice_count(z)).collect();
    let total: u64 = counts.iter().sum();
    let mut before = 0;
    let third = |count: &u64| {
        let middle = 2 * before + count;
        before += count;
        let third = (3 * middle / (2 * total).max(1)).min(2) as usize;
        if goes_up { 2 - third } else { third }
    };
    counts.iter().map(third).collect()
}

/// The cells of which at least half is lung, by every second row of every second slice.
fn lung_cells(lung: &VoxelSet, factor: [usize; 3]) -> VoxelSet {
    let size = lung.size();
    let cells = std::array::from_fn(|axis| size[axis].div_ceil(factor[axis]));
    let mut set = VoxelSet::empty(cells);
    let some = |axis: usize, cell: usize| {
        let end = size[axis].min((cell + 1) * factor[axis]);
        (cell * factor[axis]..end).step_by((factor[axis] / 2).max(1))
    };
    let Some(VoxelBounds { low, high }) = lung.bounds() else { return set };
    let [rows, slices] = [1, 2].map(|axis| low[axis] / factor[axis]..high[axis].div_ceil(factor[axis]));
    let mut counts = vec![0; cells[0]];
    for (z, y) in slices.flat_map(|z| rows.clone().map(move |y| (z, y))) {
        let mut rows = 0;
        counts.fill(0);
        for row in some(2, z).flat_map(|z| some(1, y).map(move |y| lung.row(y, z))) {
            rows += 1;
            count_cells(row, factor[0], &mut counts);
        }
        for (x, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            if 2 * count >= rows * factor[0].min(size[0] - x * factor[0]) {
                set.insert([x, y, z]);
            }
        }
    }
    set
}

/// Adds the number of bits of a row in each cell of some columns.
fn count_cells(row: &[u64], factor: usize, counts: &mut [usize]) {
    for (index, word) in row.iter().enumerate().filter(|(_, word)| **word != 0) {
        let (first, end) = (index * WORD, (index + 1) * WORD);
        let cells = first / factor..end.div_ceil(factor).min(counts.len());
        for (cell, count) in cells.clone().zip(&mut counts[cells]) {
            // The columns of the cell that are in the word.
            let [from, to] = [(cell * factor).max(first), ((cell + 1) * factor).min(end)];
            let bits = word >> (from - first) & (u64::MAX >> (WORD - (to - from)));
            *count += bits.count_ones() as usize;
        }
    }
}

/// Cells with their full width in columns.
fn columns_of(cells: &VoxelSet, columns: usize, factor: usize) -> VoxelSet {
    let [width, rows, slices] = cells.size();
    let mut set = VoxelSet::empty([columns, rows, slices]);
    for (z, y) in (0..slices).flat_map(|z| (0..rows).map(move |y| (z, y))) {
        if cells.row(y, z).iter().all(|word| *word == 0) {
            continue;
        }
        for x in (0..width).filter(|x| cells.contains([*x, y, z])) {
            (x * factor..columns.min((x + 1) * factor)).for_each(|x| set.insert([x, y, z]));
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(size: [usize; 3], spacing: [f64; 3], up: f64) -> Volume {
        let voxels: usize = size.iter().product();
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, up]];
        Volume { voxels: vec![0; voxels].into(), size, spacing, origin: [0.0; 3], axes }
    }

    #[test]
    fn thirds_have_the_same_volume_and_begin_at_the_top() {
        // A cone: slice z has z + 1 voxels, 45 in all.
        let lung = VoxelSet::of([10, 1, 9], |index| index % 10 <= index / 10);
        assert_eq!(thirds(&lung, false), [0, 0, 0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(thirds(&lung, true), [2, 2, 2, 2, 2, 1, 1, 0, 0]);
        assert_eq!(thirds(&VoxelSet::empty([10, 1, 3]), true), [2, 2, 2]);
    }

    #[test]
    fn the_peel_is_near_the_surface_and_vessels_are_none() {
        // A box of 40 mm in voxels of 1 mm, with a vessel of one voxel through its middle.
        let size = [80, 60, 60];
        let inside = |index: usize| {
            let at = [index % 80, index / 80 % 60, index / 80 / 60];
            let is_vessel = at[1] == 30 && at[2] == 30;
            (20..60).contains(&at[0]) && (8..48).contains(&at[1]) && (8..48).contains(&at[2]) && !is_vessel
        };
        let lung = VoxelSet::of(size, inside);
        let division = LungDivision::of(&volume(size, [1.0; 3], 1.0), &lung, 10.0);
        let core = |x: usize, y: usize, z: usize| division.core_row(y, z)[x / 64] >> (x % 64) & 1 == 1;
        // Centres of cells lie at 22, 26 …; the nearest cell that is no lung at 18: 30 is 12 mm away, 26 is 8.
        let along: Vec<usize> = (0..80).filter(|x| core(*x, 29, 29)).collect();
        assert_eq!(along, (28..52).collect::<Vec<usize>>());
        assert!(core(40, 30, 30) && !core(40, 12, 30) && !core(40, 30, 45));
    }

    #[test]
    fn bits_are_counted_across_words() {
        let row = [u64::MAX << 60, 0b1011];
        let counts = |factor: usize, cells: usize| {
            let mut counts = vec![0; cells];
            count_cells(&row, factor, &mut counts);
            counts
        };
        assert_eq!(counts(5, 26)[11..15], [0, 5, 2, 0]);
        assert_eq!(counts(62, 3), [2, 5, 0]);
        assert_eq!(counts(100, 2), [7, 0]);
    }
}
