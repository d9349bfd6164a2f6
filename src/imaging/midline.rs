//! The surface between the lungs: from front to back in each slice, through as little lung as it can.
//!
//! In each slice of a coarse grid the cheapest way from the front to the back is found row by row (dynamic
//! programming): lung is dear, tissue is cheap, and so are the middle of the body and the place of the way in
//! the slice before. So the surface passes between the lungs where they touch, and beside a lung that
//! is alone and reaches over the middle.

use super::bits::VoxelSet;
use super::coarse::CoarseGrid;

/// How far the surface may leave the middle of the body.
const REACH_MM: f64 = 72.0;
/// Costs of a cell, in units of a cell of healthy lung: for being away from the middle and from the slice
/// before, each per mm, and for a step aside.
const AWAY_COST: f32 = 0.0015;
const APART_COST: f32 = 0.006;
const ASIDE_COST: f32 = 0.06;
/// The most columns of a step aside.
const STEPS: usize = 2;

/// The column of the surface for each row of each coarse slice. A cell at the column belongs to the higher
/// side.
pub struct MidlineSurface {
    rows: usize,
    columns: Vec<u16>,
}

impl MidlineSurface {
    /// The surface between the cells of lung around the middle of the body, which is a column.
    pub fn between(grid: &CoarseGrid, lung: &VoxelSet, middle: f64) -> MidlineSurface {
        let [columns, rows, slices] = grid.size;
        let reach = REACH_MM / grid.spacing[0];
        let low = (middle - reach).max(0.0) as usize;
        let high = ((middle + reach).ceil() as usize + 1).min(columns).max(low + 1);
        let mut surface = MidlineSurface { rows, columns: vec![0; rows * slices] };
        let area = |z: usize| {
            (0..rows).map(|y| lung.row(y, z).iter().map(|w| w.count_ones()).sum::<u32>()).sum::<u32>()
        };
        let widest = (0..slices).max_by_key(|z| (area(*z), *z)).unwrap_or(0);
        let search = SurfaceSearch { grid, lung, middle, low, high };
        let first = search.slice(widest, None);
        surface.columns[widest * rows..][..rows].copy_from_slice(&first);
        for ways in [(widest + 1..slices).collect::<Vec<_>>(), (0..widest).rev().collect()] {
            let mut before = first.clone();
            for z in ways {
                before = search.slice(z, Some(&before));
                surface.columns[z * rows..][..rows].copy_from_slice(&before);
            }
        }
        surface
    }

    /// The column of a row in a coarse slice.
    pub fn column(&self, y: usize, z: usize) -> usize {
        usize::from(self.columns[z * self.rows + y])
    }

    /// Whether a coarse cell lies on the side of the higher columns.
    pub fn is_higher(&self, [x, y, z]: [usize; 3]) -> bool {
        x >= self.column(y, z)
    }
}

struct SurfaceSearch<'a> {
    grid: &'a CoarseGrid,
    lung: &'a VoxelSet,
    middle: f64,
    low: usize,
    high: usize,
}

impl SurfaceSearch<'_> {
    /// The cost of lung in each cell of a row.
    fn lung_costs(&self, y: usize, z: usize) -> Vec<f32> {
        let mut costs = vec![0.0; self.grid.size[0]];
        let row = self.grid.index([0, y, z]);
        for x in self.lung.columns(y, z) {
            let hu = f32::from(self.grid.means[row + x]);
            costs[x] = ((-300.0 - hu) / 560.0).clamp(0.05, 1.0);
        }
        costs
    }

    /// The costs of the surface at each column in reach, in a row.
    fn row_costs(&self, y: usize, z: usize, before: Option<&[u16]>) -> impl Iterator<Item = f32> {
        let mm = self.grid.spacing[0] as f32;
        let lung = self.lung_costs(y, z);
        let before = before.map(|before| usize::from(before[y]));
        (self.low..self.high).map(move |x| {
            // The surface runs between the cell and the one before it.
            let beside = (lung[x.saturating_sub(1)] + lung[x]) / 2.0;
            let away = (x as f32 - self.middle as f32).abs() * mm * AWAY_COST;
            let apart = before.map_or(0.0, |before| x.abs_diff(before) as f32 * mm * APART_COST);
            beside + away + apart
        })
    }

    /// The columns of the cheapest way through a slice.
    fn slice(&self, z: usize, before: Option<&[u16]>) -> Vec<u16> {
        let rows = self.grid.size[1];
        let width = self.high - self.low;
        let mut costs = vec![0.0_f32; width];
        let mut steps = vec![0_i8; width * rows];
        // The last row's costs, between columns that no way comes from.
        let mut last = vec![f32::INFINITY; width + 2 * STEPS];
        for (y, steps) in steps.chunks_exact_mut(width).enumerate() {
            last[STEPS..][..width].copy_from_slice(&costs);
            let row = costs.iter_mut().zip(steps).zip(self.row_costs(y, z, before));
            for (((cost, step), own), from) in row.zip(last.windows(2 * STEPS + 1)) {
                let mut best = (f32::INFINITY, 0);
                for (from, aside) in from.iter().zip(-(STEPS as i8)..) {
                    let sum = from + ASIDE_COST * f32::from(aside.unsigned_abs());
                    if sum < best.0 {
                        best = (sum, aside);
                    }
                }
                *cost = best.0 + own;
                *step = best.1;
            }
        }
        let least = costs.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
        let mut index = least.map_or(0, |(index, _)| index);
        let mut columns = vec![0; rows];
        for y in (0..rows).rev() {
            columns[y] = (self.low + index) as u16;
            index = index.saturating_add_signed(isize::from(steps[y * width + index])).min(width - 1);
        }
        columns
    }
}
