//! Pieces of air inside the body: which are lung, and what the others are.
//!
//! A piece is judged by what it is made of and where it lies, never by its size alone: gas is below −950 HU
//! almost everywhere, lung contains blood. Lung is near other lung. Air in the lower half with lung above and
//! none below is bowel if it has gas in it, unless it is large and as dense as lung. A small piece before the
//! spine with lung on both sides is gas in the gullet or beside the airways: it is so narrow that blur makes it as
//! dense as lung.

use rayon::prelude::*;

use super::Volume;
use super::bits::{VoxelBall, VoxelBounds, VoxelSet, WORD};
use super::body::BodyInside;
use super::coarse::CoarseGrid;
use super::components::VoxelComponents;

/// The mean of a cell of gas, and the share of such cells in a piece that is gas.
pub const GAS_HU: i16 = -950;
const GAS_SHARE: f64 = 0.75;
/// A share of gas at which a piece below the lungs is bowel.
const BOWEL_SHARE: f64 = 0.1;
/// The least share of cells as dense as lung in a large piece below the lungs that is lung for all that.
const LUNG_SHARE: f64 = 0.6;
const LUNG_HU_MOST: i16 = -600;
/// The least mean of such a piece.
const THIN_HU: f64 = -940.0;
/// The mean of a piece that contains too little air to be taken for lung.
pub const DENSE_HU: f64 = -500.0;
/// The greatest distance of a piece of lung from other lung.
const NEAR_MM: f64 = 40.0;
/// A piece of this volume is lung at any distance, unless it lies below the lungs.
const LARGE_ML: f64 = 200.0;
/// A smaller piece at the border of the field of view lies outside the body, as between the patient and a table.
const BORDER_ML: f64 = 100.0;
/// A smaller piece between the lungs, no farther from the middle of the spine than this, is no lung.
const MEDIASTINAL_ML: f64 = 10.0;
/// In small lungs, such a piece has less than this share of them.
const MEDIASTINAL_SHARE: f64 = 0.01;
const SPINE_MM: f64 = 25.0;
/// The part of the lungs' depth, from their front, in which the front of the mediastinum lies. There the lungs meet,
/// and a small piece can be the edge of one.
const FRONT_SHARE: f64 = 0.4;
/// Smaller pieces are not judged.
pub const FRAGMENT_ML: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    Lung,
    /// Gas in the abdomen: lung lies above it and none below.
    Bowel,
    /// Gas elsewhere inside the body, as in a pneumothorax.
    Gas,
    /// Air that is outside the body in the next slice, as between arm and chest or in the mouth, or at the border
    /// of the field of view.
    Open,
    /// Air as dense as lung, but far from the lungs.
    Distant,
    /// Air between the lungs and before the spine, as in the gullet.
    Mediastinal,
    /// Too little air.
    Dense,
    /// Less than [`FRAGMENT_ML`].
    Fragment,
}

/// The pieces of a set of voxels, each with its kind.
pub struct AirPieces {
    pub components: VoxelComponents,
    pub kinds: Vec<PieceKind>,
    /// The piece of each coarse cell, by the voxel in its middle; [`AirPieces::NONE`] without one.
    pub labels: Vec<u32>,
    pub voxel_ml: f64,
}

/// What the cells of a piece are made of. The cells that have it all around count, if there are such.
#[derive(Clone, Copy, Debug, Default)]
struct PieceCells {
    core: CellSums,
    all: CellSums,
    /// Cells with outside air in the slice above or below.
    open: usize,
    at_border: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct CellSums {
    cells: usize,
    sum: f64,
    gas: usize,
    lung: usize,
}

impl CellSums {
    fn add(&mut self, hu: i16, gas_hu: i16) {
        self.cells += 1;
        self.sum += f64::from(hu);
        self.gas += usize::from(hu < gas_hu);
        self.lung += usize::from((gas_hu..=LUNG_HU_MOST).contains(&hu));
    }
}

impl PieceCells {
    fn counted(&self) -> CellSums {
        if self.core.cells > 0 { self.core } else { self.all }
    }

    fn gas_share(&self) -> f64 {
        let CellSums { cells, gas, .. } = self.counted();
        gas as f64 / cells.max(1) as f64
    }

    /// Whether a piece of some volume below the lungs has gas in it as bowel has. A large piece that is mostly
    /// as dense as lung is lung with emphysema.
    fn may_be_bowel(&self, ml: f64) -> bool {
        let is_lung_like =
            self.core.lung as f64 >= LUNG_SHARE * self.core.cells as f64 && self.mean_hu() >= THIN_HU;
        let has_gas = self.gas_share() > BOWEL_SHARE || self.core.cells == 0;
        has_gas && !(ml >= LARGE_ML && is_lung_like)
    }

    fn mean_hu(&self) -> f64 {
        let CellSums { cells, sum, .. } = self.counted();
        if cells == 0 { -700.0 } else { sum / cells as f64 }
    }

    fn is_open(&self) -> bool {
        self.open > 0 && self.open * 50 >= self.all.cells
    }
}

impl AirPieces {
    pub const NONE: u32 = u32::MAX;

    /// Judges the pieces of `air`, a set in a box of the volume. Cells of gas have a mean below `gas_hu`, [`GAS_HU`] where
    /// lungs are not as thin as gas.
    pub fn judge(
        volume: &Volume,
        grid: &CoarseGrid,
        body: &BodyInside,
        air: &VoxelSet,
        bounds: &VoxelBounds,
        gas_hu: i16,
    ) -> AirPieces {
        let components = VoxelComponents::of(air);
        let mut pieces = AirPieces {
            labels: labels(grid, &body.region, &components, bounds),
            kinds: vec![PieceKind::Fragment; components.regions.len()],
            voxel_ml: volume.voxel_ml(),
            components,
        };
        let cells = pieces.cells(grid, body, gas_hu);
        let head_last = volume.axes[2][2] >= 0.0;
        let largest =
            pieces.components.by_size(|_| true).into_iter().filter(|piece| pieces.ml(*piece) >= FRAGMENT_ML);
        let judged: Vec<usize> = largest.collect();
        let mut open = Vec::new();
        for piece in judged {
            let PieceCells { all, .. } = cells[piece];
            pieces.kinds[piece] = if cells[piece].at_border && pieces.ml(piece) < BORDER_ML {
                PieceKind::Open
            } else if cells[piece].gas_share() > GAS_SHARE {
                if cells[piece].is_open() { PieceKind::Open } else { PieceKind::Gas }
            } else if cells[piece].mean_hu() > DENSE_HU && all.cells > 0 {
                PieceKind::Dense
            } else {
                open.push(piece);
                PieceKind::Distant
            };
        }
        pieces.choose_lungs(grid, &cells, &open, head_last);
        pieces.mark_mediastinal(grid, bounds, body.spine.column, volume.axes[1][1] >= 0.0);
        pieces
    }

    pub fn ml(&self, piece: usize) -> f64 {
        self.components.regions[piece].voxels as f64 * self.voxel_ml
    }

    pub fn of_kind(&self, accepts: impl Fn(PieceKind) -> bool) -> Vec<usize> {
        (0..self.kinds.len()).filter(|piece| accepts(self.kinds[*piece])).collect()
    }

    pub fn kind_ml(&self, kind: PieceKind) -> f64 {
        self.of_kind(|other| other == kind).into_iter().fold(0.0, |sum, piece| sum + self.ml(piece))
    }

    pub fn select(&self, kind: PieceKind) -> VoxelSet {
        self.components.select(&self.of_kind(|other| other == kind))
    }

    pub fn kind_at(&self, cell: usize) -> Option<PieceKind> {
        self.kinds.get(self.labels[cell] as usize).copied()
    }

    /// The cells of all pieces in order, each with its piece.
    pub fn labelled(&self, grid: &CoarseGrid) -> impl Iterator<Item = ([usize; 3], usize)> {
        grid.rows().flat_map(|(y, z, first)| {
            let row = (0..).zip(&self.labels[first..first + grid.size[0]]);
            let labelled = row.filter(|(_, label)| **label != AirPieces::NONE);
            labelled.map(move |(x, label)| ([x, y, z], *label as usize))
        })
    }

    /// The coarse cells of a kind.
    pub fn cells_of(&self, grid: &CoarseGrid, kind: PieceKind) -> VoxelSet {
        self.cells_where(grid, |piece| self.kinds[piece] == kind)
    }

    /// The coarse cells of the pieces that a rule accepts. Most cells have no piece, so they are looked at by words.
    fn cells_where(&self, grid: &CoarseGrid, accepts: impl Fn(usize) -> bool) -> VoxelSet {
        let accepted: Vec<bool> = (0..self.kinds.len()).map(accepts).collect();
        let bit = |label: &u32| u64::from(accepted.get(*label as usize) == Some(&true));
        let mut cells = VoxelSet::empty(grid.size);
        let words_per_row = cells.words_per_row();
        let labels: Vec<&[u32]> = self.labels.chunks(grid.size[0] * grid.size[1]).collect();
        cells.slices_mut().for_each(|(z, slice)| {
            let rows = slice.chunks_exact_mut(words_per_row).zip(labels[z].chunks_exact(grid.size[0]));
            let words = rows.flat_map(|(words, labels)| words.iter_mut().zip(labels.chunks(WORD)));
            for (word, labels) in
                words.filter(|(_, labels)| labels.iter().any(|label| *label != AirPieces::NONE))
            {
                *word = labels.iter().rev().fold(0, |word, label| word << 1 | bit(label));
            }
        });
        cells
    }

    fn cells(&self, grid: &CoarseGrid, body: &BodyInside, gas_hu: i16) -> Vec<PieceCells> {
        let mut cells = vec![PieceCells::default(); self.kinds.len()];
        let [columns, rows, slices] = grid.size;
        let steps = [1, columns, columns * rows];
        for (y, z, first) in grid.rows() {
            let row = &self.labels[first..first + columns];
            for (x, label) in (0..).zip(row).filter(|(_, label)| **label != AirPieces::NONE) {
                let (at, cell) = ([x, y, z], first + x);
                let inner = (0..3).all(|axis| {
                    at[axis] > 0
                        && at[axis] + 1 < grid.size[axis]
                        && self.labels[cell - steps[axis]] == *label
                        && self.labels[cell + steps[axis]] == *label
                });
                let piece = &mut cells[*label as usize];
                piece.all.add(grid.means[cell], gas_hu);
                if inner {
                    piece.core.add(grid.means[cell], gas_hu);
                }
                let below = z > 0 && body.outside.contains([x, y, z - 1]);
                let above = z + 1 < slices && body.outside.contains([x, y, z + 1]);
                piece.open += usize::from(below || above);
            }
        }
        for stretch in &body.border {
            let labels = &self.labels[stretch.z * columns * rows..];
            for label in
                stretch.cells.iter().map(|cell| labels[*cell]).filter(|label| *label != AirPieces::NONE)
            {
                cells[label as usize].at_border = true;
            }
        }
        cells
    }

    /// Makes pieces lung: the largest that can be, and those near it; and pieces of gas bowel.
    fn choose_lungs(&mut self, grid: &CoarseGrid, cells: &[PieceCells], open: &[usize], head_last: bool) {
        let Some(first) = open.first() else { return };
        self.kinds[*first] = PieceKind::Lung;
        loop {
            let undecided: Vec<usize> =
                open.iter().copied().filter(|piece| self.kinds[*piece] == PieceKind::Distant).collect();
            if undecided.is_empty() {
                break;
            }
            let lung = self.cells_of(grid, PieceKind::Lung);
            let near = lung.dilate(&VoxelBall::new(NEAR_MM, grid.spacing));
            let columns = LungColumns::of(grid, &lung, head_last);
            let mut changed = false;
            let places = self.places(grid, &undecided);
            for (piece, places) in undecided.iter().zip(places) {
                let is_near = places.iter().any(|at| near.contains(*at)) || places.is_empty();
                let is_below = columns.are_below(&places);
                if is_below && cells[*piece].may_be_bowel(self.ml(*piece)) {
                    continue;
                }
                if is_near || (self.ml(*piece) >= LARGE_ML && !is_below) {
                    self.kinds[*piece] = PieceKind::Lung;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        self.mark_bowel(grid, cells, head_last);
    }

    fn mark_bowel(&mut self, grid: &CoarseGrid, cells: &[PieceCells], head_last: bool) {
        let columns = LungColumns::of(grid, &self.cells_of(grid, PieceKind::Lung), head_last);
        let others =
            self.of_kind(|kind| matches!(kind, PieceKind::Gas | PieceKind::Distant | PieceKind::Dense));
        let places = self.places(grid, &others);
        for (piece, places) in others.into_iter().zip(places) {
            let no_lung = matches!(self.kinds[piece], PieceKind::Gas | PieceKind::Dense);
            if columns.are_below(&places) && (no_lung || cells[piece].may_be_bowel(self.ml(piece))) {
                self.kinds[piece] = PieceKind::Bowel;
            }
        }
    }

    /// Makes small pieces between the lungs and before the spine, which is a column of the grid, mediastinal.
    fn mark_mediastinal(&mut self, grid: &CoarseGrid, bounds: &VoxelBounds, spine: f64, back_last: bool) {
        let small_ml = MEDIASTINAL_ML.min(MEDIASTINAL_SHARE * self.kind_ml(PieceKind::Lung));
        let (small, large): (Vec<usize>, Vec<usize>) = self
            .of_kind(|kind| kind == PieceKind::Lung)
            .into_iter()
            .partition(|piece| self.ml(*piece) < small_ml);
        if small.is_empty() {
            return;
        }
        let lung = self.cells_where(grid, |piece| large.contains(&piece));
        let is_between = |[x, y, z]: &[usize; 3]| {
            let near = (*x as f64 - spine).abs() * grid.spacing[0] <= SPINE_MM;
            let beside = [lung.columns(*y, *z).next(), lung.columns(*y, *z).last()];
            let [Some(first), Some(last)] = beside else { return false };
            let (front, back) = lung_depth(&lung, *z);
            let behind = (*y as f64 - front as f64) / (back - front).max(1) as f64;
            let behind = if back_last { behind } else { 1.0 - behind };
            near && first < *x && *x < last && behind >= FRONT_SHARE
        };
        let places = self.places(grid, &small);
        for (piece, mut places) in small.into_iter().zip(places) {
            if places.is_empty() {
                // Too thin for any cell.
                let centre = self.components.regions[piece].centre();
                places.push(std::array::from_fn(|axis| {
                    (centre[axis] as usize + bounds.low[axis]) / grid.factor[axis]
                }));
            }
            if places.iter().filter(|at| is_between(at)).count() * 10 >= places.len() * 8 {
                self.kinds[piece] = PieceKind::Mediastinal;
            }
        }
    }

    /// The cells of some pieces, in their order.
    fn places(&self, grid: &CoarseGrid, pieces: &[usize]) -> Vec<Vec<[usize; 3]>> {
        let mut order = vec![usize::MAX; self.kinds.len()];
        pieces.iter().enumerate().for_each(|(index, piece)| order[*piece] = index);
        let mut places = vec![Vec::new(); pieces.len()];
        if pieces.is_empty() {
            return places;
        }
        for (at, label) in self.labelled(grid) {
            if let Some(places) = places.get_mut(order[label]) {
                places.push(at);
            }
        }
        places
    }
}

fn labels(
    grid: &CoarseGrid,
    region: &VoxelSet,
    components: &VoxelComponents,
    bounds: &VoxelBounds,
) -> Vec<u32> {
    let mut labels = vec![AirPieces::NONE; grid.means.len()];
    let ranges = grid.cells_within(bounds);
    let rows = labels.par_chunks_exact_mut(grid.size[0]).enumerate();
    rows.for_each(|(row, labels)| {
        let (y, z) = (row % grid.size[1], row / grid.size[1]);
        if !ranges[1].contains(&y) || !ranges[2].contains(&z) {
            return;
        }
        let [y_middle, z_middle] =
            [(1, y), (2, z)].map(|(axis, cell)| grid.middle(axis, cell) - bounds.low[axis]);
        for x in region.columns(y, z).filter(|x| ranges[0].contains(x)) {
            let column = grid.middle(0, x) - bounds.low[0];
            if let Some(label) = components.label([column, y_middle, z_middle]) {
                labels[x] = label as u32;
            }
        }
    });
    labels
}

/// The first and the last row of cells with lung in a slice that has some.
fn lung_depth(lung: &VoxelSet, z: usize) -> (usize, usize) {
    lung.slice_bounds(z).map_or((0, 0), |(low, high)| (low[1], high[1] - 1))
}

/// For each column of cells from feet to head, where lung is.
pub struct LungColumns {
    columns: usize,
    /// Lowest and highest slice with lung, as heights from the feet.
    heights: Vec<Option<[usize; 2]>>,
    middle: usize,
    slices: usize,
    head_last: bool,
}

impl LungColumns {
    pub fn of(grid: &CoarseGrid, lung: &VoxelSet, head_last: bool) -> LungColumns {
        let [columns, rows, slices] = grid.size;
        let mut heights: Vec<Option<[usize; 2]>> = vec![None; columns * rows];
        let (mut low, mut high) = (slices, 0);
        for z in 0..slices {
            let height = if head_last { z } else { slices - 1 - z };
            for y in 0..rows {
                for x in lung.columns(y, z) {
                    let [lowest, highest] = heights[y * columns + x].get_or_insert([height; 2]);
                    *lowest = height.min(*lowest);
                    *highest = height.max(*highest);
                    low = low.min(height);
                    high = high.max(height);
                }
            }
        }
        LungColumns { columns, heights, middle: (low + high) / 2, slices, head_last }
    }

    /// Whether most of some cells have lung above and none below, and lie in the lungs' lower half.
    pub fn are_below(&self, places: &[[usize; 3]]) -> bool {
        let is_below = |[x, y, z]: &[usize; 3]| {
            let height = if self.head_last { *z } else { self.slices - 1 - z };
            let over = self.heights[y * self.columns + x];
            height <= self.middle && over.is_none_or(|[lowest, _]| lowest > height)
        };
        let has_lung = |[x, y, _]: &[usize; 3]| self.heights[y * self.columns + x].is_some();
        let below = places.iter().filter(|at| is_below(at)).count();
        below * 10 >= places.len() * 8 && places.iter().any(has_lung) && !places.is_empty()
    }
}
