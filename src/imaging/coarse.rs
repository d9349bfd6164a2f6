//! A coarse copy of a volume: the mean CT numbers of cells of about 4 mm.

use std::ops::Range;

use rayon::prelude::*;

use super::Volume;
use super::bits::{VoxelBounds, VoxelSet, WORD};

/// Width of a cell.
const CELL_MM: f64 = 4.0;
/// No material has such a CT number, and noise hardly reaches it: the voxel lies outside the field of view.
const PADDING_HU: i16 = -1500;
/// The share of such voxels in a cell outside the field of view.
const PADDING_SHARE: usize = 8;
/// Where all slices have one and the same value up to this, the field of view has ended, too.
const FILLED_HU: i16 = -1000;
/// The share of a round field of view that may have that value.
const DISC_HOLES_MOST: f64 = 0.02;
/// The least CT number that counts: below it there is only noise.
const LEAST_HU: i16 = -1024;

/// Mean CT numbers of cells, x fastest.
pub struct CoarseGrid {
    /// Voxels per cell.
    pub factor: [usize; 3],
    pub size: [usize; 3],
    pub spacing: [f64; 3],
    pub means: Vec<i16>,
    volume_size: [usize; 3],
}

/// The mean of a cell outside the field of view.
pub const OUTSIDE_HU: i16 = i16::MIN;

/// Sums over some rows, column by column: what lies side by side in memory is added at once.
struct ColumnSums {
    sums: Vec<i32>,
    padded: Vec<u16>,
    least: Vec<i16>,
    most: Vec<i16>,
}

impl ColumnSums {
    fn of(columns: usize) -> ColumnSums {
        ColumnSums {
            sums: vec![0; columns],
            padded: vec![0; columns],
            least: vec![i16::MAX; columns],
            most: vec![i16::MIN; columns],
        }
    }

    fn clear(&mut self) {
        self.sums.fill(0);
        self.padded.fill(0);
        self.least.fill(i16::MAX);
        self.most.fill(i16::MIN);
    }

    fn add(&mut self, row: &[i16]) {
        self.sums.iter_mut().zip(row).for_each(|(sum, hu)| *sum += i32::from((*hu).max(LEAST_HU)));
        self.padded.iter_mut().zip(row).for_each(|(count, hu)| *count += u16::from(*hu < PADDING_HU));
        self.least.iter_mut().zip(row).for_each(|(least, hu)| *least = (*least).min(*hu));
        self.most.iter_mut().zip(row).for_each(|(most, hu)| *most = (*most).max(*hu));
    }

    /// The mean of a cell of some columns and rows, and the one value that all of its voxels have.
    fn cell(&self, columns: Range<usize>, rows: usize) -> (i16, Option<i16>) {
        let voxels = rows * columns.len();
        let padded: usize = self.padded[columns.clone()].iter().map(|count| usize::from(*count)).sum();
        let least = self.least[columns.clone()].iter().min();
        let most = self.most[columns.clone()].iter().max();
        let sum: i32 = self.sums[columns].iter().sum();
        let is_padding = padded * PADDING_SHARE >= voxels;
        let mean = if is_padding { OUTSIDE_HU } else { (sum / voxels as i32) as i16 };
        (mean, least.filter(|hu| Some(*hu) == most && **hu <= FILLED_HU).copied())
    }
}

impl CoarseGrid {
    pub fn of(volume: &Volume) -> CoarseGrid {
        let factor = volume.spacing.map(|mm| ((CELL_MM / mm).round() as usize).max(1));
        let size: [usize; 3] = std::array::from_fn(|axis| volume.size[axis].div_ceil(factor[axis]));
        let spacing = std::array::from_fn(|axis| volume.spacing[axis] * factor[axis] as f64);
        let mut means = vec![0; size.iter().product()];
        let mut filled = vec![None; means.len()];
        let mut grid = CoarseGrid { factor, size, spacing, means: Vec::new(), volume_size: volume.size };
        let cells = size[0] * size[1];
        let slices = means.par_chunks_exact_mut(cells).zip(filled.par_chunks_exact_mut(cells)).enumerate();
        slices.for_each_init(
            || ColumnSums::of(volume.size[0]),
            |sums, (z, (means, filled))| {
                let rows = means.chunks_exact_mut(size[0]).zip(filled.chunks_exact_mut(size[0]));
                rows.enumerate().for_each(|(y, cells)| grid.fill_row(volume, [y, z], sums, cells));
            },
        );
        let of_slice = |column: usize, z: usize| filled[z * cells + column];
        let fixed: Vec<bool> = (0..cells)
            .map(|column| {
                let first = of_slice(column, 0);
                first.is_some() && (1..size[2]).all(|z| of_slice(column, z) == first)
            })
            .collect();
        if grid.is_around_a_disc(&fixed) {
            for at in (0..means.len()).filter(|at| fixed[at % cells]) {
                means[at] = OUTSIDE_HU;
            }
        }
        grid.means = means;
        grid
    }

    /// Whether some cells of a slice are those around a disc in its middle, as a round field of view is. Air that
    /// has one value around a patient is not.
    fn is_around_a_disc(&self, cells: &[bool]) -> bool {
        let middle = [0, 1].map(|axis| (self.size[axis] as f64 - 1.0) / 2.0);
        let far = |cell: usize| {
            let [x, y] = [(cell % self.size[0]) as f64, (cell / self.size[0]) as f64];
            (x - middle[0]).hypot(y - middle[1])
        };
        let others = (0..cells.len()).filter(|cell| !cells[*cell]);
        let radius = others.map(far).fold(0.0, f64::max);
        let within: Vec<usize> = (0..cells.len()).filter(|cell| far(*cell) < radius - 2.0).collect();
        let holes = within.iter().filter(|cell| cells[**cell]).count();
        holes as f64 <= DISC_HOLES_MOST * within.len() as f64
    }

    /// Fills a row of cells from about a fifth of their voxels: every second row of every second slice. A cell
    /// that has one value in all voxels, as outside a round field of view, is told with it.
    fn fill_row(
        &self,
        volume: &Volume,
        [y, z]: [usize; 2],
        sums: &mut ColumnSums,
        (means, filled): (&mut [i16], &mut [Option<i16>]),
    ) {
        let some = |axis: usize, cell: usize| {
            let [factor, most] = [self.factor[axis], volume.size[axis]];
            (cell * factor..most.min((cell + 1) * factor)).step_by((factor / 2).max(1))
        };
        sums.clear();
        let mut rows = 0;
        for z in some(2, z) {
            for y in some(1, y) {
                rows += 1;
                sums.add(volume.row(y, z));
            }
        }
        for (x, (mean, filled)) in means.iter_mut().zip(filled).enumerate() {
            let columns = x * self.factor[0]..volume.size[0].min((x + 1) * self.factor[0]);
            (*mean, *filled) = sums.cell(columns, rows);
        }
    }

    pub fn index(&self, [x, y, z]: [usize; 3]) -> usize {
        (z * self.size[1] + y) * self.size[0] + x
    }

    pub fn place(&self, index: usize) -> [usize; 3] {
        [index % self.size[0], index / self.size[0] % self.size[1], index / self.size[0] / self.size[1]]
    }

    pub fn mean(&self, at: [usize; 3]) -> i16 {
        self.means[self.index(at)]
    }

    /// Volume of a cell in mL.
    pub fn cell_ml(&self) -> f64 {
        self.spacing.iter().product::<f64>() / 1000.0
    }

    pub fn set(&self, accepts: impl Fn(usize) -> bool + Sync) -> VoxelSet {
        VoxelSet::of(self.size, accepts)
    }

    /// The cells whose middle is in a set in a box of the volume.
    pub fn cells_in(&self, set: &VoxelSet, bounds: &VoxelBounds) -> VoxelSet {
        self.set(|cell| {
            let centre = self.centre(self.place(cell));
            let within = (0..3).all(|axis| (bounds.low[axis]..bounds.high[axis]).contains(&centre[axis]));
            within && set.contains(std::array::from_fn(|axis| centre[axis] - bounds.low[axis]))
        })
    }

    /// The voxel in the middle of a cell.
    pub fn centre(&self, cell: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| {
            (cell[axis] * self.factor[axis] + self.factor[axis] / 2).min(self.volume_size[axis] - 1)
        })
    }

    /// The box of the volume that some cells cover.
    pub fn voxels_of(&self, cells: &VoxelBounds) -> VoxelBounds {
        let low = std::array::from_fn(|axis| cells.low[axis] * self.factor[axis]);
        let high =
            std::array::from_fn(|axis| self.volume_size[axis].min(cells.high[axis] * self.factor[axis]));
        VoxelBounds { low, high }
    }

    /// A row of cells as a row of voxels, from a column of the volume on.
    pub fn refine_row(&self, cells: &[u64], first: usize, columns: usize, words: &mut [u64]) {
        words.fill(0);
        for (index, word) in cells.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                let cell = index * WORD + left.trailing_zeros() as usize;
                let run = (!(left >> (cell % WORD))).trailing_zeros() as usize;
                left &= if cell % WORD + run >= WORD { 0 } else { u64::MAX << (cell % WORD + run) };
                let from = (cell * self.factor[0]).max(first);
                let to = ((cell + run) * self.factor[0]).min(first + columns);
                (from..to).for_each(|x| words[(x - first) / WORD] |= 1 << ((x - first) % WORD));
            }
        }
    }

    /// The voxels of some cells within a box of the volume.
    pub fn refine(&self, cells: &VoxelSet, bounds: &VoxelBounds) -> VoxelSet {
        let size: [usize; 3] = std::array::from_fn(|axis| bounds.high[axis] - bounds.low[axis]);
        let mut voxels = VoxelSet::empty(size);
        let words_per_row = voxels.words_per_row();
        voxels.slices_mut().for_each(|(z, slice)| {
            let z = (z + bounds.low[2]) / self.factor[2];
            let mut last = usize::MAX;
            for y in 0..size[1] {
                let row = (y + bounds.low[1]) / self.factor[1];
                let at = y * words_per_row;
                if row == last {
                    slice.copy_within(at - words_per_row..at, at);
                } else {
                    let words = &mut slice[at..at + words_per_row];
                    self.refine_row(cells.row(row, z), bounds.low[0], size[0], words);
                    last = row;
                }
            }
        });
        voxels
    }
}
