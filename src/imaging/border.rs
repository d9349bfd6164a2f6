//! The border of the field of view in a slice of a coarse grid, and where it cuts a lung.
//!
//! Air at the border between solid cells is lung if all of it in the slice is as dense as lung, and if most of it
//! is on this side, seen from the middle, of the line between the ends of its stretch of the border. The foam of a
//! table is as dense as lung, too, but it is beyond that line or around the body. What is beyond the line is lung
//! where the field of view is smaller than the lungs: there it is as uneven as lung, because of its vessels.

use super::coarse::{CoarseGrid, OUTSIDE_HU};

/// Mean of the lung in a slice, away from its surface.
const LUNG_HU: std::ops::RangeInclusive<f64> = -945.0..=-400.0;
/// The least share of a lung's cells on this side of the line between the ends of its stretch of the border.
const INWARD_SHARE: f64 = 0.5;
/// A cell with a lower mean holds gas alone.
const GAS_HU: i16 = -975;
/// The largest share of such cells in a lung on this side of the line, and in one beyond it.
const GAS_SHARE_INWARD: f64 = 0.5;
const GAS_SHARE_BEYOND: f64 = 0.1;
/// The unevenness of lung, in HU and as a multiple of that of soft tissue, which has the same noise. Foam has about
/// a third of that of tissue.
const UNEVEN_HU: f64 = 15.0;
const UNEVEN_LEAST: f64 = 0.85;
/// How far beyond the end of a stretch the slope of the lung's surface is measured, and the steepest slope.
const SLOPE_CELLS: usize = 5;
const SLOPE_MOST: usize = 3;

/// The border of the field of view in a slice.
pub struct FieldBorder<'a> {
    grid: &'a CoarseGrid,
    z: usize,
    /// The column of each cell of a slice.
    columns: Vec<u16>,
    /// The outermost cells within the field of view, in order around it.
    pub rim: Vec<usize>,
}

/// A part of the border with lung behind it.
pub struct BorderStretch {
    pub z: usize,
    /// The cells in order along the border, as indexes in the slice.
    pub cells: Vec<usize>,
    /// The slope at which the lung's surface leaves the border: depth by length, a mean of both ends.
    pub slope: f64,
}

impl<'a> FieldBorder<'a> {
    pub fn of(grid: &'a CoarseGrid, z: usize) -> FieldBorder<'a> {
        let columns = grid.size[0];
        let column_of = (0..grid.size[1]).flat_map(|_| 0..columns as u16).collect();
        let mut border = FieldBorder { grid, z, columns: column_of, rim: Vec::new() };
        let [middle_x, middle_y] = border.middle();
        let rim = border.rim_cells().into_iter();
        let mut around: Vec<(f64, f64, usize)> = rim
            .map(|cell| {
                let [x, y] = [(cell % columns) as f64 - middle_x, (cell / columns) as f64 - middle_y];
                (y.atan2(x), x.hypot(y), cell)
            })
            .collect();
        around.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
        border.rim = around.into_iter().map(|(_, _, cell)| cell).collect();
        border
    }

    /// The middle of the slice, in cells.
    fn middle(&self) -> [f64; 2] {
        [0, 1].map(|axis| (self.grid.size[axis] as f64 - 1.0) / 2.0)
    }

    pub fn hu(&self, cell: usize) -> i16 {
        self.grid.means[self.z * self.grid.size[0] * self.grid.size[1] + cell]
    }

    /// The largest CT number of a cell.
    pub fn peak(&self, cell: usize) -> i16 {
        self.grid.peaks[self.z * self.cell_count() + cell]
    }

    /// The number of cells of the slice.
    pub fn cell_count(&self) -> usize {
        self.columns.len()
    }

    /// The width of a cell.
    pub fn cell_mm(&self) -> f64 {
        self.grid.spacing[0]
    }

    /// The neighbours of a cell in this slice.
    pub fn beside(&self, cell: usize) -> impl Iterator<Item = usize> + use<> {
        let (columns, x) = (self.grid.size[0], usize::from(self.columns[cell]));
        let ways = [
            (x > 0).then(|| cell - 1),
            (x + 1 < columns).then(|| cell + 1),
            (cell >= columns).then(|| cell - columns),
            (cell + columns < self.columns.len()).then(|| cell + columns),
        ];
        ways.into_iter().flatten()
    }

    /// The cells within the field of view that have one outside of it, or none, beside them or across a corner.
    fn rim_cells(&self) -> Vec<usize> {
        let [columns, rows, _] = self.grid.size;
        let slice = &self.grid.means[self.z * columns * rows..][..columns * rows];
        let row = |y: usize| &slice[y * columns..][..columns];
        let has_outside: Vec<bool> = (0..rows).map(|y| row(y).contains(&OUTSIDE_HU)).collect();
        let mut rim = Vec::new();
        for y in 0..rows {
            let near = y.saturating_sub(1)..(y + 2).min(rows);
            let is_end = y == 0 || y + 1 == rows;
            if !is_end && !has_outside[near.clone()].contains(&true) {
                rim.extend([y * columns, (y + 1) * columns - 1]);
                continue;
            }
            let is_rim = |x: &usize| {
                let around = x.saturating_sub(1)..(x + 2).min(columns);
                let at_edge = is_end || *x == 0 || x + 1 == columns;
                let touches = || near.clone().any(|y| row(y)[around.clone()].contains(&OUTSIDE_HU));
                row(y)[*x] != OUTSIDE_HU && (at_edge || touches())
            };
            rim.extend((0..columns).filter(is_rim).map(|x| y * columns + x));
        }
        rim.dedup();
        rim
    }

    /// The stretches of the border between cells of the body that have lung behind them.
    pub fn lung_like(&self, is_body: &[bool], tissue_unevenness: impl Fn() -> f64) -> Vec<BorderStretch> {
        let Some(start) = self.rim.iter().position(|cell| is_body[*cell]) else { return Vec::new() };
        let count = self.rim.len();
        let mut found = Vec::new();
        let mut cells: Vec<usize> = Vec::new();
        for step in start + 1..=start + count {
            let cell = self.rim[step % count];
            if !is_body[cell] {
                cells.push(cell);
                continue;
            }
            let cells = std::mem::take(&mut cells);
            if self.has_lung_behind(&cells, is_body, &tissue_unevenness) {
                // The rim is a ring, and may be shorter than the way back.
                let before = step + SLOPE_CELLS * count - cells.len() - SLOPE_CELLS;
                let depths = [before, step + SLOPE_CELLS - 1]
                    .map(|place| self.wall_cells(self.rim[place % count], is_body));
                let slope = (depths[0] + depths[1] - 0.5) / (2 * SLOPE_CELLS) as f64;
                found.push(BorderStretch { z: self.z, cells, slope: slope.max(0.0) });
            }
        }
        found
    }

    fn has_lung_behind(
        &self,
        stretch: &[usize],
        is_body: &[bool],
        tissue_unevenness: impl Fn() -> f64,
    ) -> bool {
        if stretch.is_empty() {
            return false;
        }
        let air = self.air_around(stretch, is_body);
        let all: Vec<usize> = (0..air.len()).filter(|cell| air[*cell]).collect();
        let inner: Vec<usize> = all.iter().copied().filter(|cell| self.is_inner(*cell, &air)).collect();
        // A thin lung has no cells without others beside them.
        let counted = if inner.is_empty() { &all } else { &inner };
        let mean = counted.iter().map(|cell| f64::from(self.hu(*cell))).sum::<f64>() / counted.len() as f64;
        if !LUNG_HU.contains(&mean) {
            return false;
        }
        let gas = inner.iter().filter(|cell| self.hu(**cell) < GAS_HU).count() as f64;
        let gas_share = gas / inner.len().max(1) as f64;
        let is_short = 2 * stretch.len() < self.rim.len();
        if is_short && self.inward_share(stretch, &air) > INWARD_SHARE {
            return gas_share <= GAS_SHARE_INWARD;
        }
        gas_share <= GAS_SHARE_BEYOND
            && unevenness(self.grid, self.z, |cell| self.is_inner(cell, &air))
                >= UNEVEN_HU.max(UNEVEN_LEAST * tissue_unevenness())
    }

    /// Whether the air has a cell with all its neighbours.
    fn is_inner(&self, cell: usize, air: &[bool]) -> bool {
        air[cell] && self.beside(cell).all(|beside| air[beside])
    }

    /// The cells of the body on the way from a cell of the border to the middle of the field of view.
    fn wall_cells(&self, cell: usize, is_body: &[bool]) -> f64 {
        let columns = self.grid.size[0];
        let middle = self.middle();
        let from = [(cell % columns) as f64, (cell / columns) as f64];
        let length = (middle[0] - from[0]).hypot(middle[1] - from[1]).max(1.0);
        let wall = (0..SLOPE_CELLS * SLOPE_MOST).take_while(|step| {
            let share = *step as f64 / length;
            let [x, y] =
                [0, 1].map(|axis| (from[axis] + share * (middle[axis] - from[axis])).round() as usize);
            share <= 1.0 && is_body[y * columns + x]
        });
        wall.count() as f64
    }

    /// The share of the air on this side, seen from the middle, of the line between the ends of a stretch.
    fn inward_share(&self, stretch: &[usize], air: &[bool]) -> f64 {
        let columns = self.grid.size[0];
        let point = |cell: usize| [(cell % columns) as f64, (cell / columns) as f64];
        let middle = self.middle();
        let [first, last] = [point(stretch[0]), point(stretch[stretch.len() - 1])];
        let halfway = [0, 1].map(|axis| (first[axis] + last[axis]) / 2.0);
        // The line's normal, to the middle of the field of view.
        let across = [first[1] - last[1], last[0] - first[0]];
        let inward = [middle[0] - halfway[0], middle[1] - halfway[1]];
        let along = across[0] * inward[0] + across[1] * inward[1];
        let normal = if along == 0.0 { inward } else { across.map(|part| part * along) };
        let [mut on_this_side, mut all] = [0_u32; 2];
        for cell in (0..air.len()).filter(|cell| air[*cell]) {
            let [x, y] = point(cell);
            all += 1;
            on_this_side += u32::from((x - halfway[0]) * normal[0] + (y - halfway[1]) * normal[1] > 0.0);
        }
        f64::from(on_this_side) / f64::from(all.max(1))
    }

    /// The cells without body that are connected with a stretch in this slice.
    fn air_around(&self, stretch: &[usize], is_body: &[bool]) -> Vec<bool> {
        let mut around = vec![false; is_body.len()];
        let mut stack = stretch.to_vec();
        while let Some(cell) = stack.pop() {
            if is_body[cell] || self.hu(cell) == OUTSIDE_HU || std::mem::replace(&mut around[cell], true) {
                continue;
            }
            stack.extend(self.beside(cell));
        }
        around
    }
}

impl BorderStretch {
    /// The part from the first cell that a rule accepts to the last.
    pub fn part(&self, accepts: impl Fn(usize) -> bool) -> &[usize] {
        let first = self.cells.iter().position(|cell| accepts(*cell));
        let last = self.cells.iter().rposition(|cell| accepts(*cell));
        first.zip(last).map_or(&[], |(first, last)| &self.cells[first..=last])
    }
}

/// The median difference in HU of neighbouring cells along x of some kind in a slice.
pub fn unevenness(grid: &CoarseGrid, z: usize, accepts: impl Fn(usize) -> bool) -> f64 {
    let columns = grid.size[0];
    let slice = z * columns * grid.size[1];
    let pairs = (1..columns * grid.size[1])
        .filter(|cell| !cell.is_multiple_of(columns) && accepts(*cell) && accepts(cell - 1));
    let hu = |cell: usize| grid.means[slice + cell];
    let mut steps: Vec<u16> = pairs.map(|cell| hu(cell).abs_diff(hu(cell - 1))).collect();
    let middle = steps.len() / 2;
    if steps.is_empty() { 0.0 } else { f64::from(*steps.select_nth_unstable(middle).1) }
}

/// Length of the chord of a part of the border in mm.
pub fn chord_mm(grid: &CoarseGrid, part: &[usize]) -> f64 {
    let columns = grid.size[0];
    let point =
        |cell: &usize| [(cell % columns) as f64 * grid.spacing[0], (cell / columns) as f64 * grid.spacing[1]];
    let (Some(first), Some(last)) = (part.first().map(point), part.last().map(point)) else { return 0.0 };
    (last[0] - first[0]).hypot(last[1] - first[1]) + grid.spacing[0]
}
