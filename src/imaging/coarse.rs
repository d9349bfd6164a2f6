//! A coarse copy of a volume, with cells of about 4 mm, and where the inside of the body is on it.
//!
//! The body is the largest solid piece, filled slice by slice, so that the table, the bedding and the air
//! around them fall away, and so does an airway that is open to the outside air in other slices. Where the
//! field of view cuts a lung, a stretch of its border that lies between solid cells and is as dense as lung
//! counts as a wall. The foam of a table is as dense as lung, too, but it lies outside a body that is convex.

use rayon::prelude::*;

use super::Volume;
use super::bits::{VoxelBounds, VoxelSet, WORD};
use super::components::VoxelComponents;

/// Width of a cell.
const CELL_MM: f64 = 4.0;
/// A cell of this mean is solid. Thin shells of a table, half air, are not.
const SOLID_HU: i16 = -200;
/// No material has such a CT number: the voxel lies outside the field of view.
const PADDING_HU: i16 = -1200;
/// The least CT number that counts: below it there is only noise.
const LEAST_HU: i16 = -1024;
/// Means of lung at the border of the field of view, over one stretch of it.
pub const LUNG_HU: std::ops::RangeInclusive<f64> = -940.0..=-400.0;
/// The most of such a stretch that may be as thin as gas.
const GAS_SHARE_MOST: f64 = 0.4;
/// The least share of the line between the ends of such a stretch that runs through lung.
const CHORD_SHARE: f64 = 0.5;
/// The shortest stretch of the border that can be lung.
const STRETCH_CELLS: usize = 3;

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

impl CoarseGrid {
    pub fn of(volume: &Volume) -> CoarseGrid {
        let factor = volume.spacing.map(|mm| ((CELL_MM / mm).round() as usize).max(1));
        let size: [usize; 3] = std::array::from_fn(|axis| volume.size[axis].div_ceil(factor[axis]));
        let spacing = std::array::from_fn(|axis| volume.spacing[axis] * factor[axis] as f64);
        let mut means = vec![0; size.iter().product()];
        let mut grid = CoarseGrid { factor, size, spacing, means: Vec::new(), volume_size: volume.size };
        let slices = means.par_chunks_exact_mut(size[0] * size[1]).enumerate();
        slices.for_each(|(z, slice)| {
            for (y, row) in slice.chunks_exact_mut(size[0]).enumerate() {
                grid.fill_row(volume, y, z, row);
            }
        });
        grid.means = means;
        grid
    }

    /// Fills a row of cells from about a fifth of their voxels: every second row of every second slice.
    fn fill_row(&self, volume: &Volume, y: usize, z: usize, means: &mut [i16]) {
        let some = |axis: usize, cell: usize| {
            let [factor, most] = [self.factor[axis], volume.size[axis]];
            (cell * factor..most.min((cell + 1) * factor)).step_by((factor / 2).max(1))
        };
        let mut sums = vec![0_i32; means.len()];
        let mut least = vec![i16::MAX; means.len()];
        let mut rows = 0;
        for z in some(2, z) {
            for y in some(1, y) {
                rows += 1;
                let cells = volume.row(y, z).chunks(self.factor[0]);
                for ((voxels, sum), least) in cells.zip(&mut sums).zip(&mut least) {
                    *sum += voxels.iter().map(|hu| i32::from((*hu).max(LEAST_HU))).sum::<i32>();
                    *least = voxels.iter().fold(*least, |least, hu| least.min(*hu));
                }
            }
        }
        for (x, mean) in means.iter_mut().enumerate() {
            let columns = self.factor[0].min(volume.size[0] - x * self.factor[0]);
            *mean =
                if least[x] < PADDING_HU { OUTSIDE_HU } else { (sums[x] / (rows * columns) as i32) as i16 };
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

    pub fn set(&self, accepts: impl Fn(usize) -> bool) -> VoxelSet {
        VoxelSet::of(self.size, accepts)
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

/// The inside of the body on a coarse grid.
pub struct BodyInside {
    /// Cells inside the body that are not solid, with one cell around.
    pub region: VoxelSet,
    /// Cells outside the body, in its slices.
    pub outside: VoxelSet,
    /// Cells at the border of the field of view that are as dense as lung.
    pub border: VoxelSet,
    /// Column of the spine, or of the middle of the body.
    pub spine: f64,
}

pub fn body_inside(grid: &CoarseGrid) -> Option<BodyInside> {
    let solid = grid.set(|cell| grid.means[cell] >= SOLID_HU);
    let components = VoxelComponents::of(&solid);
    let body = components.select(&[*components.by_size(|_| true).first()?]);
    let slice_cells = grid.size[0] * grid.size[1];
    let slices: Vec<FilledSlice> = (0..grid.size[2])
        .into_par_iter()
        .map(|z| BodySlice { grid, body: &body, z, states: vec![CellState::Inside; slice_cells] }.filled())
        .collect();
    let state = |cell: usize| slices[cell / slice_cells].states[cell % slice_cells];
    let inside = grid.set(|cell| state(cell) == CellState::Inside);
    let outside = grid.set(|cell| state(cell) == CellState::Outside);
    let mut region = widened(&inside);
    region.remove(&outside);
    let border = grid.set(|cell| {
        state(cell) == CellState::Inside && slices[cell / slice_cells].border.contains(&(cell % slice_cells))
    });
    let spine = spine(grid, &body, &inside);
    Some(BodyInside { region, outside, border, spine })
}

/// A set of cells with all 26 neighbours of each.
pub fn widened(cells: &VoxelSet) -> VoxelSet {
    cells.dilate(&super::bits::VoxelBall::new(1.8, [1.0; 3]))
}

/// The column of the spine: where most bone lies in the back half of the body's air. Without bone, the middle
/// of the body.
fn spine(grid: &CoarseGrid, body: &VoxelSet, inside: &VoxelSet) -> f64 {
    const BONE_HU: i16 = 180;
    const WIDTH_MM: f64 = 44.0;
    let middle = body.bounds().map_or(0.0, |bounds| (bounds.low[0] + bounds.high[0] - 1) as f64 / 2.0);
    let Some(bounds) = inside.bounds() else { return middle };
    let mut bone = vec![0_u32; grid.size[0]];
    let behind = (bounds.low[1] + bounds.high[1]) / 2..(bounds.high[1] + 8).min(grid.size[1]);
    for z in bounds.low[2]..bounds.high[2] {
        for y in behind.clone() {
            for (x, count) in bone.iter_mut().enumerate() {
                *count += u32::from(grid.mean([x, y, z]) >= BONE_HU && body.contains([x, y, z]));
            }
        }
    }
    let width = ((WIDTH_MM / grid.spacing[0]).round() as usize).max(1);
    let within = |from: usize| bone[from..from + width].iter().sum::<u32>();
    let most = (0..grid.size[0].saturating_sub(width)).map(|from| (within(from), from)).max();
    let Some((count, first)) = most.filter(|(count, _)| *count > 4 * (bounds.high[2] - bounds.low[2]) as u32)
    else {
        return middle;
    };
    let moments = (first..first + width).map(|x| x as f64 * f64::from(bone[x])).sum::<f64>();
    moments / f64::from(count)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellState {
    Body,
    Inside,
    Outside,
}

struct BodySlice<'a> {
    grid: &'a CoarseGrid,
    body: &'a VoxelSet,
    z: usize,
    states: Vec<CellState>,
}

/// A slice whose cells are told apart, and the cells at its border that count as wall.
struct FilledSlice {
    states: Vec<CellState>,
    border: std::collections::BTreeSet<usize>,
}

impl BodySlice<'_> {
    fn filled(mut self) -> FilledSlice {
        let [columns, rows, _] = self.grid.size;
        for y in 0..rows {
            for x in 0..columns {
                if self.body.contains([x, y, self.z]) {
                    self.states[y * columns + x] = CellState::Body;
                }
            }
        }
        let rim = self.rim();
        let border = self.lung_like(&rim);
        let mut stack: Vec<usize> = rim.into_iter().filter(|cell| !border.contains(cell)).collect();
        stack.extend((0..rows * columns).filter(|cell| self.hu(*cell) == OUTSIDE_HU));
        while let Some(cell) = stack.pop() {
            if self.states[cell] != CellState::Inside || border.contains(&cell) {
                continue;
            }
            self.states[cell] = CellState::Outside;
            stack.extend(self.beside(cell));
        }
        FilledSlice { states: self.states, border }
    }

    fn hu(&self, cell: usize) -> i16 {
        self.grid.means[self.z * self.states.len() + cell]
    }

    /// The cells along the border of the field of view, in order around the slice.
    fn rim(&self) -> Vec<usize> {
        let [columns, rows, _] = self.grid.size;
        let top = (0..columns).map(|x| [x, 0]);
        let right = (1..rows).map(|y| [columns - 1, y]);
        let bottom = (0..columns.saturating_sub(1)).rev().map(|x| [x, rows - 1]);
        let left = (1..rows.saturating_sub(1)).rev().map(|y| [0, y]);
        let edge: Vec<[usize; 2]> = top.chain(right).chain(bottom).chain(left).collect();
        if (0..self.states.len()).all(|cell| self.hu(cell) != OUTSIDE_HU) {
            return edge.into_iter().map(|[x, y]| y * columns + x).collect();
        }
        let mut rim = Vec::new();
        for [x, y] in edge {
            rim.extend(self.first_within([x, y]).filter(|cell| rim.last() != Some(cell)));
        }
        rim
    }

    /// The first cell within the field of view on the way from the edge to the middle.
    fn first_within(&self, [x, y]: [usize; 2]) -> Option<usize> {
        let [columns, rows, _] = self.grid.size;
        let [middle_x, middle_y] = [columns as f64 / 2.0, rows as f64 / 2.0];
        let steps = columns.max(rows);
        let way = (0..steps).map(|step| {
            let share = step as f64 / steps as f64;
            let along = |from: usize, to: f64| (from as f64 + share * (to - from as f64)) as usize;
            along(y, middle_y).min(rows - 1) * columns + along(x, middle_x).min(columns - 1)
        });
        way.into_iter().find(|cell| self.hu(*cell) != OUTSIDE_HU)
    }

    /// The stretches of the border between solid cells that are as dense as lung.
    fn lung_like(&self, rim: &[usize]) -> std::collections::BTreeSet<usize> {
        let mut found = std::collections::BTreeSet::new();
        let Some(start) = rim.iter().position(|cell| self.states[*cell] == CellState::Body) else {
            return found;
        };
        let mut stretch: Vec<usize> = Vec::new();
        for step in 1..=rim.len() {
            let cell = rim[(start + step) % rim.len()];
            if self.states[cell] != CellState::Body {
                stretch.push(cell);
                continue;
            }
            let means = || stretch.iter().map(|cell| f64::from(self.hu(*cell)));
            let mean = means().sum::<f64>() / stretch.len().max(1) as f64;
            let gas = means().filter(|mean| mean < LUNG_HU.start()).count();
            // Air with a table in it has such a mean, too, and is mostly gas.
            let is_gas = gas as f64 > GAS_SHARE_MOST * stretch.len() as f64;
            let is_lung = stretch.len() >= STRETCH_CELLS && LUNG_HU.contains(&mean) && !is_gas;
            if is_lung && self.chord_share(&stretch) > CHORD_SHARE {
                found.extend(stretch.iter().copied());
            }
            stretch.clear();
        }
        found
    }

    /// The share of the straight line between the ends of a stretch that runs through the air around the
    /// stretch. Behind a cut lung this is the lung; outside of the body it is the body.
    fn chord_share(&self, stretch: &[usize]) -> f64 {
        let around = self.air_around(stretch);
        let columns = self.grid.size[0];
        let [first, last] = [stretch[0], stretch[stretch.len() - 1]]
            .map(|cell| [(cell % columns) as f64, (cell / columns) as f64]);
        let steps = (last[0] - first[0]).abs().max((last[1] - first[1]).abs()).max(1.0);
        let on_chord = (0..=steps as usize).filter(|step| {
            let share = *step as f64 / steps;
            let [x, y] =
                [0, 1].map(|axis| (first[axis] + share * (last[axis] - first[axis])).round() as usize);
            around[y * columns + x]
        });
        on_chord.count() as f64 / (steps + 1.0)
    }

    /// The cells without body that are connected with a stretch in this slice.
    fn air_around(&self, stretch: &[usize]) -> Vec<bool> {
        let mut around = vec![false; self.states.len()];
        let mut stack = stretch.to_vec();
        while let Some(cell) = stack.pop() {
            if self.states[cell] == CellState::Body || std::mem::replace(&mut around[cell], true) {
                continue;
            }
            stack.extend(self.beside(cell));
        }
        around
    }

    /// The neighbours of a cell in this slice.
    fn beside(&self, cell: usize) -> impl Iterator<Item = usize> + use<> {
        let [columns, rows, _] = self.grid.size;
        let [x, y] = [cell % columns, cell / columns];
        let ways = [
            (x > 0).then(|| cell - 1),
            (x + 1 < columns).then(|| cell + 1),
            (y > 0).then(|| cell - columns),
            (y + 1 < rows).then(|| cell + columns),
        ];
        ways.into_iter().flatten()
    }
}
