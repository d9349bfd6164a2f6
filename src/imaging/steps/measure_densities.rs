//! `measure-densities`: densitometry of both lungs and of each.
//!
//! All measures are computed from one exact count per CT number and lung, so the cost is one pass, whatever
//! is asked for. Shares are of voxels strictly below a threshold (LAA-950 and similar: Gevenois et al. 1996,
//! AJRCCM 154:187); percentiles interpolate linearly between ranks (Hyndman, Fan 1996, type 7, numpy's
//! default); the standard deviation is the population's. A lung that was not found is left out.

use rayon::prelude::*;

use crate::imaging::bits::WORD;
use crate::imaging::{LungDensities, LungRegion, Lungs, RegionDensity, Volume, VoxelSet};
use crate::step::{BuiltIn, Call, Fault, Parameter, Step, StepOutputs};

/// The number of counts: one per 16-bit CT number.
const HU_COUNT: usize = 1 << 16;
/// The fewest slices of a task: counting them takes long compared with adding up the task's table.
const TASK_SLICES: usize = 64;

/// Settings of the measurements besides the moments.
#[derive(Clone, Debug, PartialEq)]
pub struct DensitySettings {
    pub thresholds_hu: Vec<f64>,
    pub histogram_start_hu: i32,
    /// The end of the histogram, exclusive.
    pub histogram_end_hu: i32,
    pub histogram_width_hu: u32,
}

impl Default for DensitySettings {
    fn default() -> DensitySettings {
        DensitySettings {
            thresholds_hu: vec![-950.0, -910.0, -856.0],
            histogram_start_hu: -1050,
            histogram_end_hu: 150,
            histogram_width_hu: 10,
        }
    }
}

fn step() -> Step {
    let default = DensitySettings::default();
    let thresholds = Parameter::numbers("thresholds_hu", &default.thresholds_hu, -1024.0, 3071.0, "HU")
        .about("The percentage of voxels below each of these is given.");
    let start =
        Parameter::number("histogram_start_hu", default.histogram_start_hu.into(), -2048.0, 0.0, "HU")
            .about("The histogram begins here.");
    let end = Parameter::number("histogram_end_hu", default.histogram_end_hu.into(), 1.0, 3072.0, "HU")
        .about("The histogram ends before this.");
    let width = Parameter::number("histogram_width_hu", default.histogram_width_hu.into(), 1.0, 100.0, "HU")
        .about("Width of the histogram's bins.");
    Step::new("measure-densities", 1, "Measures volume and densities of both lungs and of each.")
        .takes::<Volume>("volume")
        .takes::<Lungs>("lungs")
        .gives::<LungDensities>("densities")
        .parameter(thresholds)
        .parameter(start)
        .parameter(end)
        .parameter(width)
        .runs(|call| {
            let densities = measure_densities(call.input("volume"), call.input("lungs"), &settings(call))?;
            Ok(StepOutputs::one("densities", densities))
        })
}

fn settings(call: &Call) -> DensitySettings {
    DensitySettings {
        thresholds_hu: call.numbers("thresholds_hu").to_vec(),
        histogram_start_hu: call.number("histogram_start_hu") as i32,
        histogram_end_hu: call.number("histogram_end_hu") as i32,
        histogram_width_hu: call.number("histogram_width_hu") as u32,
    }
}

inventory::submit! { BuiltIn(step) }

/// Measures both lungs together, the right one and the left one, each if it has voxels.
///
/// # Errors
/// If no voxel is labelled as lung.
///
/// # Panics
/// If the lungs are not on the volume's grid.
pub fn measure_densities(
    volume: &Volume,
    lungs: &Lungs,
    settings: &DensitySettings,
) -> Result<LungDensities, Fault> {
    let [right, left] = count(volume, lungs);
    let both = VoxelCounts(right.0.iter().zip(&left.0).map(|(right, left)| right + left).collect());
    if both.total() == 0 {
        return Err(Fault::new("no voxel is labelled as lung", "Send a chest CT that shows the lungs."));
    }
    let regions = [(LungRegion::Both, both), (LungRegion::Right, right), (LungRegion::Left, left)];
    let found = regions.iter().filter(|(_, counts)| counts.total() > 0);
    Ok(LungDensities {
        regions: found.map(|(lung, counts)| counts.density(*lung, volume, settings)).collect(),
    })
}

/// The number of voxels with each CT number, from −32 768 on. No volume has 2³² voxels.
struct VoxelCounts(Vec<u32>);

/// Counts the right and the left lung.
fn count(volume: &Volume, lungs: &Lungs) -> [VoxelCounts; 2] {
    [&lungs.right, &lungs.left].map(|lung| count_one(volume, lung))
}

fn count_one(volume: &Volume, lung: &VoxelSet) -> VoxelCounts {
    assert_eq!(volume.size, lung.size(), "lungs on the volume's grid");
    let [columns, rows, _] = volume.size;
    let empty = || Box::new([0; HU_COUNT]);
    let slices = volume.voxels.par_chunks_exact(columns * rows).enumerate().with_min_len(TASK_SLICES);
    let tasks = slices.fold(empty, |mut counts, (z, slice)| {
        for (y, row) in slice.chunks_exact(columns).enumerate() {
            count_row(row, lung.row(y, z), &mut counts);
        }
        counts
    });
    let counts = tasks.reduce(empty, |mut some, other| {
        some.iter_mut().zip(*other).for_each(|(count, other)| *count += other);
        some
    });
    VoxelCounts(counts.to_vec())
}

/// Counts a row. Full and empty words have a faster path, as most words are one or the other.
fn count_row(row: &[i16], words: &[u64], counts: &mut [u32; HU_COUNT]) {
    for (voxels, word) in row.chunks(WORD).zip(words) {
        match *word {
            0 => {}
            u64::MAX => voxels.iter().for_each(|hu| counts[index(*hu)] += 1),
            mut some => {
                while some != 0 {
                    counts[index(voxels[some.trailing_zeros() as usize])] += 1;
                    some &= some - 1;
                }
            }
        }
    }
}

/// The index of a CT number. Its 16 bits make it valid without a bounds check.
fn index(hu: i16) -> usize {
    usize::from(hu as u16 ^ 1 << 15)
}

impl VoxelCounts {
    fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// The CT numbers that occur, with their counts, in ascending order.
    fn occurring(&self) -> impl Iterator<Item = (i64, u64)> {
        let all = (i64::from(i16::MIN)..).zip(&self.0);
        all.filter(|(_, count)| **count > 0).map(|(hu, count)| (hu, u64::from(*count)))
    }

    fn density(&self, lung: LungRegion, volume: &Volume, settings: &DensitySettings) -> RegionDensity {
        let voxels = self.total();
        let mean_hu = self.sum(|hu| hu as f64) / voxels as f64;
        RegionDensity {
            lung,
            voxels,
            volume_ml: voxels as f64 * volume.voxel_ml(),
            mean_hu,
            standard_deviation_hu: (self.sum(|hu| (hu as f64 - mean_hu).powi(2)) / voxels as f64).sqrt(),
            median_hu: self.percentile(0.5),
            percentile_15_hu: self.percentile(0.15),
            below: settings.thresholds_hu.iter().map(|hu| (*hu, self.percent_below(*hu))).collect(),
            histogram: self.histogram(settings),
            histogram_start_hu: settings.histogram_start_hu,
            histogram_width_hu: settings.histogram_width_hu,
        }
    }

    fn sum(&self, of: impl Fn(i64) -> f64) -> f64 {
        self.occurring().map(|(hu, count)| of(hu) * count as f64).sum()
    }

    fn percent_below(&self, threshold_hu: f64) -> f64 {
        let below = self.occurring().filter(|(hu, _)| (*hu as f64) < threshold_hu);
        100.0 * below.map(|(_, count)| count).sum::<u64>() as f64 / self.total() as f64
    }

    fn percentile(&self, share: f64) -> f64 {
        let place = share * (self.total() - 1) as f64;
        let (low, high) = (self.ranked(place.floor() as u64), self.ranked(place.ceil() as u64));
        low + (high - low) * place.fract()
    }

    /// The CT number at a rank in ascending order, from 0 on.
    fn ranked(&self, place: u64) -> f64 {
        let mut before = 0;
        let found = self.occurring().find(|(_, count)| {
            before += count;
            before > place
        });
        found.map_or(f64::NAN, |(hu, _)| hu as f64)
    }

    fn histogram(&self, settings: &DensitySettings) -> Vec<u64> {
        let (start, end) = (i64::from(settings.histogram_start_hu), i64::from(settings.histogram_end_hu));
        let width = i64::from(settings.histogram_width_hu);
        let mut bins = vec![0; ((end - start).max(0) as usize).div_ceil(width as usize)];
        for (hu, count) in self.occurring().filter(|(hu, _)| (start..end).contains(hu)) {
            bins[((hu - start) / width) as usize] += count;
        }
        bins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(right: &[i16], left: &[i16]) -> Result<LungDensities, Fault> {
        let none = [30_i16, -990];
        let voxels = [&none, right, &none, left, &none].concat();
        let labels = [
            vec![Lungs::NONE; 2],
            vec![Lungs::RIGHT; right.len()],
            vec![Lungs::NONE; 2],
            vec![Lungs::LEFT; left.len()],
            vec![Lungs::NONE; 2],
        ];
        let size = [voxels.len(), 1, 1];
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let volume = Volume { voxels: voxels.into(), size, spacing: [0.5, 0.5, 2.0], origin: [0.0; 3], axes };
        let lungs = Lungs::labelled(size, &labels.concat());
        measure_densities(&volume, &lungs, &DensitySettings::default())
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    /// Expected values by numpy 2: mean, std, median, percentile(15), (x < -950).mean().
    #[test]
    fn as_numpy_has_it() {
        let right = [-970, -951, -950, -949, -911, -910, -905, -860, -856, -855, -700, 20];
        let left = [-940, -930, -800, -800, -640];
        let densities = measured(&right, &left).unwrap();
        let [both, one, other] = &densities.regions[..] else { panic!("three regions") };
        assert_eq!(
            [both.lung, one.lung, other.lung],
            [LungRegion::Both, LungRegion::Right, LungRegion::Left]
        );
        assert_eq!([both.voxels, one.voxels, other.voxels], [17, 12, 5]);
        assert!(near(both.volume_ml, 17.0 * 0.0005));
        assert!(near(one.mean_hu, NUMPY_RIGHT[0]) && near(both.mean_hu, NUMPY_BOTH[0]));
        assert!(near(one.standard_deviation_hu, NUMPY_RIGHT[1]), "{}", one.standard_deviation_hu);
        assert!(near(one.median_hu, NUMPY_RIGHT[2]) && near(both.median_hu, NUMPY_BOTH[1]));
        assert!(near(one.percentile_15_hu, NUMPY_RIGHT[3]), "{}", one.percentile_15_hu);
        assert!(near(both.percentile_15_hu, NUMPY_BOTH[2]) && near(other.percentile_15_hu, -934.0));
        assert_eq!(one.below.iter().map(|(hu, _)| *hu).collect::<Vec<_>>(), [-950.0, -910.0, -856.0]);
        assert!(near(one.below[0].1, 100.0 * 2.0 / 12.0), "−950 itself is not below −950");
        assert!(near(one.below[2].1, 100.0 * 8.0 / 12.0));
        assert_eq!(one.histogram.iter().sum::<u64>(), 12);
        assert_eq!(one.histogram[10], 2, "bin of −950 to −941");
    }

    #[test]
    fn a_lung_that_is_not_there_is_left_out() {
        let densities = measured(&[-900, -800], &[]).unwrap();
        let lungs: Vec<LungRegion> = densities.regions.iter().map(|region| region.lung).collect();
        assert_eq!(lungs, [LungRegion::Both, LungRegion::Right]);
        assert!(measured(&[], &[]).unwrap_err().reason.contains("no voxel"));
    }

    const NUMPY_RIGHT: [f64; 4] = [-816.4166666666666, 261.5299403934896, -907.5, -950.35];
    const NUMPY_BOTH: [f64; 3] = [-818.0588235294117, -905.0, -949.6];
}
