//! The column of the spine, which tells the patient's right from the left.
//!
//! Behind the lungs' middle the spine is where bone is and no air: before shoulder blades and ribs there is lung. Air
//! counts as much against a place as bone counts for it, because the vertebrae of old patients have less bone than a
//! shoulder blade. The spine lies near the middle of the body, metal and shoulder blades at its side do not.

use std::ops::Range;

use super::bits::VoxelSet;
use super::coarse::CoarseGrid;

/// Cortical bone, averaged with what is around it in a cell. Marrow of old patients has 40 to 90 HU.
const BONE_HU: i16 = 120;
/// The width of vertebrae with their processes, and how far from the body's middle they may be, in a body as wide as
/// an adult's. The scapula begins at 60 to 70 mm.
const WIDTH_MM: f64 = 44.0;
const REACH_MM: f64 = 60.0;
const BODY_MM: f64 = 340.0;
/// Bone behind the last air.
const BEHIND_CELLS: usize = 8;
/// Fewer cells with bone per slice tell nothing.
const BONE_LEAST: u32 = 4;
/// So many times the bone behind the lungs lies elsewhere only if the images are turned. In three chests, the vertebrae
/// have 4 to 14 times the cells of the breastbone, with very little bone as many. Blood with a contrast agent is as dense
/// as bone, and the heart as large as the vertebrae.
const MISPLACED_TIMES: u32 = 2;
/// The part of the lungs' depth at either end in which bone is compared: the vertebrae reach into it from behind, the
/// breastbone from before, and the heart with a contrast agent in it lies mostly between.
const END_SHARE: f64 = 0.25;
/// The peak of a cell of bone is so far above its mean; blood with a contrast agent is alike throughout.
const UNEVEN_HU: i16 = 120;
/// The fewest pixels of a cell in a slice of which the largest tells that.
const PIXELS_LEAST: usize = 9;
/// The part of the slices in which a body that the images cut reaches their side.
const CUT_SHARE: f64 = 0.5;

/// Where the spine is, as columns of a coarse grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpinePlace {
    /// The middle of the spine.
    pub column: f64,
    /// The middle of the body. Of one that the images cut on one side it is not known, and the spine stands for it.
    pub middle: f64,
    /// The images cut the body at a side: neither column is certain.
    pub is_cut: bool,
    /// Much more bone lies before the lungs' middle or at a side than behind it: the images are perhaps turned against
    /// what their header says.
    pub is_misplaced: bool,
}

impl SpinePlace {
    /// The spine of a body with air in it; the middle of the body without air. `back_last` says that rows run from
    /// front to back.
    pub fn of(grid: &CoarseGrid, body: &VoxelSet, inside: &VoxelSet, back_last: bool) -> SpinePlace {
        let Some(bounds) = inside.bounds() else { return SpinePlace::at_middle(body) };
        let heights = bounds.low[2]..bounds.high[2];
        let sides = heights.clone().filter_map(|z| body.slice_bounds(z));
        let sides: Vec<[usize; 2]> = sides.map(|(low, high)| [low[0], high[0]]).collect();
        if sides.is_empty() {
            return SpinePlace::at_middle(body);
        }
        let middle = median(sides.iter().map(|[low, high]| (low + high - 1) as f64 / 2.0).collect());
        let width_mm =
            median(sides.iter().map(|[low, high]| (high - low) as f64).collect()) * grid.spacing[0];
        let scale = (width_mm / BODY_MM).min(1.0);
        let cut_sides = cut_sides(&sides, grid.size[0]);
        let [reach_low, reach_high] = reaches(cut_sides, REACH_MM * scale / grid.spacing[0]);
        let width = WIDTH_MM * scale / grid.spacing[0];
        let half = (bounds.low[1] + bounds.high[1]) / 2;
        let behind = match back_last {
            true => half..(bounds.high[1] + BEHIND_CELLS).min(grid.size[1]),
            false => bounds.low[1].saturating_sub(BEHIND_CELLS)..half,
        };
        let most_bone = |rows: Range<usize>, is_bone: BoneRule| {
            let profile = BoneProfile::along_columns(grid, body, inside, [rows, heights.clone()], is_bone);
            profile.best(width, middle, [reach_low, reach_high])
        };
        let is_cut = cut_sides.contains(&true);
        let Some(spine) = most_bone(behind, is_bone) else {
            return SpinePlace { is_cut, ..SpinePlace::at_middle(body) };
        };
        let has_bone = spine.bone > BONE_LEAST * heights.len() as u32;
        let column = if has_bone { spine.bone_middle } else { spine.middle };
        let is_cut_once = reach_low.max(reach_high).is_infinite();

        let least = BONE_LEAST * heights.len() as u32;
        let ends = ends_of(bounds.low[1]..bounds.high[1], grid.size[1], back_last);
        let [front, back] = ends.map(|rows| most_bone(rows, is_uneven_bone).map_or(0, |window| window.bone));
        let column_half = (middle.round() as usize).clamp(bounds.low[0], bounds.high[0]);
        let mut at_sides =
            [bounds.low[0]..column_half, column_half..bounds.high[0]].into_iter().filter_map(|columns| {
                let profile = BoneProfile::along_rows(grid, body, inside, [columns, heights.clone()]);
                let reach = REACH_MM * scale / grid.spacing[1];
                profile.best(WIDTH_MM * scale / grid.spacing[1], half as f64, [reach; 2])
            });
        let most = MISPLACED_TIMES * spine.bone + least;
        let is_misplaced =
            front > MISPLACED_TIMES * back + least || at_sides.any(|side| side.bone > most.max(side.air));
        SpinePlace { column, middle: if is_cut_once { column } else { middle }, is_cut, is_misplaced }
    }

    fn at_middle(body: &VoxelSet) -> SpinePlace {
        let middle = body.bounds().map_or(0.0, |bounds| (bounds.low[0] + bounds.high[0] - 1) as f64 / 2.0);
        SpinePlace { column: middle, middle, is_cut: false, is_misplaced: false }
    }
}

/// The rows before and behind the lungs, with a part of the lungs' depth: front, back.
fn ends_of(lung: Range<usize>, rows: usize, back_last: bool) -> [Range<usize>; 2] {
    let end = ((END_SHARE * lung.len() as f64) as usize).max(1);
    let first = lung.start.saturating_sub(BEHIND_CELLS)..lung.start + end;
    let last = lung.end.saturating_sub(end)..(lung.end + BEHIND_CELLS).min(rows);
    if back_last { [first, last] } else { [last, first] }
}

/// Whether a cell counts as bone.
type BoneRule = fn(&CoarseGrid, [usize; 3]) -> bool;

fn is_bone(grid: &CoarseGrid, at: [usize; 3]) -> bool {
    grid.mean(at) >= BONE_HU
}

/// Bone without blood that a contrast agent makes as dense, where cells have enough pixels to tell.
fn is_uneven_bone(grid: &CoarseGrid, at: [usize; 3]) -> bool {
    let cell = grid.index(at);
    let [width, height, _] = grid.factor;
    let is_uneven = || grid.peaks[cell].saturating_sub(grid.means[cell]) >= UNEVEN_HU;
    is_bone(grid, at) && (width * height < PIXELS_LEAST || is_uneven())
}

/// The numbers of cells with bone and with air in a part of some slices: by column or by row.
struct BoneProfile {
    bone: Vec<u32>,
    air: Vec<u32>,
}

/// The place in a profile that is most like a spine.
struct BoneWindow {
    bone: u32,
    air: u32,
    middle: f64,
    /// The middle of the bone.
    bone_middle: f64,
}

impl BoneProfile {
    /// Counts by column in a range of rows and one of slices.
    fn along_columns(
        grid: &CoarseGrid,
        body: &VoxelSet,
        inside: &VoxelSet,
        [rows, heights]: [Range<usize>; 2],
        is_bone: BoneRule,
    ) -> BoneProfile {
        let mut profile = BoneProfile::of(grid.size[0]);
        for (z, y) in heights.flat_map(|z| rows.clone().map(move |y| (z, y))) {
            for x in body.columns(y, z) {
                profile.bone[x] += u32::from(is_bone(grid, [x, y, z]));
            }
            inside.columns(y, z).for_each(|x| profile.air[x] += 1);
        }
        profile
    }

    /// Counts by row in a range of columns and one of slices.
    fn along_rows(
        grid: &CoarseGrid,
        body: &VoxelSet,
        inside: &VoxelSet,
        [columns, heights]: [Range<usize>; 2],
    ) -> BoneProfile {
        let mut profile = BoneProfile::of(grid.size[1]);
        for (z, y) in heights.flat_map(|z| (0..grid.size[1]).map(move |y| (z, y))) {
            let bone = body.columns(y, z).filter(|x| columns.contains(x));
            profile.bone[y] += bone.filter(|x| grid.mean([*x, y, z]) >= BONE_HU).count() as u32;
            profile.air[y] += inside.columns(y, z).filter(|x| columns.contains(x)).count() as u32;
        }
        profile
    }

    fn of(length: usize) -> BoneProfile {
        BoneProfile { bone: vec![0; length], air: vec![0; length] }
    }

    /// The window of a width with the most bone and the least air within reach of a middle; of equal ones the nearest.
    fn best(&self, width: f64, middle: f64, [low, high]: [f64; 2]) -> Option<BoneWindow> {
        let width = (width.round() as usize).clamp(1, self.bone.len());
        let centre = |from: usize| from as f64 + (width - 1) as f64 / 2.0;
        let sum = |cells: &[u32], from: usize| cells[from..from + width].iter().sum::<u32>();
        let score = |from: usize| i64::from(sum(&self.bone, from)) - i64::from(sum(&self.air, from));
        let away = |from: usize| (centre(from) - middle).abs();
        let near = (0..=self.bone.len() - width)
            .filter(|from| (middle - low..=middle + high).contains(&centre(*from)));
        let first = near.max_by(|one, other| {
            score(*one).cmp(&score(*other)).then_with(|| away(*other).total_cmp(&away(*one)))
        })?;
        let bone = sum(&self.bone, first);
        let moments = (first..first + width).map(|x| x as f64 * f64::from(self.bone[x])).sum::<f64>();
        Some(BoneWindow {
            bone,
            air: sum(&self.air, first),
            middle: centre(first),
            bone_middle: moments / f64::from(bone.max(1)),
        })
    }
}

/// Whether the images cut a body at the lower and at the higher columns, by its columns in each slice.
fn cut_sides(sides: &[[usize; 2]], columns: usize) -> [bool; 2] {
    let cut = |is_cut: fn(&[usize; 2], usize) -> bool| {
        let count = sides.iter().filter(|side| is_cut(side, columns)).count();
        count as f64 > CUT_SHARE * sides.len() as f64
    };
    [cut(|[low, _], _| *low == 0), cut(|[_, high], columns| *high == columns)]
}

/// How far from the middle of a body the spine may be, to the lower and to the higher columns. Of a body that the
/// images cut on one side, more than that side's half may be outside.
fn reaches(cut_sides: [bool; 2], reach: f64) -> [f64; 2] {
    match cut_sides {
        [true, false] => [f64::INFINITY, reach],
        [false, true] => [reach, f64::INFINITY],
        _ => [reach; 2],
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: usize = 90;
    const ROWS: usize = 60;
    const SLICES: usize = 10;

    /// The spine of a body of 90 × 60 cells of 4 mm, without its first `cut` columns. The lungs lie from
    /// column 12 to 40 and from 52 to 80; `bone` tells the CT numbers of other cells.
    fn spine(bone: fn([usize; 2]) -> Option<i16>, has_left: bool, cut: usize) -> SpinePlace {
        let size = [COLUMNS - cut, ROWS, SLICES];
        let is_lung = |x: usize, y: usize| {
            let right = (12..40).contains(&x);
            let left = has_left && (52..80).contains(&x);
            (right || left) && (12..48).contains(&y)
        };
        let is_body = |x: usize, y: usize| (4..86).contains(&x) && (4..56).contains(&y);
        let place = |index: usize| [index % size[0] + cut, index / size[0] % ROWS];
        let hu = |index: usize| match place(index) {
            [x, y] if is_lung(x, y) => -860,
            [x, y] if is_body(x, y) => bone([x, y]).unwrap_or(40),
            _ => -1000,
        };
        let [from_front, from_back] = [true, false].map(|back_last| {
            let mirror = |index: usize| {
                let [x, y, z] = [index % size[0], index / size[0] % ROWS, index / size[0] / ROWS];
                if back_last { index } else { (z * ROWS + ROWS - 1 - y) * size[0] + x }
            };
            let voxels: Vec<i16> = (0..size.iter().product()).map(|index| hu(mirror(index))).collect();
            let grid = CoarseGrid::of(&voxels, size, [4.0; 3]);
            let body = VoxelSet::of(size, |index| grid.means[index] >= -200);
            let inside = VoxelSet::of(size, |index| {
                let [x, y] = place(mirror(index));
                is_lung(x, y)
            });
            SpinePlace::of(&grid, &body, &inside, back_last)
        });
        assert_eq!(from_front, from_back, "the order of the rows does not matter");
        SpinePlace { column: from_front.column + cut as f64, ..from_front }
    }

    /// Vertebrae of old people in columns 43 to 48, and shoulder blades with more bone.
    fn porous([x, y]: [usize; 2]) -> Option<i16> {
        let vertebra = (43..49).contains(&x) && (40..48).contains(&y);
        let blade = (y == 50 || y == 51) && ((14..30).contains(&x) || (60..76).contains(&x));
        if vertebra { Some(if y == 40 || y == 47 { 190 } else { 60 }) } else { blade.then_some(700) }
    }

    /// Metal in the wall at the right side.
    fn metal([x, y]: [usize; 2]) -> Option<i16> {
        ((5..10).contains(&x) && (30..50).contains(&y)).then_some(2500).or_else(|| porous([x, y]))
    }

    #[test]
    fn shoulder_blades_and_metal_are_no_spine() {
        for (name, bone) in [("blades", porous as fn([usize; 2]) -> Option<i16>), ("metal", metal)] {
            for has_left in [true, false] {
                let SpinePlace { column, is_misplaced, .. } = spine(bone, has_left, 0);
                assert!(!is_misplaced, "{name}, {has_left}");
                assert!((41.0..=53.0).contains(&column), "{name}, {has_left}: {column}");
            }
        }
    }

    #[test]
    fn without_bone_the_spine_is_between_the_lungs() {
        let SpinePlace { column, is_misplaced, .. } = spine(|_| None, true, 0);
        assert!((44.0..=46.0).contains(&column) && !is_misplaced, "{column}");
    }

    #[test]
    fn the_spine_of_a_cut_body_can_be_at_its_side() {
        // The middle of what is left is column 64.
        let column = spine(porous, true, 42).column;
        assert!((44.0..=50.0).contains(&column), "{column}");
    }

    /// Vertebrae of adults before the lungs' middle, and a breastbone behind.
    fn in_front([x, y]: [usize; 2]) -> Option<i16> {
        let vertebra = (40..51).contains(&x) && (12..24).contains(&y);
        let breastbone = (41..50).contains(&x) && y == 50;
        (vertebra || breastbone).then_some(300)
    }

    fn behind([x, y]: [usize; 2]) -> Option<i16> {
        in_front([x, ROWS - 1 - y])
    }

    /// A chest of 1 mm pixels: vertebrae at one end of the lungs' depth, and towards the other a breastbone and a heart
    /// full of contrast agent, as dense as bone.
    fn with_bright_heart(is_turned: bool) -> SpinePlace {
        let size = [4 * COLUMNS, 4 * ROWS, SLICES];
        let hu = |index: usize| {
            let [x, y] = [index % size[0], index / size[0] % size[1]];
            let [column, row] = [x / 4, if is_turned { y / 4 } else { ROWS - 1 - y / 4 }];
            let is_within =
                |columns: Range<usize>, rows: Range<usize>| columns.contains(&column) && rows.contains(&row);
            match () {
                () if is_within(12..34, 12..48) || is_within(58..80, 12..48) => -860,
                () if is_within(40..51, 12..24) || is_within(41..50, 50..51) => {
                    [160, 600][usize::from(x % 4 == 0)]
                }
                () if is_within(34..58, 26..44) => 260,
                () if is_within(4..86, 4..56) => 40,
                () => -1000,
            }
        };
        let voxels: Vec<i16> = (0..size.iter().product()).map(hu).collect();
        let grid = CoarseGrid::of(&voxels, size, [1.0, 1.0, 4.0]);
        let body = VoxelSet::of(grid.size, |index| grid.means[index] >= -200);
        let inside = VoxelSet::of(grid.size, |index| (-900..-800).contains(&grid.means[index]));
        SpinePlace::of(&grid, &body, &inside, true)
    }

    #[test]
    fn a_bright_heart_is_no_spine() {
        let [turned, right] = [true, false].map(with_bright_heart);
        assert!(turned.is_misplaced && !right.is_misplaced, "{turned:?} and {right:?}");
    }

    #[test]
    fn a_spine_before_the_lungs_is_misplaced() {
        for has_left in [true, false] {
            assert!(spine(in_front, has_left, 0).is_misplaced && !spine(behind, has_left, 0).is_misplaced);
        }
    }
}
