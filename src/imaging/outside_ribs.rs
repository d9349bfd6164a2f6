//! Gas outside the ribs that is counted as lung, as in emphysema under the skin.
//!
//! Gas between muscles is as dense as lung where walls and gas share voxels, and may be connected with the lung through
//! a gap between ribs. Rays leave the middle of a lung in each slice to its side, to the front and to the back. The first
//! bone behind the lung that a ray meets is a rib; ribs repeat along the body, so within a rib's distance above and below
//! there is one in nearly every direction. What is counted as lung beyond the ribs above and below lies outside them.
//! Scapulae lie further outside than ribs and hide nothing that is nearer. Where no rib is near, nothing is told.

use std::ops::Range;

use super::Volume;
use super::bits::VoxelSet;
use super::body::BodyInside;
use super::coarse::CoarseGrid;

/// The mean of a cell with bone in it.
const BONE_HU: i16 = 150;
/// Directions in degrees from the side to the back; negative ones lead to the front, where further on the heart lies, as
/// bright as bone with a contrast agent.
const DEGREES: std::ops::RangeInclusive<i32> = -40..=80;
const STEP_DEGREES: usize = 5;
const STEP_MM: f64 = 2.0;
const REACH_MM: f64 = 240.0;
/// Ribs repeat within this distance along the body.
const RIB_MM: f64 = 32.0;
/// The thickness of a rib: what is less far behind its inner surface lies beside it.
const RIB_THICK_MM: f64 = 10.0;
/// Vessels and fissures are narrower than this, the chest wall is not.
const GAP_MM: f64 = 8.0;

/// The volume in mL of what is counted as lung outside the ribs, by the cells of the right and the left lung. The
/// volume's rows run from side to side.
pub fn outside_ribs_ml(volume: &Volume, grid: &CoarseGrid, body: &BodyInside, lungs: [&VoxelSet; 2]) -> f64 {
    let [left, back] = [0, 1].map(|axis| if volume.axes[axis][axis] >= 0.0 { 1.0 } else { -1.0 });
    let of = |(lung, side): (&VoxelSet, f64)| {
        CageRays { grid, outside: &body.outside, lung, towards: [side, back] }.beyond_ml()
    };
    lungs.into_iter().zip([-left, left]).map(of).sum()
}

struct CageRays<'a> {
    grid: &'a CoarseGrid,
    outside: &'a VoxelSet,
    lung: &'a VoxelSet,
    /// The directions of the grid to the lung's side and to the back.
    towards: [f64; 2],
}

/// The bone and the lung on the way of a ray.
struct CageRay {
    /// How far the first bone behind the lung lies from the lung's middle.
    bone_mm: Option<f64>,
    /// The distances of the points that are counted as lung.
    lung_mm: Vec<f64>,
}

impl CageRays<'_> {
    fn beyond_ml(&self) -> f64 {
        let Some(bounds) = self.lung.bounds() else { return 0.0 };
        let heights = bounds.low[2]..bounds.high[2];
        let slices: Vec<Vec<CageRay>> = heights.map(|z| self.rays(z)).collect();
        let directions = DEGREES.step_by(STEP_DEGREES).count();
        let beyond = (0..directions).map(|ray| self.beyond_mm2(&slices, ray)).sum::<f64>();
        beyond * self.grid.spacing[2] / 1000.0
    }

    /// The area of lung beyond the ribs in a direction, over all slices. Slices without lung have no rays.
    fn beyond_mm2(&self, slices: &[Vec<CageRay>], ray: usize) -> f64 {
        let window = (RIB_MM / self.grid.spacing[2]) as usize;
        let nearest = |slices: Range<usize>, all: &[Vec<CageRay>]| {
            let bones = all[slices].iter().filter_map(|rays| rays.get(ray)?.bone_mm);
            bones.reduce(f64::min)
        };
        let of_slice = |z: usize| {
            let one = nearest(z.saturating_sub(window)..z + 1, slices)?;
            let other = nearest(z..(z + window + 1).min(slices.len()), slices)?;
            let outside_mm = one.max(other) + RIB_THICK_MM;
            let beyond = slices[z].get(ray)?.lung_mm.iter().filter(|mm| **mm > outside_mm);
            Some(beyond.map(|mm| mm * STEP_MM * (STEP_DEGREES as f64).to_radians()).sum::<f64>())
        };
        (0..slices.len()).filter_map(of_slice).sum()
    }

    /// The rays of a slice.
    fn rays(&self, z: usize) -> Vec<CageRay> {
        let inside = (0..self.grid.size[1]).flat_map(|y| self.lung.columns(y, z).map(move |x| [x, y]));
        let (count, sums) =
            inside.fold((0, [0; 2]), |(count, [sum_x, sum_y]), [x, y]| (count + 1, [sum_x + x, sum_y + y]));
        if count == 0 {
            return Vec::new();
        }
        let middle = sums.map(|sum| sum as f64 / f64::from(count));
        let ray = |degrees: i32| {
            let (sine, cosine) = f64::from(degrees).to_radians().sin_cos();
            self.ray(middle, [self.towards[0] * cosine, self.towards[1] * sine], z)
        };
        DEGREES.step_by(STEP_DEGREES).map(ray).collect()
    }

    fn ray(&self, middle: [f64; 2], towards: [f64; 2], z: usize) -> CageRay {
        let at = |step: usize| {
            let place: [f64; 2] = std::array::from_fn(|axis| {
                (middle[axis] + towards[axis] * step as f64 * STEP_MM / self.grid.spacing[axis]).round()
            });
            let is_within =
                (0..2).all(|axis| place[axis] >= 0.0 && place[axis] < self.grid.size[axis] as f64);
            let at = is_within.then(|| [place[0] as usize, place[1] as usize, z])?;
            (!self.outside.contains(at)).then_some(at)
        };
        let cells: Vec<[usize; 3]> = (0..(REACH_MM / STEP_MM) as usize).map_while(at).collect();
        let is_bone = |at: &[usize; 3]| self.grid.mean(*at) >= BONE_HU;
        let is_lung: Vec<bool> = cells.iter().map(|at| self.lung.contains(*at)).collect();
        let mm = |step: usize| step as f64 * STEP_MM;
        let lung_mm = (0..cells.len()).filter(|step| is_lung[*step]).map(mm).collect();
        let Some(first) = is_lung.iter().position(|is_lung| *is_lung) else {
            return CageRay { bone_mm: None, lung_mm };
        };
        let mut end = first;
        for step in first..cells.len() {
            if is_lung[step] {
                end = step;
            } else if is_bone(&cells[step]) || mm(step - end) > GAP_MM {
                break;
            }
        }
        let bone_mm = cells[end..].iter().position(is_bone).map(|steps| mm(end + steps));
        CageRay { bone_mm, lung_mm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::body::body_inside;

    /// Cells of 4 mm.
    const SIZE: [usize; 3] = [90, 60, 50];

    /// The volume counted as lung outside the ribs of a chest that gets wider towards the feet, with gas that `gas` tells by
    /// its distance from the ribs' inner surface and its height in mm, also in slices that run the other way.
    fn outside(gas: fn(f64, f64) -> bool, has_ribs: bool) -> f64 {
        let [ml, other] = [1.0, -1.0].map(|up| {
            let place = |index: usize| {
                let at = [index % SIZE[0], index / SIZE[0] % SIZE[1], index / SIZE[0] / SIZE[1]];
                let z = if up > 0.0 { at[2] } else { SIZE[2] - 1 - at[2] };
                [4.0 * at[0] as f64 - 178.0, 4.0 * at[1] as f64 - 118.0, 4.0 * z as f64]
            };
            // A lung is half an ellipse beside the middle.
            let depth = |index: usize| {
                let [x, y, z] = place(index);
                (x.hypot(1.3 * y) - 115.0 + 0.15 * z, z)
            };
            let is_lung = |index: usize, side: f64| {
                let (from_ribs, z) = depth(index);
                let is_inside = from_ribs < 0.0 && (16.0..176.0).contains(&z);
                let is_gas = side > 0.0 && place(index)[1].abs() < 40.0 && gas(from_ribs, z);
                place(index)[0] * side > 15.0 && (is_inside || is_gas)
            };
            let hu = |index: usize| match depth(index) {
                _ if is_lung(index, 1.0) || is_lung(index, -1.0) => -700,
                (from_ribs, z)
                    if has_ribs && (0.0..9.0).contains(&from_ribs) && z.rem_euclid(28.0) < 10.0 =>
                {
                    400
                }
                (from_ribs, _) if from_ribs < 45.0 => 40,
                _ => -1000,
            };
            let voxels: Vec<i16> = (0..SIZE.iter().product()).map(hu).collect();
            let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, up]];
            let volume =
                Volume { voxels: voxels.into(), size: SIZE, spacing: [4.0; 3], origin: [0.0; 3], axes };
            let grid = &volume.coarse();
            let body = body_inside(grid, true).unwrap();
            let [right, left] = [-1.0, 1.0].map(|side| VoxelSet::of(SIZE, |index| is_lung(index, side)));
            outside_ribs_ml(&volume, grid, &body, [&right, &left])
        });
        assert!((ml - other).abs() < 0.02 * ml.max(1.0), "{ml} and {other} mL");
        ml
    }

    #[test]
    fn gas_between_ribs_and_skin_lies_outside_the_ribs() {
        // 80 mm wide and high, and 12 mm thick: 77 mL, and more because it is bent.
        let layer =
            outside(|from_ribs, z| (16.0..28.0).contains(&from_ribs) && (60.0..140.0).contains(&z), true);
        assert!((60.0..100.0).contains(&layer), "{layer} mL");
        let joined = outside(
            |from_ribs, z| {
                let is_layer = (16.0..28.0).contains(&from_ribs) && (60.0..140.0).contains(&z);
                is_layer || ((0.0..16.0).contains(&from_ribs) && (99.0..110.0).contains(&z))
            },
            true,
        );
        assert!((60.0..110.0).contains(&joined), "{joined} mL");
    }

    #[test]
    fn lung_lies_inside_the_ribs() {
        assert_eq!(outside(|_, _| false, true), 0.0);
        let without_ribs = outside(|from_ribs, z| (16.0..28.0).contains(&from_ribs) && z < 140.0, false);
        assert_eq!(without_ribs, 0.0, "nothing is told");
    }
}
