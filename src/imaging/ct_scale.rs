//! The scale of a scan's CT numbers: where it ends, and what air outside the patient and soft tissue measure on it.
//!
//! All of it comes from some slices at the height of the lungs.

use rayon::prelude::*;

use super::bits::{WORD, some_below};
use super::{Lungs, Volume};

/// Distance of the slices that are measured.
const SLICES_MM: f64 = 10.0;
/// The fewest slices of a task: adding up the counts of tasks takes time, too.
const TASK_SLICES: usize = 8;
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
/// Between these every whole CT number occurs in a chest.
const STEPS_HU: std::ops::Range<i16> = -950..50;
/// The fewest CT numbers of a scale with steps: 64 greys over 4 096 HU have 15 there. What was drawn without noise has
/// fewer.
const STEPS_LEAST: usize = 10;
/// A scanner's CT numbers are whole; wider steps hide low densities.
const STEP_HU_MOST: f64 = 2.0;
/// The share of the steps that are alike, by 1 HU.
const ALIKE_SHARE_LEAST: f64 = 0.9;
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
    /// The steps in which CT numbers come, if they are wider than a scanner's.
    pub step_hu: Option<f64>,
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
        let slices: Vec<usize> = (first..last).step_by(step).collect();
        let tasks =
            slices.par_iter().with_min_len(TASK_SLICES).fold(ScaleCounts::default, |mut counts, z| {
                counts.add_slice(volume, *z);
                counts
            });
        let counts = tasks.reduce(ScaleCounts::default, ScaleCounts::with);
        CtScale {
            floor_hu: counts.all.floor().map(f64::from),
            ceiling_hu: counts.all.ceiling().map(f64::from),
            step_hu: counts.all.step(),
            outside_air_hu: counts.outside_air().map(f64::from),
            soft_tissue_hu: counts.all.tissue_peak().map(f64::from),
        }
    }
}

/// What is counted in some slices. All of it is counted while a slice is in the processor's cache.
#[derive(Default)]
struct ScaleCounts {
    all: CountsByHu,
    /// The air before and behind the patient.
    sides: [CountsByHu; 2],
}

impl ScaleCounts {
    fn add_slice(&mut self, volume: &Volume, z: usize) {
        let rows = (0..volume.size[1]).map(|y| volume.row(y, z));
        rows.clone().flatten().for_each(|hu| self.all.add(*hu));
        let [front, back] = &mut self.sides;
        let [mut from_front, mut from_back] = [(); 2].map(|()| FollowedColumns::new(volume.size[0]));
        rows.clone().for_each(|row| from_front.add(row, front));
        rows.rev().for_each(|row| from_back.add(row, back));
    }

    fn with(mut self, other: ScaleCounts) -> ScaleCounts {
        self.all.merge(&other.all);
        self.sides.iter_mut().zip(&other.sides).for_each(|(side, other)| side.merge(other));
        self
    }

    /// The median of the air before and behind the patient, on the side where it is lower: on the other one, a table
    /// can be in between. `None` if there is too little air, or if more than half of it has the least CT number and so
    /// may have any.
    fn outside_air(&self) -> Option<i16> {
        let least = (OUTSIDE_SHARE_LEAST * self.all.total() as f64) as u64;
        let medians = self.sides.iter().filter(|air| air.total() > least).map(CountsByHu::median);
        medians.min().filter(|hu| *hu > LEAST_HU)
    }
}

/// The number of voxels with each CT number from [`LEAST_HU`] on; those beyond either end are counted there. No volume
/// has 2³² voxels.
struct CountsByHu(Vec<u32>);

impl Default for CountsByHu {
    fn default() -> CountsByHu {
        CountsByHu(vec![0; usize::from(MOST_HU.abs_diff(LEAST_HU)) + 1])
    }
}

impl CountsByHu {
    fn hu(index: usize) -> i16 {
        LEAST_HU + index as i16
    }

    fn add(&mut self, hu: i16) {
        self.0[usize::from(hu.clamp(LEAST_HU, MOST_HU).abs_diff(LEAST_HU))] += 1;
    }

    /// Counts the voxels of a word.
    fn add_some(&mut self, voxels: &[i16], mut word: u64) {
        if word == u64::MAX {
            return voxels.iter().for_each(|hu| self.add(*hu));
        }
        while word != 0 {
            self.add(voxels[word.trailing_zeros() as usize]);
            word &= word - 1;
        }
    }

    fn merge(&mut self, other: &CountsByHu) {
        self.0.iter_mut().zip(&other.0).for_each(|(count, other)| *count += other);
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// The CT number of the voxel in the middle, or of the later of two.
    fn median(&self) -> i16 {
        let (middle, mut before) = (self.total() / 2, 0);
        let index = self.0.iter().position(|count| {
            before += u64::from(*count);
            before > middle
        });
        index.map_or(LEAST_HU, CountsByHu::hu)
    }

    fn floor(&self) -> Option<i16> {
        let lowest = 1 + self.0[1..].iter().position(|count| *count > 0)?;
        let above: u64 = self.0[lowest..].iter().take(FLOOR_HU).map(|count| u64::from(*count)).sum();
        let is_end = f64::from(self.0[lowest]) >= FLOOR_SHARE_LEAST * above as f64;
        Some(CountsByHu::hu(lowest)).filter(|hu| is_end && *hu > FLOOR_HU_MOST)
    }

    fn ceiling(&self) -> Option<i16> {
        let highest = self.0.iter().rposition(|count| *count > 0)?;
        Some(CountsByHu::hu(highest)).filter(|hu| *hu < CEILING_HU_MOST)
    }

    /// The step between the CT numbers that occur from air to soft tissue, if it is wide and always the same.
    fn step(&self) -> Option<f64> {
        let place = |hu: i16| usize::from(hu.abs_diff(LEAST_HU));
        let counts = &self.0[place(STEPS_HU.start)..place(STEPS_HU.end)];
        let occurring: Vec<usize> = (0..counts.len()).filter(|index| counts[*index] > 0).collect();
        if occurring.len() < STEPS_LEAST {
            return None;
        }
        let gaps: Vec<usize> = occurring.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<usize>() as f64 / gaps.len() as f64;
        let alike = gaps.iter().filter(|gap| (**gap as f64 - mean).abs() <= 1.0).count();
        (mean > STEP_HU_MOST && alike as f64 >= ALIKE_SHARE_LEAST * gaps.len() as f64).then_some(mean)
    }

    /// The middle of the bin with the most voxels, if fewer voxels lie on both sides of it.
    fn tissue_peak(&self) -> Option<i16> {
        let bin = |hu: i16| {
            let middle = usize::from(hu.abs_diff(LEAST_HU));
            self.0[middle - PEAK_HU..=middle + PEAK_HU].iter().map(|count| u64::from(*count)).sum::<u64>()
        };
        let (most, peak) = TISSUE_HU.map(|hu| (bin(hu), hu)).max_by_key(|(count, hu)| (*count, -hu))?;
        let is_peak = most > bin(TISSUE_HU.start) && most > bin(TISSUE_HU.end - 1);
        (is_peak && most as f64 >= TISSUE_SHARE_LEAST * self.total() as f64).then_some(peak)
    }
}

/// Columns that are followed from the border of an image into the patient, row by row, as far as there is air; a word
/// of columns at a time, as most words are all air or have ended.
struct FollowedColumns {
    /// The first row.
    first: Vec<i16>,
    /// The columns that began with padding, as long as nothing else came.
    padded: Vec<u64>,
    /// The columns that have not met the patient.
    open: Vec<u64>,
}

impl FollowedColumns {
    fn new(columns: usize) -> FollowedColumns {
        let words = columns.div_ceil(WORD);
        FollowedColumns { first: Vec::new(), padded: vec![u64::MAX; words], open: vec![u64::MAX; words] }
    }

    fn add(&mut self, row: &[i16], air: &mut CountsByHu) {
        if self.first.is_empty() {
            self.first.extend_from_slice(row);
            for (padded, voxels) in self.padded.iter_mut().zip(row.chunks(WORD)) {
                *padded = some_below(voxels, LEAST_HU + 1);
            }
        }
        let words = self.open.iter_mut().zip(&mut self.padded);
        let rows = row.chunks(WORD).zip(self.first.chunks(WORD));
        for ((open, padded), (voxels, first)) in words.zip(rows).filter(|((open, _), _)| **open != 0) {
            if *padded != 0 {
                *padded &= some_equal(voxels, first);
            }
            let outside = *open & !*padded & some_below(voxels, OUTSIDE_HU);
            air.add_some(voxels, outside);
            *open &= outside | *padded;
        }
    }
}

/// The voxels of at most 64 that are equal to others, as a word.
fn some_equal(voxels: &[i16], others: &[i16]) -> u64 {
    let equal = voxels.iter().zip(others).map(|(voxel, other)| u64::from(voxel == other));
    equal.rev().fold(0, |word, bit| word << 1 | bit)
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
    fn steps_of_ct_numbers_are_known_by_the_values() {
        let step = |wide: usize| {
            let mut counts = CountsByHu::default();
            (LEAST_HU..200).step_by(wide).for_each(|hu| counts.add(hu));
            counts.step()
        };
        assert_eq!([1, 2, 6, 16, 40].map(step), [None, None, Some(6.0), Some(16.0), Some(40.0)]);
        assert_eq!(step(150), None, "a few materials without noise");
        assert_eq!(scan(|hu| hu).step_hu, None);
    }

    #[test]
    fn padding_beside_the_field_of_view_is_no_air() {
        let mut follow = FollowedColumns::new(4);
        let mut air = CountsByHu::default();
        for row in [[-2000, -1024, -990, 40], [-2000, -1024, -1024, -990], [-990, -1024, 50, -990]] {
            follow.add(&row, &mut air);
        }
        let counted: Vec<(i16, u32)> = (LEAST_HU..).zip(air.0).filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(-1024, 1), (-990, 2)]);
    }
}
