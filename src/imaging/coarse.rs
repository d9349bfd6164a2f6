//! A coarse copy of a volume: the mean CT numbers of cells of about 4 mm.

use std::ops::Range;

use rayon::prelude::*;

use super::bits::{VoxelBounds, VoxelSet, WORD};

/// Width of a cell.
const CELL_MM: f64 = 4.0;
/// No material has such a CT number, and noise hardly reaches it: the voxel lies outside the field of view.
pub const PADDING_HU: i16 = -1500;
/// The share of such voxels in a cell outside the field of view.
const PADDING_SHARE: usize = 8;
/// Where all slices have one and the same value up to this, the field of view has ended, too. With a higher one it
/// has ended where the corners of the slices have it.
const FILLED_HU: i16 = -1000;
/// The least share of a slice that a round field of view takes: the largest one takes 79 %.
const DISC_SHARE_LEAST: f64 = 0.4;
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
    /// The largest CT numbers of cells.
    pub peaks: Vec<i16>,
    volume_size: [usize; 3],
}

/// The mean of a cell outside the field of view.
pub const OUTSIDE_HU: i16 = i16::MIN;

/// Sums over some rows, column by column: what lies side by side in memory is added at once.
#[derive(Default)]
pub struct ColumnSums {
    sums: Vec<i32>,
    padded: Vec<u16>,
    least: Vec<i16>,
    most: Vec<i16>,
    /// Whether a voxel is padding.
    has_padding: bool,
}

impl ColumnSums {
    /// Adds up rows that lie in the same columns.
    fn sum<'a>(&mut self, columns: usize, rows: impl Iterator<Item = &'a [i16]> + Clone) {
        reset(&mut self.sums, columns, 0);
        reset(&mut self.least, columns, i16::MAX);
        reset(&mut self.most, columns, i16::MIN);
        for row in rows.clone() {
            self.sums.iter_mut().zip(row).for_each(|(sum, hu)| *sum += i32::from((*hu).max(LEAST_HU)));
            self.least.iter_mut().zip(row).for_each(|(least, hu)| *least = (*least).min(*hu));
            self.most.iter_mut().zip(row).for_each(|(most, hu)| *most = (*most).max(*hu));
        }
        self.has_padding = self.least.iter().fold(i16::MAX, |least, hu| least.min(*hu)) < PADDING_HU;
        if self.has_padding {
            reset(&mut self.padded, columns, 0);
            for row in rows {
                let counts = self.padded.iter_mut().zip(row);
                counts.for_each(|(count, hu)| *count += u16::from(*hu < PADDING_HU));
            }
        }
    }

    /// The largest CT number of a cell of some columns.
    fn peak(&self, columns: Range<usize>) -> i16 {
        self.most[columns].iter().copied().fold(i16::MIN, i16::max)
    }

    /// The mean of a cell of some columns and rows, and the one value that all of its voxels have.
    fn cell(&self, columns: Range<usize>, rows: usize) -> (i16, Option<i16>) {
        let voxels = rows * columns.len();
        let sum: i32 = self.sums[columns.clone()].iter().sum();
        let mean = (sum / voxels as i32) as i16;
        let least = self.least[columns.start];
        let is_one = self.least[columns.clone()].iter().all(|hu| *hu == least)
            && self.most[columns.clone()].iter().all(|hu| *hu == least);
        let filled = is_one.then_some(least);
        if !self.has_padding {
            return (mean, filled);
        }
        let padded: usize = self.padded[columns].iter().map(|count| usize::from(*count)).sum();
        (if padded * PADDING_SHARE >= voxels { OUTSIDE_HU } else { mean }, filled)
    }
}

fn reset<T: Copy>(numbers: &mut Vec<T>, length: usize, to: T) {
    numbers.clear();
    numbers.resize(length, to);
}

/// The cells of one layer: their means and peaks, and the one value that all voxels of a cell have.
pub struct CoarseLayer {
    means: Vec<i16>,
    peaks: Vec<i16>,
    filled: Vec<Option<i16>>,
}

/// The way from voxels to a grid, layer by layer: while the slices of a layer are in the processor's cache, that
/// costs little.
pub struct CoarseLayers {
    /// Without means.
    grid: CoarseGrid,
}

impl CoarseLayers {
    /// The layers of a volume, by its size and spacing.
    pub fn of(volume_size: [usize; 3], volume_spacing: [f64; 3]) -> CoarseLayers {
        let factor = volume_spacing.map(|mm| ((CELL_MM / mm).round() as usize).max(1));
        let size = std::array::from_fn(|axis| volume_size[axis].div_ceil(factor[axis]));
        let spacing = std::array::from_fn(|axis| volume_spacing[axis] * factor[axis] as f64);
        CoarseLayers {
            grid: CoarseGrid { factor, size, spacing, means: Vec::new(), peaks: Vec::new(), volume_size },
        }
    }

    /// The number of slices of a layer; the last one can have fewer.
    pub fn depth(&self) -> usize {
        self.grid.factor[2]
    }

    /// The layer of some slices, from about a fifth of their voxels: every second row of every second slice. A
    /// cell that has one value in all voxels, as outside a round field of view, is told with it.
    pub fn layer(&self, voxels: &[i16], sums: &mut ColumnSums) -> CoarseLayer {
        let CoarseGrid { factor, size, volume_size: [columns, rows, _], .. } = self.grid;
        let slices = (0..voxels.len() / (columns * rows)).step_by((factor[2] / 2).max(1));
        let cells = size[0] * size[1];
        let mut layer = CoarseLayer {
            means: Vec::with_capacity(cells),
            peaks: Vec::with_capacity(cells),
            filled: Vec::with_capacity(cells),
        };
        for y in 0..size[1] {
            let some = (y * factor[1]..rows.min((y + 1) * factor[1])).step_by((factor[1] / 2).max(1));
            let start = |y: usize, z: usize| (z * rows + y) * columns;
            let lines = slices.clone().flat_map(|z| some.clone().map(move |y| start(y, z)));
            let lines = lines.map(|start| &voxels[start..start + columns]);
            let count = lines.clone().count();
            sums.sum(columns, lines);
            for x in 0..size[0] {
                let of_cell = x * factor[0]..columns.min((x + 1) * factor[0]);
                layer.peaks.push(sums.peak(of_cell.clone()));
                let (mean, filled) = sums.cell(of_cell, count);
                layer.means.push(mean);
                layer.filled.push(filled);
            }
        }
        layer
    }

    /// The grid of all layers in order.
    pub fn join(self, layers: &[CoarseLayer]) -> CoarseGrid {
        let mut grid = self.grid;
        let cells = grid.size[0] * grid.size[1];
        grid.means = layers.iter().flat_map(|layer| &layer.means).copied().collect();
        grid.peaks = layers.iter().flat_map(|layer| &layer.peaks).copied().collect();
        let of_layer = |layer: &CoarseLayer, column: usize| layer.filled[column];
        let fixed: Vec<Option<i16>> = (0..cells)
            .map(|column| {
                let first = layers.first().and_then(|layer| of_layer(layer, column));
                first.filter(|_| layers.iter().all(|layer| of_layer(layer, column) == first))
            })
            .collect();
        let low: Vec<bool> = fixed.iter().map(|hu| hu.is_some_and(|hu| hu <= FILLED_HU)).collect();
        if grid.disc_share(&low).is_some() {
            grid.end_field(&low);
        }
        // Padding that reads as tissue or bone, as of a negative number in bits without a sign.
        let corner = fixed.first().copied().flatten().filter(|hu| *hu > FILLED_HU);
        let high: Vec<bool> = fixed.iter().map(|hu| corner.is_some() && *hu == corner).collect();
        if corner.is_some() && grid.disc_share(&high).is_some_and(|share| share >= DISC_SHARE_LEAST) {
            // The cells at the field's border have some of it.
            grid.end_field(&grid.widened(&high));
        }
        grid
    }
}

impl CoarseGrid {
    /// The grid of voxels, x fastest.
    pub fn of(voxels: &[i16], volume_size: [usize; 3], volume_spacing: [f64; 3]) -> CoarseGrid {
        let layers = CoarseLayers::of(volume_size, volume_spacing);
        let slices = voxels.par_chunks(volume_size[0] * volume_size[1] * layers.depth());
        let made: Vec<CoarseLayer> =
            slices.map_init(ColumnSums::default, |sums, slices| layers.layer(slices, sums)).collect();
        layers.join(&made)
    }

    /// Whether this is the grid of a volume of a size and spacing.
    pub fn fits(&self, volume_size: [usize; 3], volume_spacing: [f64; 3]) -> bool {
        let CoarseLayers { grid } = CoarseLayers::of(volume_size, volume_spacing);
        (grid.volume_size, grid.factor, grid.spacing) == (self.volume_size, self.factor, self.spacing)
    }

    /// Makes some cells of all slices such that are outside the field of view.
    fn end_field(&mut self, cells: &[bool]) {
        for numbers in [&mut self.means, &mut self.peaks] {
            for slice in numbers.chunks_exact_mut(cells.len()) {
                let outside = slice.iter_mut().zip(cells).filter(|(_, is_outside)| **is_outside);
                outside.for_each(|(hu, _)| *hu = OUTSIDE_HU);
            }
        }
    }

    /// Some cells of a slice with all eight neighbours of each.
    fn widened(&self, cells: &[bool]) -> Vec<bool> {
        let [columns, rows, _] = self.size;
        let near = |at: usize, end: usize| at.saturating_sub(1)..(at + 2).min(end);
        let beside = |cell: usize| {
            let (x, y) = (cell % columns, cell / columns);
            near(y, rows).any(|y| near(x, columns).any(|x| cells[y * columns + x]))
        };
        (0..cells.len()).map(beside).collect()
    }

    /// The share of a slice that a disc in its middle takes, as a round field of view does, if some cells are those
    /// around it. Air that has one value around a patient is not.
    fn disc_share(&self, cells: &[bool]) -> Option<f64> {
        let middle = [0, 1].map(|axis| (self.size[axis] as f64 - 1.0) / 2.0);
        let far = |cell: usize| {
            let [x, y] = [(cell % self.size[0]) as f64, (cell / self.size[0]) as f64];
            (x - middle[0]).hypot(y - middle[1])
        };
        let others = (0..cells.len()).filter(|cell| !cells[*cell]);
        let radius = others.map(far).fold(0.0, f64::max);
        let within: Vec<usize> = (0..cells.len()).filter(|cell| far(*cell) < radius - 2.0).collect();
        let holes = within.iter().filter(|cell| cells[**cell]).count();
        let is_around = holes as f64 <= DISC_HOLES_MOST * within.len() as f64;
        is_around.then_some(within.len() as f64 / cells.len() as f64)
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
        let mut cells = VoxelSet::empty(self.size);
        let (words_per_row, ranges) = (cells.words_per_row(), self.cells_within(bounds));
        cells.slices_mut().filter(|(z, _)| ranges[2].contains(z)).for_each(|(z, slice)| {
            for (y, words) in slice.chunks_exact_mut(words_per_row).enumerate() {
                if !ranges[1].contains(&y) {
                    continue;
                }
                let row = set.row(self.middle(1, y) - bounds.low[1], self.middle(2, z) - bounds.low[2]);
                if row.iter().all(|word| *word == 0) {
                    continue;
                }
                for x in ranges[0].clone() {
                    let column = self.middle(0, x) - bounds.low[0];
                    words[x / WORD] |= (row[column / WORD] >> (column % WORD) & 1) << (x % WORD);
                }
            }
        });
        cells
    }

    /// The cells whose middle is in a set on the volume's grid.
    pub fn cells_of(&self, set: &VoxelSet) -> VoxelSet {
        self.cells_in(set, &VoxelBounds { low: [0; 3], high: self.volume_size })
    }

    /// Along each axis, the cells whose middle is in a box of the volume.
    pub fn cells_within(&self, bounds: &VoxelBounds) -> [Range<usize>; 3] {
        std::array::from_fn(|axis| {
            let first_from = |place: usize| {
                let cells = 0..self.size[axis];
                cells.into_iter().find(|cell| self.middle(axis, *cell) >= place).unwrap_or(self.size[axis])
            };
            let first = first_from(bounds.low[axis]);
            first..first_from(bounds.high[axis]).max(first)
        })
    }

    /// The voxel in the middle of a cell, along an axis.
    pub fn middle(&self, axis: usize, cell: usize) -> usize {
        (cell * self.factor[axis] + self.factor[axis] / 2).min(self.volume_size[axis] - 1)
    }

    /// The rows of cells in order: y, z and the index of the first cell.
    pub fn rows(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let [columns, rows, slices] = self.size;
        (0..slices).flat_map(move |z| (0..rows).map(move |y| (y, z, (z * rows + y) * columns)))
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
