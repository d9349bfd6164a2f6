//! The column of the spine, which tells the patient's right from the left.
//!
//! Behind the lungs' middle the spine is where bone is and no air: before shoulder blades and ribs there is lung. Air
//! counts as much against a place as bone counts for it, because the vertebrae of old patients have less bone than a
//! shoulder blade. The spine lies near the middle of the body, metal and shoulder blades at its side do not.

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
/// The part of the slices in which a body that the images cut reaches their side.
const CUT_SHARE: f64 = 0.5;

/// Where the spine is, as columns of a coarse grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpinePlace {
    /// The middle of the spine.
    pub column: f64,
    /// The middle of the body. Of one that the images cut on one side it is not known, and the spine stands for it.
    pub middle: f64,
}

impl SpinePlace {
    /// The spine of a body with air in it; the middle of the body without air. `back_last` says that rows run from
    /// front to back.
    pub fn of(grid: &CoarseGrid, body: &VoxelSet, inside: &VoxelSet, back_last: bool) -> SpinePlace {
        let Some(bounds) = inside.bounds() else { return SpinePlace::at_middle(body) };
        let sides: Vec<[usize; 2]> = (bounds.low[2]..bounds.high[2])
            .filter_map(|z| body.slice_bounds(z))
            .map(|(low, high)| [low[0], high[0]])
            .collect();
        if sides.is_empty() {
            return SpinePlace::at_middle(body);
        }
        let middle = median(sides.iter().map(|[low, high]| (low + high - 1) as f64 / 2.0).collect());
        let width_mm =
            median(sides.iter().map(|[low, high]| (high - low) as f64).collect()) * grid.spacing[0];
        let scale = (width_mm / BODY_MM).min(1.0);
        let half = (bounds.low[1] + bounds.high[1]) / 2;
        let behind = match back_last {
            true => half..(bounds.high[1] + BEHIND_CELLS).min(grid.size[1]),
            false => bounds.low[1].saturating_sub(BEHIND_CELLS)..half,
        };
        let mut bone = vec![0_u32; grid.size[0]];
        let mut air = vec![0_u32; grid.size[0]];
        for (z, y) in (bounds.low[2]..bounds.high[2]).flat_map(|z| behind.clone().map(move |y| (z, y))) {
            for x in body.columns(y, z) {
                bone[x] += u32::from(grid.mean([x, y, z]) >= BONE_HU);
            }
            inside.columns(y, z).for_each(|x| air[x] += 1);
        }
        let width = ((WIDTH_MM * scale / grid.spacing[0]).round() as usize).clamp(1, grid.size[0]);
        let reach = REACH_MM * scale / grid.spacing[0];
        let [reach_low, reach_high] = reaches(&sides, grid.size[0], reach);
        let centre = |from: usize| from as f64 + (width - 1) as f64 / 2.0;
        let sum = |cells: &[u32], from: usize| cells[from..from + width].iter().sum::<u32>();
        let score = |from: usize| i64::from(sum(&bone, from)) - i64::from(sum(&air, from));
        let away = |from: usize| (centre(from) - middle).abs();
        let near = (0..=grid.size[0] - width)
            .filter(|from| (middle - reach_low..=middle + reach_high).contains(&centre(*from)));
        let best = near.max_by(|one, other| {
            score(*one).cmp(&score(*other)).then_with(|| away(*other).total_cmp(&away(*one)))
        });
        let Some(first) = best else { return SpinePlace { column: middle, middle } };
        let count = sum(&bone, first);
        let has_bone = count > BONE_LEAST * (bounds.high[2] - bounds.low[2]) as u32;
        let moments = (first..first + width).map(|x| x as f64 * f64::from(bone[x])).sum::<f64>();
        let column = if has_bone { moments / f64::from(count) } else { centre(first) };
        let is_cut = reach_low.max(reach_high).is_infinite();
        SpinePlace { column, middle: if is_cut { column } else { middle } }
    }

    fn at_middle(body: &VoxelSet) -> SpinePlace {
        let middle = body.bounds().map_or(0.0, |bounds| (bounds.low[0] + bounds.high[0] - 1) as f64 / 2.0);
        SpinePlace { column: middle, middle }
    }
}

/// How far from the middle of a body the spine may be, to the lower and to the higher columns. Of a body that the
/// images cut on one side, more than that side's half may be outside.
fn reaches(sides: &[[usize; 2]], columns: usize, reach: f64) -> [f64; 2] {
    let cut = |is_cut: fn(&[usize; 2], usize) -> bool| {
        let count = sides.iter().filter(|side| is_cut(side, columns)).count();
        count as f64 > CUT_SHARE * sides.len() as f64
    };
    match [cut(|[low, _], _| *low == 0), cut(|[_, high], columns| *high == columns)] {
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
    use crate::imaging::bits::VoxelBounds;

    const COLUMNS: usize = 90;
    const ROWS: usize = 60;
    const SLICES: usize = 10;

    /// The spine's column of a body of 90 × 60 cells of 4 mm, without its first `cut` columns. The lungs lie from
    /// column 12 to 40 and from 52 to 80; `bone` tells the CT numbers of other cells.
    fn column(bone: fn([usize; 2]) -> Option<i16>, has_left: bool, cut: usize) -> f64 {
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
        let grid_of = |hu: &dyn Fn(usize) -> i16| {
            let voxels: Vec<i16> = (0..size.iter().product()).map(hu).collect();
            CoarseGrid::of(&voxels, size, [4.0; 3])
        };
        let mirrored = |index: usize| {
            let [x, y, z] = [index % size[0], index / size[0] % ROWS, index / size[0] / ROWS];
            (z * ROWS + ROWS - 1 - y) * size[0] + x
        };
        let grid = grid_of(&hu);
        let body = VoxelSet::of(size, |index| grid.means[index] >= -200);
        let inside = VoxelSet::of(size, |index| {
            let [x, y] = place(index);
            is_lung(x, y)
        });
        assert_eq!(inside.bounds().map(|VoxelBounds { low, .. }| low[2]), Some(0));
        let [from_front, from_back] = [true, false].map(|back_last| {
            let turned = |set: &VoxelSet| match back_last {
                true => set.clone(),
                false => VoxelSet::of(size, |index| {
                    let [x, y, z] = [index % size[0], index / size[0] % ROWS, index / size[0] / ROWS];
                    set.contains([x, ROWS - 1 - y, z])
                }),
            };
            let grid = if back_last { grid_of(&hu) } else { grid_of(&|index| hu(mirrored(index))) };
            SpinePlace::of(&grid, &turned(&body), &turned(&inside), back_last).column
        });
        assert_eq!(from_front, from_back, "the order of the rows does not matter");
        from_front + cut as f64
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
                let column = column(bone, has_left, 0);
                assert!((41.0..=53.0).contains(&column), "{name}, {has_left}: {column}");
            }
        }
    }

    #[test]
    fn without_bone_the_spine_is_between_the_lungs() {
        let column = column(|_| None, true, 0);
        assert!((44.0..=46.0).contains(&column), "{column}");
    }

    #[test]
    fn the_spine_of_a_cut_body_can_be_at_its_side() {
        // The middle of what is left is column 64.
        let column = column(porous, true, 42);
        assert!((44.0..=50.0).contains(&column), "{column}");
    }
}
