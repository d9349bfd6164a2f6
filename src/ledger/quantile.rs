//! Times from the buckets in which they are counted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::journal::tally::bucket_end_us;

/// Counts of times by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeHistogram(pub BTreeMap<u16, isize>);

/// Quantiles of times, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct TimeQuantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

/// The histogram of these buckets with their counts.
pub fn histogram_of(buckets: impl IntoIterator<Item = (u16, isize)>) -> TimeHistogram {
    let mut histogram = TimeHistogram::default();
    for (bucket, count) in buckets {
        *histogram.0.entry(bucket).or_default() += count;
    }
    histogram
}

impl TimeHistogram {
    /// The number of times.
    pub fn count(&self) -> isize {
        self.0.values().sum()
    }

    /// The number of times below so many seconds, exact at powers of two of microseconds.
    pub fn below(&self, seconds: f64) -> isize {
        let is_below = |bucket: &u16| bucket_end_us(*bucket) <= seconds * 1e6 * (1.0 + f64::EPSILON);
        self.0.iter().filter(|(bucket, _)| is_below(bucket)).map(|(_, count)| count).sum()
    }

    /// The sum of all times in seconds, off by 12 % at most.
    pub fn sum(&self) -> f64 {
        self.0.iter().map(|(bucket, count)| middle_us(*bucket) * *count as f64 / 1e6).sum()
    }

    /// A quantile in seconds, `None` without times.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count() as f64;
        let mut seen = 0.0;
        for (bucket, count) in &self.0 {
            seen += *count as f64;
            if seen >= rank && *count > 0 {
                return Some(middle_us(*bucket) / 1e6);
            }
        }
        None
    }

    pub fn quantiles(&self) -> Option<TimeQuantiles> {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| self.quantile(share));
        Some(TimeQuantiles { p50: p50?, p90: p90?, p99: p99? })
    }
}

fn middle_us(bucket: u16) -> f64 {
    let begin = bucket.checked_sub(1).map_or(1.0, bucket_end_us);
    f64::midpoint(begin, bucket_end_us(bucket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tally::bucket;

    #[test]
    fn a_quantile_is_off_by_less_than_a_bucket() {
        let times = (1..=10_000_u64).map(|number| number * 1000);
        let histogram = histogram_of(times.map(|us| (bucket(us), 1)));
        let quantiles = histogram.quantiles().unwrap();
        for (found, expected) in [(quantiles.p50, 5.0), (quantiles.p90, 9.0), (quantiles.p99, 9.9)] {
            assert!((found / expected - 1.0).abs() < 0.13, "{found} for {expected}");
        }
        assert_eq!(histogram.count(), 10_000);
        assert!((histogram.sum() / 50_005.0 - 1.0).abs() < 0.13);
        let below = histogram.below(4.194_304);
        assert_eq!(below, 4194, "a power of two is the end of a bucket");
        assert_eq!(TimeHistogram::default().quantiles(), None);
    }
}
