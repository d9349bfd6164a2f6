//! The scale of a scan's CT numbers: where it ends, and what air outside the patient and soft tissue measure on it.
//!
//! All of it comes from some slices at the height of the lungs.

use super::{Lungs, Volume};

/// Distance of the slices that are measured.
const SLICES_MM: f64 = 10.0;
/// Voxels of this CT number and below are padding, or the lowest number of the scanner.
const LEAST_HU: i16 = -1024;
const MOST_HU: i16 = 3072;
/// Air has −1000 HU: a scale that ends there ends below all lung, also where its steps are some HU wide.
const FLOOR_HU_MOST: i16 = -990;
/// The share of the voxels within [`FLOOR_HU`] above the least CT number that have just that number, where it is the end
/// of the scale. Noise without an end leaves under 0.1 % there, and two real chests whose scales end at −1000 and below
/// have 38 and 0.003 %.
const FLOOR_SHARE_LEAST: f64 = 0.2;
const FLOOR_HU: usize = 100;
/// Bone has more than this in every scan of a chest: the cortex of ribs and vertebrae has 600 HU and more, and in
/// voxels of 4 mm still 1000 HU somewhere.
const CEILING_HU_MOST: i16 = 300;
/// Air outside the patient is below this.
const OUTSIDE_HU: i16 = -850;
/// The share of the voxels that must lie outside the patient for a measure.
const OUTSIDE_SHARE_LEAST: f64 = 0.02;
/// CT numbers among which the peak of soft tissue is searched. Fat has its peak near −100 HU.
const TISSUE_HU: std::ops::Range<i16> = -50..151;
/// Half the width of the bins in which the peak is searched.
const PEAK_HU: usize = 10;
/// The share of the voxels that must be soft tissue for a measure.
const TISSUE_SHARE_LEAST: f64 = 0.02;

/// What is known of a scan's scale of CT numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CtScale {
    /// The lowest CT number, if the scale ends there and that is above the CT number of air.
    pub floor_hu: Option<f64>,
    /// The highest CT number, if it is below that of bone.
    pub ceiling_hu: Option<f64>,
    /// The median of the air outside the patient.
    pub outside_air_hu: Option<f64>,
    /// The most frequent CT number of soft tissue.
    pub soft_tissue_hu: Option<f64>,
}

impl CtScale {
    pub fn of(volume: &Volume, lungs: &Lungs) -> CtScale {
        let heights = [&lungs.right, &lungs.left].into_iter().filter_map(|lung| lung.bounds());
        let heights = heights.map(|bounds| (bounds.low[2], bounds.high[2]));
        let heights = heights.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        let Some((first, last)) = heights else { return CtScale::default() };
        let step = ((SLICES_MM / volume.spacing[2]).round() as usize).max(1);
        let counts = CountsByHu::of(volume, (first..last).step_by(step));
        CtScale {
            floor_hu: counts.floor().map(f64::from),
            ceiling_hu: counts.ceiling().map(f64::from),
            outside_air_hu: outside_air(volume, (first..last).step_by(step)),
            soft_tissue_hu: counts.tissue_peak().map(f64::from),
        }
    }
}

/// The number of voxels with each CT number from [`LEAST_HU`] on; those beyond either end are counted there.
struct CountsByHu(Vec<u64>);

impl CountsByHu {
    fn of(volume: &Volume, slices: impl Iterator<Item = usize>) -> CountsByHu {
        let mut counts = vec![0; usize::from(MOST_HU.abs_diff(LEAST_HU)) + 1];
        for z in slices {
            for hu in (0..volume.size[1]).flat_map(|y| volume.row(y, z)) {
                counts[usize::from((*hu).clamp(LEAST_HU, MOST_HU).abs_diff(LEAST_HU))] += 1;
            }
        }
        CountsByHu(counts)
    }

    fn hu(index: usize) -> i16 {
        LEAST_HU + index as i16
    }

    fn floor(&self) -> Option<i16> {
        let lowest = 1 + self.0[1..].iter().position(|count| *count > 0)?;
        let above: u64 = self.0[lowest..].iter().take(FLOOR_HU).sum();
        let is_end = self.0[lowest] as f64 >= FLOOR_SHARE_LEAST * above as f64;
        Some(CountsByHu::hu(lowest)).filter(|hu| is_end && *hu > FLOOR_HU_MOST)
    }

    fn ceiling(&self) -> Option<i16> {
        let highest = self.0.iter().rposition(|count| *count > 0)?;
        Some(CountsByHu::hu(highest)).filter(|hu| *hu < CEILING_HU_MOST)
    }

    /// The middle of the bin with the most voxels, if fewer voxels lie on both sides of it.
    fn tissue_peak(&self) -> Option<i16> {
        let bin = |hu: i16| {
            let middle = usize::from(hu.abs_diff(LEAST_HU));
            self.0[middle - PEAK_HU..=middle + PEAK_HU].iter().sum::<u64>()
        };
        let (most, peak) = TISSUE_HU.map(|hu| (bin(hu), hu)).max_by_key(|(count, hu)| (*count, -hu))?;
        let all: u64 = self.0.iter().sum();
        let is_peak = most > bin(TISSUE_HU.start) && most > bin(TISSUE_HU.end - 1);
        (is_peak && most as f64 >= TISSUE_SHARE_LEAST * all as f64).then_some(peak)
    }
}

/// The median of the air before and behind the patient, on the side where it is lower: on the other one, a table can
/// be in between. Each column is followed from the border of the image as far as there is air. `None` if there is too
/// little air, or if more than half of it has the least CT number and so may have any.
fn outside_air(volume: &Volume, slices: impl Iterator<Item = usize>) -> Option<f64> {
    let [columns, rows, _] = volume.size;
    let mut sides = [Vec::new(), Vec::new()];
    let mut voxels = 0;
    for z in slices {
        voxels += columns * rows;
        let ways: [Vec<usize>; 2] = [(0..rows).collect(), (0..rows).rev().collect()];
        for (air, way) in sides.iter_mut().zip(ways) {
            let mut follow = FollowedColumns::new(columns);
            for y in way {
                follow.add(volume.row(y, z), air);
            }
        }
    }
    let least = (OUTSIDE_SHARE_LEAST * voxels as f64) as usize;
    let medians = sides.into_iter().filter(|air| air.len() > least).map(|mut air| {
        let middle = air.len() / 2;
        *air.select_nth_unstable(middle).1
    });
    medians.min().filter(|hu| *hu > LEAST_HU).map(f64::from)
}

/// Columns that are followed from the border of an image into the patient, row by row.
struct FollowedColumns {
    /// The padding that each column began with, as long as nothing else came.
    padding: Vec<Option<i16>>,
    ended: Vec<bool>,
    begun: bool,
}

impl FollowedColumns {
    fn new(columns: usize) -> FollowedColumns {
        FollowedColumns { padding: vec![None; columns], ended: vec![false; columns], begun: false }
    }

    fn add(&mut self, row: &[i16], air: &mut Vec<i16>) {
        for (x, hu) in row.iter().enumerate() {
            if self.ended[x] {
                continue;
            }
            if !self.begun && *hu <= LEAST_HU {
                self.padding[x] = Some(*hu);
            }
            if self.padding[x] == Some(*hu) {
                continue;
            }
            self.padding[x] = None;
            if *hu < OUTSIDE_HU { air.push(*hu) } else { self.ended[x] = true }
        }
        self.begun = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::VoxelSet;

    /// A patient of 40 HU with a lung in it, of 32 × 32 × 4 voxels, and some noise; bone at its back.
    fn scan(change: impl Fn(i16) -> i16) -> CtScale {
        let size = [32, 32, 4];
        let hu = |index: usize| {
            let [x, y] = [index % 32, index / 32 % 32];
            let noise = (index * 5 % 21 + index / 21 * 8 % 21) as i16 - 20;
            let inside = (4..28).contains(&x) && (6..28).contains(&y);
            let lung = (10..22).contains(&x) && (10..20).contains(&y);
            match (inside, lung) {
                (false, _) => -1000 + noise,
                (true, true) => -860 + noise,
                (true, false) if y > 25 => 700 + noise,
                (true, false) => 40 + noise,
            }
        };
        let voxels = (0..size.iter().product()).map(|index| change(hu(index))).collect();
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let volume = Volume { voxels, size, spacing: [8.0; 3], origin: [0.0; 3], axes };
        let lung = VoxelSet::of(size, |index| {
            (10..22).contains(&(index % 32)) && (10..20).contains(&(index / 32 % 32))
        });
        CtScale::of(&volume, &Lungs::of(lung, VoxelSet::empty(size)))
    }

    #[track_caller]
    fn near(measured: Option<f64>, expected: f64) {
        assert!(measured.is_some_and(|hu| (hu - expected).abs() <= 3.0), "{measured:?}, not {expected}");
    }

    #[test]
    fn air_and_tissue_are_measured_where_they_are() {
        let usual = scan(|hu| hu);
        assert_eq!((usual.floor_hu, usual.ceiling_hu), (None, None));
        near(usual.outside_air_hu, -1000.0);
        near(usual.soft_tissue_hu, 40.0);
        let high = scan(|hu| hu + 60);
        near(high.outside_air_hu, -940.0);
        near(high.soft_tissue_hu, 100.0);
        let low = scan(|hu| (hu - 60).max(-1024));
        assert_eq!(low.outside_air_hu, None, "at the least CT number, nothing is known");
        near(low.soft_tissue_hu, -20.0);
    }

    #[test]
    fn the_ends_of_a_scale_are_known_where_they_hide_something() {
        assert_eq!(scan(|hu| hu.max(-940)).floor_hu, Some(-940.0));
        assert_eq!(scan(|hu| hu.max(-997)).floor_hu, None, "all lung is above");
        assert_eq!(scan(|hu| hu.max(-1024)).floor_hu, None);
        assert_eq!(scan(|hu| hu.min(150)).ceiling_hu, Some(150.0));
        assert_eq!(scan(|hu| hu.min(1000)).ceiling_hu, None);
    }

    #[test]
    fn padding_beside_the_field_of_view_is_no_air() {
        let mut follow = FollowedColumns::new(4);
        let mut air = Vec::new();
        for row in [[-2000, -1024, -990, 40], [-2000, -1024, -1024, -990], [-990, -1024, 50, -990]] {
            follow.add(&row, &mut air);
        }
        assert_eq!(air, [-990, -1024, -990]);
    }
}
