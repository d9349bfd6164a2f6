//! Right and left: assigns the pieces of lung to the patient's sides, and parts lungs that touch.
//!
//! A surface between the lungs ([`super::midline`]) tells the sides. A piece that has more than a twentieth
//! on either side of it is parted there, at the densest voxel near the surface: lungs that touch do so
//! along two pleurae. How far they touch is the area of the cut: a small one can be an airway, or a thin place
//! that blur has bridged.

use rayon::prelude::*;

use super::Volume;
use super::bits::{VoxelBounds, VoxelSet};
use super::coarse::CoarseGrid;
use super::lung_hollows::is_heart_higher;
use super::midline::MidlineSurface;
use super::pieces::{AirPieces, PieceKind};
use super::spine::SpinePlace;

/// The share of a piece on either side of the surface above which it is parted.
const PARTED_SHARE: f64 = 0.05;
/// How far from the surface the densest voxel is sought.
const SEARCH_MM: f64 = 4.0;
/// A part with less is no lung that touches the other.
const LARGE_ML: f64 = 100.0;
/// A piece with more than this share of all lung can be a lung of its own.
const LUNG_SHARE: f64 = 0.2;
/// How far over the spine's middle a lung may reach without being on both sides of it.
const OVER_SPINE_MM: f64 = 20.0;

/// The lungs by side; a side without a lung is empty.
pub struct LungSides {
    pub right: VoxelSet,
    pub left: VoxelSet,
    /// Where lungs were connected and are parted: the area of the cut in mm².
    pub cut_mm2: f64,
    /// The share of each lung's cells that lie on the other side of the spine: right, left.
    pub over_spine: [f64; 2],
    pub doubt: Option<SideDoubt>,
}

/// Why the sides are not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideDoubt {
    /// The spine and the middle of the body disagree.
    Middle,
    /// The shape of a single lung disagrees with the spine.
    Shape,
    /// The images cut the body, and the shape alone tells the side of a single lung.
    ShapeAlone,
    /// The images cut the body, and the shape of a single lung does not tell its side.
    Cut,
}

impl SideDoubt {
    /// The doubt in words.
    pub fn text(self) -> &'static str {
        match self {
            SideDoubt::Middle => {
                "what was taken for the spine and the middle of the body disagree on the side of a lung: right and left \
                 are not certain, so look at the pictures"
            }
            SideDoubt::Shape => {
                "the only lung is hollow, as towards the heart, on the other side than what was taken for the spine: right \
                 and left are not certain, so look at the pictures"
            }
            SideDoubt::ShapeAlone => {
                "the images cut the body, and the only lung's side was told by its shape alone, which is hollow towards the \
                 heart: right and left are not certain, so look at the pictures"
            }
            SideDoubt::Cut => {
                "the images cut the body, and the only lung's shape does not tell where the heart is: right and left are \
                 not certain, so look at the pictures"
            }
        }
    }
}

impl LungSides {
    fn is_one(&self) -> bool {
        self.right.is_empty() != self.left.is_empty()
    }

    /// A single lung on the other side, wherever the spine was taken to be.
    fn exchanged(self) -> LungSides {
        LungSides { right: self.left, left: self.right, over_spine: [0.0; 2], ..self }
    }
}

/// Tells the sides of the pieces that are lung, in a box of the volume.
///
/// Two lungs on one side of the spine are not possible: then the middle of the body tells their sides. The side of a single
/// lung in images that cut the body, as of the field of view of one lung, is told by its shape: what was taken for the
/// spine there is not.
pub fn tell_sides(
    volume: &Volume,
    grid: &CoarseGrid,
    bounds: &VoxelBounds,
    pieces: &AirPieces,
    spine: SpinePlace,
) -> LungSides {
    let sides = sides_around(volume, grid, bounds, pieces, spine.column);
    if !sides.is_one() {
        return sides;
    }
    let lung_ml = pieces.kind_ml(PieceKind::Lung);
    let lungs = pieces.of_kind(|kind| kind == PieceKind::Lung).into_iter();
    if lungs.filter(|piece| pieces.ml(*piece) > LUNG_SHARE * lung_ml).count() > 1 {
        let sides = sides_around(volume, grid, bounds, pieces, spine.middle);
        return LungSides { doubt: Some(SideDoubt::Middle), ..sides };
    }
    let cells = pieces.cells_of(grid, PieceKind::Lung);
    let is_lower = (volume.axes[0][0] >= 0.0) != sides.right.is_empty();
    let centre = mean_column(grid, &cells);
    let doubt = match is_heart_higher(&cells) {
        Some(is_higher) if is_higher != is_lower && spine.is_cut => {
            return LungSides { doubt: Some(SideDoubt::ShapeAlone), ..sides.exchanged() };
        }
        Some(is_higher) if is_higher != is_lower => Some(SideDoubt::Shape),
        None if spine.is_cut => Some(SideDoubt::Cut),
        _ if (centre < spine.column) != (centre < spine.middle) => Some(SideDoubt::Middle),
        _ => None,
    };
    LungSides { doubt, ..sides }
}

/// The mean column of some cells.
fn mean_column(grid: &CoarseGrid, cells: &VoxelSet) -> f64 {
    let columns = grid.rows().flat_map(|(y, z, _)| cells.columns(y, z));
    let (count, sum) = columns.fold((0_u64, 0_u64), |(count, sum), x| (count + 1, sum + x as u64));
    sum as f64 / count.max(1) as f64
}

/// The sides of the lungs around the spine, a column of the grid.
fn sides_around(
    volume: &Volume,
    grid: &CoarseGrid,
    bounds: &VoxelBounds,
    pieces: &AirPieces,
    spine: f64,
) -> LungSides {
    let lung = pieces.cells_of(grid, PieceKind::Lung);
    let surface = MidlineSurface::between(grid, &lung, spine);
    let mut counts = vec![[0_usize; 2]; pieces.kinds.len()];
    for (at, piece) in pieces.labelled(grid) {
        counts[piece][usize::from(surface.is_higher(at))] += 1;
    }
    let (mut lower, mut higher, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces.of_kind(|kind| kind == PieceKind::Lung) {
        let [low, high] = counts[piece];
        let least = low.min(high) as f64 / (low + high).max(1) as f64;
        if low + high == 0 {
            // Too thin for any cell: the piece's own middle tells.
            let centre = pieces.components.regions[piece].centre();
            let cell = |axis: usize| (centre[axis] as usize + bounds.low[axis]) / grid.factor[axis];
            let side = if surface.is_higher([cell(0), cell(1), cell(2)]) { &mut higher } else { &mut lower };
            side.push(piece);
        } else if least > PARTED_SHARE {
            both.push(piece);
        } else if low >= high {
            lower.push(piece);
        } else {
            higher.push(piece);
        }
    }
    let mut low = pieces.components.select(&lower);
    let mut high = pieces.components.select(&higher);
    let mut cut_mm2 = 0.0;
    if !both.is_empty() {
        let [part, other] = parted(volume, grid, bounds, &surface, pieces.components.select(&both));
        if [&part, &other].iter().all(|part| part.count() as f64 * volume.voxel_ml() >= LARGE_ML) {
            cut_mm2 = contacts(&part, &other) as f64 * volume.spacing[1] * volume.spacing[2];
        }
        low.add(&part);
        high.add(&other);
    }
    let over = over_spine(grid, &lung, &surface, spine);
    if volume.axes[0][0] >= 0.0 {
        LungSides { right: low, left: high, cut_mm2, over_spine: over, doubt: None }
    } else {
        LungSides { right: high, left: low, cut_mm2, over_spine: [over[1], over[0]], doubt: None }
    }
}

/// The shares of the lower and of the higher side's cells that lie beyond the spine.
fn over_spine(grid: &CoarseGrid, lung: &VoxelSet, surface: &MidlineSurface, spine: f64) -> [f64; 2] {
    let margin = OVER_SPINE_MM / grid.spacing[0];
    let (mut all, mut over) = ([0_u64; 2], [0_u64; 2]);
    for (y, z, _) in grid.rows() {
        for at in lung.columns(y, z).map(|x| [x, y, z]) {
            let side = usize::from(surface.is_higher(at));
            let beyond =
                if side == 0 { at[0] as f64 > spine + margin } else { (at[0] as f64) < spine - margin };
            all[side] += 1;
            over[side] += u64::from(beyond);
        }
    }
    [0, 1].map(|side| over[side] as f64 / all[side].max(1) as f64)
}

/// Parts a set along the surface: the lower columns and the higher ones.
fn parted(
    volume: &Volume,
    grid: &CoarseGrid,
    bounds: &VoxelBounds,
    surface: &MidlineSurface,
    lungs: VoxelSet,
) -> [VoxelSet; 2] {
    let columns = lungs.size()[0];
    let reach = (SEARCH_MM / volume.spacing[0]).round() as usize;
    let mut lower = lungs.clone();
    let words_per_row = lower.words_per_row();
    lower.slices_mut().for_each(|(z, slice)| {
        let rows = slice.chunks_exact_mut(words_per_row).enumerate();
        for (y, words) in rows.filter(|(_, words)| words.iter().any(|word| *word != 0)) {
            let (row, cell_z) = ((y + bounds.low[1]) / grid.factor[1], (z + bounds.low[2]) / grid.factor[2]);
            let middle = surface.column(row, cell_z) * grid.factor[0];
            let voxels = volume.row(y + bounds.low[1], z + bounds.low[2]);
            let column = densest(voxels, middle, reach).saturating_sub(bounds.low[0]).min(columns);
            for (index, word) in words.iter_mut().enumerate() {
                let first = index * super::bits::WORD;
                if first >= column {
                    *word = 0;
                } else if column - first < super::bits::WORD {
                    *word &= (1 << (column - first)) - 1;
                }
            }
        }
    });
    let mut higher = lungs;
    higher.remove(&lower);
    [lower, higher]
}

/// The number of voxels of one set with a voxel of the other in the next column.
fn contacts(lower: &VoxelSet, higher: &VoxelSet) -> u64 {
    let [_, rows, slices] = lower.size();
    let in_row = |(y, z): (usize, usize)| {
        let (lower, higher) = (lower.row(y, z), higher.row(y, z));
        let first_of_next = higher.iter().skip(1).map(|word| word << (super::bits::WORD - 1)).chain([0]);
        let beside = higher.iter().zip(first_of_next).map(|(word, next)| word >> 1 | next);
        lower.iter().zip(beside).map(|(word, beside)| u64::from((word & beside).count_ones())).sum::<u64>()
    };
    (0..slices).flat_map(|z| (0..rows).map(move |y| (y, z))).map(in_row).sum()
}

/// The densest voxel near a column: the nearest of those that are within 50 HU of the densest.
fn densest(voxels: &[i16], middle: usize, reach: usize) -> usize {
    let near = middle.saturating_sub(reach)..(middle + reach + 1).min(voxels.len());
    let Some(most) = near.clone().map(|x| voxels[x]).max() else { return middle };
    near.filter(|x| voxels[*x] >= most.saturating_sub(50))
        .min_by_key(|x| x.abs_diff(middle))
        .unwrap_or(middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::body::body_inside;
    use crate::imaging::pieces::GAS_HU;

    /// Two lungs in a body of 40 × 30 × 20 cells, or the right one alone, around a spine.
    fn sides(has_left: bool, [column, middle]: [f64; 2]) -> LungSides {
        sides_around_heart(has_left, SpinePlace { column, middle, is_cut: false, is_misplaced: false }, None)
    }

    /// The same with a round heart in the lungs, at a column.
    fn sides_around_heart(has_left: bool, spine: SpinePlace, heart: Option<usize>) -> LungSides {
        let size = [40, 30, 20];
        let hu = |index: usize| {
            let [x, y, z] = [index % 40, index / 40 % 30, index / 1200];
            let is_lung = (6..17).contains(&x) || (has_left && (23..34).contains(&x));
            match () {
                () if heart.is_some_and(|heart| x.abs_diff(heart).pow(2) + y.abs_diff(15).pow(2) < 25) => 40,
                () if is_lung && (8..22).contains(&y) && (3..17).contains(&z) => -860,
                () if (2..38).contains(&x) && (4..26).contains(&y) => 40,
                () => -1000,
            }
        };
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels: Vec<i16> = (0..size.iter().product()).map(hu).collect();
        let volume = Volume { voxels: voxels.into(), size, spacing: [4.0; 3], origin: [0.0; 3], axes };
        let grid = volume.coarse();
        let body = body_inside(&grid, volume.axes[1][1] >= 0.0).unwrap();
        let bounds = VoxelBounds { low: [0; 3], high: size };
        let mut air = grid.refine(&body.region, &bounds);
        air.keep_below(|y, z| volume.row(y, z), &bounds, -400);
        let pieces = AirPieces::judge(&volume, &grid, &body, &air, &bounds, GAS_HU);
        tell_sides(&volume, &grid, &bounds, &pieces, spine)
    }

    #[test]
    fn two_lungs_on_one_side_of_the_spine_are_told_by_the_middle_and_doubted() {
        let right = sides(true, [19.5, 19.5]);
        assert!(right.doubt.is_none() && right.right.count() == right.left.count());
        let wrong = sides(true, [36.0, 19.5]);
        assert!(
            wrong.doubt == Some(SideDoubt::Middle) && wrong.right == right.right && wrong.left == right.left
        );
    }

    #[test]
    fn the_side_of_a_single_lung_is_doubted_where_spine_and_middle_disagree() {
        let right = sides(false, [25.0, 19.5]);
        assert!(right.doubt.is_none() && right.left.is_empty() && !right.right.is_empty());
        assert_eq!(sides(false, [3.0, 19.5]).doubt, Some(SideDoubt::Middle));
    }

    #[test]
    fn the_side_of_a_single_lung_is_told_by_its_shape_where_the_images_cut_the_body() {
        let told = |is_cut, column, heart| {
            let spine = SpinePlace { column, middle: 19.5, is_cut, is_misplaced: false };
            let sides = sides_around_heart(false, spine, heart);
            (!sides.right.is_empty(), !sides.left.is_empty(), sides.doubt)
        };
        let (right, left) = ((true, false), (false, true));
        let is = |(side, doubt): ((bool, bool), Option<SideDoubt>)| (side.0, side.1, doubt);
        // A heart at the lung's higher columns is to the left of a right lung.
        assert_eq!(told(true, 19.5, Some(17)), is((right, None)));
        assert_eq!(told(true, 19.5, Some(6)), is((left, Some(SideDoubt::ShapeAlone))));
        assert_eq!(told(false, 19.5, Some(6)), is((right, Some(SideDoubt::Shape))));
        assert_eq!(told(true, 19.5, None), is((right, Some(SideDoubt::Cut))));
        assert_eq!(told(false, 19.5, None), is((right, None)));
    }
}
