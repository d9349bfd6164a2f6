//! Dense tissue between the lung and the ribs: fluid, consolidated lung or a mass behind, beside or before the lung.
//!
//! Rays leave the middle of a lung in each slice to the side and to the back. A healthy lung reaches to the ribs;
//! between them, a ray ends at the shoulder blade or nowhere, so the nearest bone within a rib's distance
//! along the body counts. Before the lung there are cartilage and, on the left, the heart: rays to the front have a
//! limit of their own, and tell of a lobe without air.

use std::ops::RangeInclusive;

use super::bits::VoxelSet;
use super::coarse::CoarseGrid;
use super::{Lungs, Volume};
use crate::printable::beyond;
use crate::step::{StepReservation, StepReservations};

/// The mean of a cell with bone in it.
const BONE_HU: i16 = 150;
/// Below this, a ray has left the body. Lung with so little air that it was not taken for lung is above.
const OUTSIDE_HU: i16 = -600;
/// Directions in degrees from the side to the back.
const TO_THE_BACK: RangeInclusive<i32> = -20..=80;
/// Directions to the front, on the lung's own side of the breastbone.
const TO_THE_FRONT: RangeInclusive<i32> = -60..=-25;
const STEP_DEGREES: usize = 5;
/// The share of directions to the front in which over [`GAP_MM`] of dense tissue lie before a lung. A healthy chest has 10 to
/// 17 % on the right; with an upper lobe without air 42 %, with a middle lobe 20 %, on the left with an upper lobe 21 %.
const FRONT_PERCENT_MOST: f64 = 18.0;
/// Less tissue than [`GAP_MM`], and the share of directions to the side and the back in which it is a layer around a lung.
/// Five healthy lungs of three chests have 0 to 4.5 %, looked at in six sizes; with a layer of 8 mm one has 15 and 20 %.
const LAYER_MM: f64 = 14.0;
const LAYER_PERCENT_MOST: f64 = 8.0;
/// Ribs repeat within this distance along the body.
const RIB_MM: f64 = 32.0;
/// More tissue than this between lung and rib is not pleura and muscle.
const GAP_MM: f64 = 20.0;
/// The longest ray beyond the lung.
const REACH_MM: f64 = 120.0;
/// The fewest rays whose share means something.
const RAYS_LEAST: usize = 60;

/// The percentage of rays with more than [`GAP_MM`] of tissue between lung and rib: right, left. The volume has the
/// lengths of an adult.
pub fn rib_gap_percent(volume: &Volume, lungs: &Lungs) -> [Option<f64>; 2] {
    gap_percent(volume, lungs, &TO_THE_BACK, GAP_MM)
}

/// Reservations for lungs with dense tissue before them, or in a layer around them, in a volume with the lengths of an adult.
/// `known` are those of the scan: a lung of which they say as much is not named again.
pub fn other_gaps(volume: &Volume, lungs: &Lungs, known: &StepReservations) -> Vec<StepReservation> {
    let is_known = |side: &str| {
        let words = format!("between the {side} lung and the ribs");
        known.0.iter().any(|one| one.code == "dense_tissue" && one.text.contains(&words))
    };
    let wide = |degrees: &RangeInclusive<i32>, gap_mm: f64, most: f64| {
        let sides = ["right", "left"].into_iter().zip(gap_percent(volume, lungs, degrees, gap_mm));
        let wide = sides.filter_map(move |(side, percent)| {
            Some((side, beyond(percent.filter(|percent| *percent > most)?, most, 0)))
        });
        wide.filter(|(side, _)| !is_known(side)).collect::<Vec<_>>()
    };
    let front = wide(&TO_THE_FRONT, GAP_MM, FRONT_PERCENT_MOST).into_iter().map(|(side, percent)| {
        format!(
            "dense tissue thicker than a chest wall lies before the {side} lung, up to the ribs, in {percent} % of directions to the front, more than {FRONT_PERCENT_MOST:.0} %: a lobe may contain no air, or fluid or a mass may be left out of the lung"
        )
    });
    let layers = wide(&TO_THE_BACK, LAYER_MM, LAYER_PERCENT_MOST).into_iter().map(|(side, percent)| {
        format!(
            "a layer of dense tissue lies between the {side} lung and the ribs in {percent} % of directions, more than {LAYER_PERCENT_MOST:.0} %: fluid or consolidation may be left out of the lung"
        )
    });
    front.chain(layers).map(|text| StepReservation { code: "dense_tissue".to_owned(), text }).collect()
}

fn gap_percent(
    volume: &Volume,
    lungs: &Lungs,
    degrees: &RangeInclusive<i32>,
    most_mm: f64,
) -> [Option<f64>; 2] {
    match volume.has_rows_sideways() {
        true => sideways_percent(volume, lungs, degrees, most_mm),
        false => sideways_percent(&volume.transposed(), &lungs.clone().transposed(), degrees, most_mm),
    }
}

/// The percentages in a volume whose rows run from side to side.
fn sideways_percent(
    volume: &Volume,
    lungs: &Lungs,
    degrees: &RangeInclusive<i32>,
    most_mm: f64,
) -> [Option<f64>; 2] {
    let grid = &volume.coarse();
    let back = if volume.axes[1][1] >= 0.0 { 1.0 } else { -1.0 };
    let left = if volume.axes[0][0] >= 0.0 { 1.0 } else { -1.0 };
    [(&lungs.right, -left), (&lungs.left, left)].map(|(lung, side)| {
        let rays = LungRays { grid, lung: grid.cells_of(lung), side, back, degrees: degrees.clone() };
        rays.percent(most_mm)
    })
}

struct LungRays<'a> {
    grid: &'a CoarseGrid,
    lung: VoxelSet,
    /// The directions of the grid to the lung's side and to the back.
    side: f64,
    back: f64,
    degrees: RangeInclusive<i32>,
}

impl LungRays<'_> {
    /// The percentage of rays with more tissue than some mm between lung and rib.
    fn percent(&self, most_mm: f64) -> Option<f64> {
        let bounds = self.lung.bounds()?;
        let slices: Vec<Vec<Option<f64>>> = (bounds.low[2]..bounds.high[2]).map(|z| self.gaps(z)).collect();
        let window = ((RIB_MM / self.grid.spacing[2]).round() as usize).max(1);
        let (mut rays, mut wide) = (0, 0);
        for slices in slices.windows(window) {
            for ray in 0..slices[0].len() {
                let gaps = slices.iter().filter_map(|gaps| gaps[ray]);
                if let Some(gap) = gaps.reduce(f64::min) {
                    rays += 1;
                    wide += usize::from(gap > most_mm);
                }
            }
        }
        (rays >= RAYS_LEAST).then(|| 100.0 * wide as f64 / rays as f64)
    }

    /// The tissue between lung and bone in each direction of a slice, in mm.
    fn gaps(&self, z: usize) -> Vec<Option<f64>> {
        let degrees = self.degrees.clone().step_by(STEP_DEGREES);
        let Some(middle) = self.middle(z) else { return degrees.map(|_| None).collect() };
        let ray = |degrees: i32| {
            let angle = f64::from(degrees).to_radians();
            self.gap(middle, [self.side * angle.cos(), self.back * angle.sin()], z)
        };
        degrees.map(ray).collect()
    }

    fn middle(&self, z: usize) -> Option<[f64; 2]> {
        let inside = (0..self.grid.size[1]).flat_map(|y| self.lung.columns(y, z).map(move |x| [x, y]));
        let (count, sums) =
            inside.fold((0, [0; 2]), |(count, [sum_x, sum_y]), [x, y]| (count + 1, [sum_x + x, sum_y + y]));
        (count > 0).then(|| sums.map(|sum| sum as f64 / f64::from(count)))
    }

    fn gap(&self, middle: [f64; 2], towards: [f64; 2], z: usize) -> Option<f64> {
        let step_mm = self.grid.spacing[0].min(self.grid.spacing[1]) / 2.0;
        let at = |step: usize| {
            let place: [f64; 2] = std::array::from_fn(|axis| {
                middle[axis] + towards[axis] * step as f64 * step_mm / self.grid.spacing[axis]
            });
            let inside = (0..2).all(|axis| (0.0..self.grid.size[axis] as f64 - 0.5).contains(&place[axis]));
            inside.then(|| [place[0].round() as usize, place[1].round() as usize, z])
        };
        let cells: Vec<[usize; 3]> = (0..).map_while(at).collect();
        let last = cells.iter().rposition(|at| self.lung.contains(*at))?;
        let beyond = cells[last + 1..].iter().take((REACH_MM / step_mm) as usize);
        let mut beyond = beyond.map(|at| self.grid.mean(*at)).take_while(|hu| *hu >= OUTSIDE_HU);
        let steps = beyond.position(|hu| hu >= BONE_HU)?;
        Some(steps as f64 * step_mm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two lungs of 120 × 160 mm in a ring of ribs; the front part of the left one is dense over some mm, and so is the outer
    /// part of the right one.
    fn reserved([front_mm, layer_mm]: [f64; 2], known: &StepReservations) -> Vec<StepReservation> {
        let size = [100, 60, 30];
        let mm = |index: usize| [index % 100, index / 100 % 60].map(|at| 4.0 * at as f64 + 2.0);
        let is_lung = |index: usize, low: f64| {
            let [x, y] = mm(index);
            (low..low + 120.0).contains(&x) && (40.0..200.0).contains(&y)
        };
        let right = VoxelSet::of(size, |index| is_lung(index, 40.0) && mm(index)[0] >= 40.0 + layer_mm);
        let left = VoxelSet::of(size, |index| is_lung(index, 240.0) && mm(index)[1] >= 40.0 + front_mm);
        let hu = |index: usize| {
            let [x, y] = mm(index);
            let (is_chest, is_cage) = ((16.0..384.0).contains(&x), (32.0..368.0).contains(&x));
            let at = [index % 100, index / 100 % 60, index / 6000];
            match y {
                _ if right.contains(at) || left.contains(at) => -860,
                32.0..208.0 if is_cage && !(36.0..204.0).contains(&y) => 400,
                32.0..208.0 if is_cage && !(36.0..364.0).contains(&x) => 400,
                16.0..224.0 if is_chest => 40,
                _ => -1000,
            }
        };
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = (0..size.iter().product()).map(hu).collect();
        let volume = Volume { voxels, size, spacing: [4.0; 3], origin: [0.0; 3], axes };
        other_gaps(&volume, &Lungs::of(right.clone(), left.clone()), known)
    }

    #[test]
    fn a_lobe_without_air_is_named_once() {
        assert_eq!(reserved([0.0, 0.0], &StepReservations::default()), []);
        let said = reserved([80.0, 0.0], &StepReservations::default());
        let [only] = &said[..] else { panic!("one reservation: {said:?}") };
        assert!(only.text.contains("before the left lung"), "{}", only.text);
        let mut known = StepReservations::default();
        known.say("dense_tissue", "dense tissue lies between the left lung and the ribs");
        assert_eq!(reserved([80.0, 0.0], &known), []);
    }

    #[test]
    fn a_layer_around_a_lung_is_named() {
        assert_eq!(reserved([0.0, 4.0], &StepReservations::default()), []);
        let said = reserved([0.0, 16.0], &StepReservations::default());
        let words = "a layer of dense tissue lies between the right lung";
        assert!(said.iter().any(|one| one.text.starts_with(words)), "{said:?}");
    }
}
