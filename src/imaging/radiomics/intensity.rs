//! Intensity-based statistics (manual 3.3) and the intensity histogram (3.4), both from counts of voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::imaging::VoxelCounts;

/// The features that CT numbers and histogram bins have in common, in HU or in bins. The codes are those of
/// statistics and of histogram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DistributionFeatures {
    /// Q4LE, X6K6.
    pub mean: f64,
    /// ECT3, CH89: of the population.
    pub variance: f64,
    /// KE2A, 88K1; 0 without variance.
    pub skewness: f64,
    /// IPH6, C3I7: the excess over that of a normal distribution; 0 without variance.
    pub kurtosis: f64,
    /// Y12H, WIFQ.
    pub median: f64,
    /// 1GSF, 1PR8.
    pub minimum: f64,
    /// QG58, GPMT.
    pub percentile_10: f64,
    /// 8DWT, OZ0C.
    pub percentile_90: f64,
    /// 84IY, 3NCY.
    pub maximum: f64,
    /// SALO, WR0O.
    pub interquartile_range: f64,
    /// 2OJQ, 5Z3W.
    pub range: f64,
    /// 4FUA, D2ZX: from the mean.
    pub mean_absolute_deviation: f64,
    /// 1128, WRZB: of what lies from the 10th to the 90th percentile, from its mean.
    pub robust_mean_absolute_deviation: f64,
    /// N72L, 4RNL: the mean deviation from the median.
    pub median_absolute_deviation: f64,
    /// 7TET, CWYJ.
    pub coefficient_of_variation: f64,
    /// 9S40, SLWD.
    pub quartile_coefficient_of_dispersion: f64,
}

/// Statistics of CT numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IntensityFeatures {
    pub distribution: DistributionFeatures,
    /// N8CA: the sum of squares.
    pub energy: f64,
    /// 5ZWQ.
    pub root_mean_square: f64,
}

/// Features of a histogram with bins of a fixed width. Bins are numbered from 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistogramFeatures {
    /// The CT numbers that are counted, both included.
    pub from_hu: i32,
    pub to_hu: i32,
    pub bin_hu: u32,
    pub distribution: DistributionFeatures,
    /// AMMC: the bin with most voxels, the one nearest to the mean if there are several.
    pub mode: f64,
    /// TLU2, in bits.
    pub entropy: f64,
    /// BJ5W.
    pub uniformity: f64,
    /// 12CE, 8E6O: voxels per bin, and the bin.
    pub maximum_gradient: f64,
    pub maximum_gradient_bin: f64,
    /// VQB3, RHQZ: voxels per bin, and the bin.
    pub minimum_gradient: f64,
    pub minimum_gradient_bin: f64,
}

impl IntensityFeatures {
    /// The statistics of some voxels; `None` without any.
    pub fn of(counts: &VoxelCounts) -> Option<IntensityFeatures> {
        let distribution = DistributionFeatures::of(counts)?;
        let energy = counts.sum_of(|hu| hu * hu);
        let root_mean_square = (energy / counts.total() as f64).sqrt();
        Some(IntensityFeatures { distribution, energy, root_mean_square })
    }
}

impl HistogramFeatures {
    /// The histogram of the voxels in a range; `None` without any.
    pub fn of(counts: &VoxelCounts, [from_hu, to_hu]: [i32; 2], bin_hu: u32) -> Option<HistogramFeatures> {
        let inside = counts.occurring().filter(|(hu, _)| (from_hu..=to_hu).contains(hu));
        let bins =
            VoxelCounts::gathered(inside.map(|(hu, count)| ((hu - from_hu) / bin_hu as i32 + 1, count)));
        let distribution = DistributionFeatures::of(&bins)?;
        let share = |count: u64| count as f64 / bins.total() as f64;
        let shares = bins.occurring().map(|(_, count)| share(count));
        let rank = |(bin, count): &(i32, u64)| {
            (*count, -(f64::from(*bin) - distribution.mean).abs(), -f64::from(*bin))
        };
        let by_rank = |one: &(i32, u64), other: &(i32, u64)| {
            let (one, other) = (rank(one), rank(other));
            one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)).then(one.2.total_cmp(&other.2))
        };
        let mode = bins.occurring().max_by(by_rank)?.0;
        let gradients = gradients(&bins);
        let first_of = |value: f64| gradients.iter().position(|gradient| *gradient == value);
        let most = gradients.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = gradients.iter().copied().fold(f64::INFINITY, f64::min);
        Some(HistogramFeatures {
            from_hu,
            to_hu,
            bin_hu,
            mode: mode.into(),
            entropy: -shares.clone().map(|share| share * share.log2()).sum::<f64>(),
            uniformity: shares.map(|share| share * share).sum(),
            maximum_gradient: most,
            maximum_gradient_bin: first_of(most)? as f64 + 1.0,
            minimum_gradient: least,
            minimum_gradient_bin: first_of(least)? as f64 + 1.0,
            distribution,
        })
    }
}

/// The gradient at each bin from the first to the highest that occurs.
fn gradients(bins: &VoxelCounts) -> Vec<f64> {
    let last = bins.occurring().last().map_or(0, |(bin, _)| bin as usize);
    let mut counts = vec![0.0; last];
    bins.occurring().for_each(|(bin, count)| counts[bin as usize - 1] = count as f64);
    let gradient = |bin: usize| {
        let (before, after) = (bin.saturating_sub(1), (bin + 1).min(last - 1));
        let width = (after - before).max(1) as f64;
        (counts[after] - counts[before]) / width
    };
    (0..last).map(gradient).collect()
}

impl DistributionFeatures {
    fn of(counts: &VoxelCounts) -> Option<DistributionFeatures> {
        let minimum = f64::from(counts.occurring().next()?.0);
        let maximum = f64::from(counts.occurring().last()?.0);
        let mean = counts.mean_of(|value| value);
        let moment = |power: i32| counts.mean_of(|value| (value - mean).powi(power));
        let variance = moment(2);
        let over = |moment: f64, power: i32| {
            if variance == 0.0 { 0.0 } else { moment / variance.sqrt().powi(power) }
        };
        let [percentile_10, quarter, median, three_quarters, percentile_90] =
            [0.1, 0.25, 0.5, 0.75, 0.9].map(|share| counts.percentile(share));
        Some(DistributionFeatures {
            mean,
            variance,
            skewness: over(moment(3), 3),
            kurtosis: if variance == 0.0 { 0.0 } else { over(moment(4), 4) - 3.0 },
            median,
            minimum,
            percentile_10,
            percentile_90,
            maximum,
            interquartile_range: three_quarters - quarter,
            range: maximum - minimum,
            mean_absolute_deviation: counts.mean_of(|value| (value - mean).abs()),
            robust_mean_absolute_deviation: robust_deviation(counts, percentile_10, percentile_90),
            median_absolute_deviation: counts.mean_of(|value| (value - median).abs()),
            coefficient_of_variation: variance.sqrt() / mean,
            quartile_coefficient_of_dispersion: (three_quarters - quarter) / (three_quarters + quarter),
        })
    }
}

fn robust_deviation(counts: &VoxelCounts, low: f64, high: f64) -> f64 {
    let inside = counts.occurring().filter(|(value, _)| (low..=high).contains(&f64::from(*value)));
    let inside = VoxelCounts::gathered(inside);
    let mean = inside.mean_of(|value| value);
    inside.mean_of(|value| (value - mean).abs())
}
