//! The inside of the body on a coarse grid.
//!
//! The body is the largest solid piece, filled slice by slice, so that the table, the bedding and the air
//! around them fall away, and so does an airway that is open to the outside air in other slices. Lung at the
//! border of the field of view belongs to the inside ([`super::border`]).

use rayon::prelude::*;

use super::bits::{VoxelBall, VoxelSet, WORD};
use super::border::{BorderStretch, FieldBorder, unevenness};
use super::coarse::{CoarseGrid, OUTSIDE_HU};
use super::components::VoxelComponents;
use super::spine::SpinePlace;
use super::thin_wall::FloodedLung;

/// A cell of this mean is solid. Thin shells of a table, half air, are not.
const SOLID_HU: i16 = -200;
const TISSUE_HU: std::ops::RangeInclusive<i16> = -200..=200;
/// The peak of a cell with a thin wall in it, and the greatest distance of such a wall from the middle of lung.
const WALL_HU: i16 = -300;
const WALL_MM: f64 = 16.0;

/// The inside of the body on a coarse grid.
pub struct BodyInside {
    /// Cells inside the body that are not solid, with one cell around.
    pub region: VoxelSet,
    /// Cells outside the body, in its slices.
    pub outside: VoxelSet,
    /// Stretches of the border of the field of view that are as dense as lung.
    pub border: Vec<BorderStretch>,
    pub spine: SpinePlace,
    pub flooded: FloodedVolumes,
}

/// Volumes of the middle of lung that outside air seems to reach through a thin or open wall, in mL.
pub struct FloodedVolumes {
    /// Counted as inside the body.
    pub kept_ml: f64,
    /// Not counted.
    pub lost_ml: f64,
}

/// The inside of the body; `None` where nothing is solid. `back_last` says that rows run from front to back.
pub fn body_inside(grid: &CoarseGrid, back_last: bool) -> Option<BodyInside> {
    let solid = grid.set(|cell| grid.means[cell] >= SOLID_HU);
    let components = VoxelComponents::of(&solid);
    let body = components.select(&[*components.by_size(|_| true).first()?]);
    let mut slices: Vec<FilledSlice> =
        (0..grid.size[2]).into_par_iter().map(|z| FilledSlice::of(grid, &body, z, None)).collect();
    let told_apart = |slices: &[FilledSlice]| {
        [CellState::Inside, CellState::Outside].map(|state| cells_of(grid, slices, state))
    };
    let [mut inside, mut outside] = told_apart(&slices);
    let flooded = FloodedLung::of(grid, &body, &inside, &outside);
    let joined = flooded.as_ref().map(|flooded| &flooded.joined);
    if let Some(lung) = joined.filter(|lung| !lung.is_empty()) {
        let again = slices.par_iter_mut().enumerate().filter(|(z, _)| lung.slice_count(*z) > 0);
        again.for_each(|(z, slice)| *slice = FilledSlice::of(grid, &body, z, Some(lung)));
        [inside, outside] = told_apart(&slices);
    }
    let mut region = widened(&inside);
    region.remove(&outside);
    region.remove(&cells_of(grid, &slices, CellState::Skin));
    let spine = SpinePlace::of(grid, &body, &inside, back_last);
    let ml = |cells: &VoxelSet| cells.count() as f64 * grid.cell_ml();
    let (kept_ml, lost_ml) = flooded.map_or((0.0, 0.0), |FloodedLung { mut joined, mut apart }| {
        apart.add(&joined);
        joined.keep(&inside);
        apart.keep(&outside);
        (ml(&joined), ml(&apart))
    });
    let border = slices.into_iter().flat_map(|slice| slice.border).collect();
    Some(BodyInside { region, outside, border, spine, flooded: FloodedVolumes { kept_ml, lost_ml } })
}

/// The cells of a state.
fn cells_of(grid: &CoarseGrid, slices: &[FilledSlice], state: CellState) -> VoxelSet {
    let columns = grid.size[0];
    let mut cells = VoxelSet::empty(grid.size);
    let words_per_row = cells.words_per_row();
    cells.slices_mut().for_each(|(z, slice)| {
        let rows = slice.chunks_exact_mut(words_per_row).zip(slices[z].states.chunks_exact(columns));
        for (words, states) in rows {
            for (word, states) in words.iter_mut().zip(states.chunks(WORD)) {
                let bits = states.iter().rev().map(|other| u64::from(*other == state));
                *word = bits.fold(0, |word, bit| word << 1 | bit);
            }
        }
    });
    cells
}

/// A set of cells with all 26 neighbours of each.
pub fn widened(cells: &VoxelSet) -> VoxelSet {
    cells.dilate(&VoxelBall::new(1.8, [1.0; 3]))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellState {
    Body,
    Inside,
    Outside,
    /// Part of a thin wall, beside outside air.
    Skin,
}

/// A slice whose cells are told apart, and the stretches of its border that count as wall.
struct FilledSlice {
    states: Vec<CellState>,
    border: Vec<BorderStretch>,
}

impl FilledSlice {
    /// Fills the body in a slice. `lung` are cells that are known to be lung: outside air neither gets through them
    /// nor through a thin wall beside them.
    fn of(grid: &CoarseGrid, body: &VoxelSet, z: usize, lung: Option<&VoxelSet>) -> FilledSlice {
        let [columns, rows, _] = grid.size;
        let mut is_body = vec![false; columns * rows];
        for (y, row) in is_body.chunks_exact_mut(columns).enumerate() {
            body.columns(y, z).for_each(|x| row[x] = true);
        }
        let field = FieldBorder::of(grid, z);
        let is_tissue = |cell: usize| is_body[cell] && TISSUE_HU.contains(&field.hu(cell));
        let border = field.lung_like(&is_body, || unevenness(grid, z, is_tissue));
        let mut barrier = vec![false; is_body.len()];
        border.iter().flat_map(|stretch| &stretch.cells).for_each(|cell| barrier[*cell] = true);
        let mut is_wall = vec![false; is_body.len()];
        if let Some(around) = lung.map(|lung| LungInSlice::of(lung, z)).filter(|lung| !lung.is_at(&field)) {
            around.cells.iter().for_each(|cell| barrier[*cell] = true);
            is_wall = around.thin_wall(&field);
        }
        let mut states: Vec<CellState> = is_body
            .iter()
            .map(|is_body| if *is_body { CellState::Body } else { CellState::Inside })
            .collect();
        let mut stack: Vec<usize> = field.rim.iter().copied().filter(|cell| !barrier[*cell]).collect();
        for (cell, state) in states.iter_mut().enumerate().filter(|(cell, _)| field.hu(*cell) == OUTSIDE_HU) {
            if !is_body[cell] {
                *state = CellState::Outside;
            }
        }
        while let Some(cell) = stack.pop() {
            if states[cell] != CellState::Inside || barrier[cell] {
                continue;
            }
            if is_wall[cell] {
                states[cell] = CellState::Skin;
                continue;
            }
            states[cell] = CellState::Outside;
            stack.extend(field.beside(cell).filter(|cell| states[*cell] == CellState::Inside));
        }
        FilledSlice { states, border }
    }
}

/// The cells of a slice that are known to be lung.
struct LungInSlice {
    cells: Vec<usize>,
}

impl LungInSlice {
    fn of(lung: &VoxelSet, z: usize) -> LungInSlice {
        let [columns, rows, _] = lung.size();
        let cells = (0..rows).flat_map(|y| lung.columns(y, z).map(move |x| y * columns + x));
        LungInSlice { cells: cells.collect() }
    }

    /// Whether the lung reaches the border of the field of view, where it can be cut.
    fn is_at(&self, field: &FieldBorder) -> bool {
        let is_rim = |cell: usize| field.rim.contains(&cell);
        self.cells.iter().any(|cell| is_rim(*cell) || field.beside(*cell).any(is_rim))
    }

    /// Cells near the lung with a peak as dense as a wall.
    fn thin_wall(&self, field: &FieldBorder) -> Vec<bool> {
        let mut is_near = vec![false; field.cell_count()];
        let mut front = self.cells.clone();
        for _ in 0..(WALL_MM / field.cell_mm()).round() as usize {
            let next: Vec<usize> = front.iter().flat_map(|cell| field.beside(*cell)).collect();
            front = next.into_iter().filter(|cell| !std::mem::replace(&mut is_near[*cell], true)).collect();
        }
        (0..is_near.len()).map(|cell| is_near[cell] && field.peak(cell) >= WALL_HU).collect()
    }
}
