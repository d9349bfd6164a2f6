//! The curves of the densities' histogram, and the ranges of the axes around them, whatever they are drawn on.

use crate::imaging::{LungRegion, RegionDensity};

/// The width of a plotted bin: measured bins are joined so that the curves are smooth.
pub const BIN_HU: u32 = 10;
const TICK_HU: i32 = 100;
/// Percentiles of every region that the axis spans at least; the rest is a long tail of vessels.
const SHOWN_PERCENT: [f64; 2] = [0.1, 95.0];

/// Percentage of a region's voxels per bin of [`BIN_HU`].
pub struct HistogramCurve {
    pub lung: LungRegion,
    start_hu: f64,
    step_hu: f64,
    percent: Vec<f64>,
}

impl HistogramCurve {
    pub fn new(density: &RegionDensity) -> HistogramCurve {
        let joined = (BIN_HU / density.histogram_width_hu.max(1)).max(1) as usize;
        let total = density.voxels.max(1) as f64;
        let bins = density.histogram.chunks(joined);
        HistogramCurve {
            lung: density.lung,
            start_hu: f64::from(density.histogram_start_hu),
            step_hu: f64::from(density.histogram_width_hu) * joined as f64,
            percent: bins.map(|bins| 100.0 * bins.iter().sum::<u64>() as f64 / total).collect(),
        }
    }

    fn middle_hu(&self, bin: usize) -> f64 {
        self.start_hu + (bin as f64 + 0.5) * self.step_hu
    }

    fn highest(&self) -> f64 {
        self.percent.iter().copied().fold(0.0, f64::max)
    }

    /// The range of HU to show; `None` if there are no voxels.
    fn visible(&self) -> Option<[f64; 2]> {
        let ranks = self.percent.iter().scan(0.0, |sum, percent| {
            *sum += percent;
            Some(*sum)
        });
        let ranks: Vec<f64> = ranks.collect();
        let first = ranks.iter().position(|&rank| rank > SHOWN_PERCENT[0])?;
        let last = ranks.iter().position(|&rank| rank >= SHOWN_PERCENT[1])?;
        Some([self.middle_hu(first), self.middle_hu(last)])
    }
}

/// The ranges of a chart's axes.
pub struct ChartRange {
    from_hu: i32,
    to_hu: i32,
    to_percent: f64,
    tick_percent: f64,
}

impl ChartRange {
    /// The ranges that show all curves; `None` if there are no voxels.
    pub fn around(curves: &[HistogramCurve]) -> Option<ChartRange> {
        let visible: Vec<[f64; 2]> = curves.iter().filter_map(HistogramCurve::visible).collect();
        let from = visible.iter().map(|[from, _]| *from).reduce(f64::min)?;
        let to = visible.iter().map(|[_, to]| *to).reduce(f64::max)?;
        let highest = curves.iter().map(HistogramCurve::highest).fold(0.0, f64::max);
        let tick = f64::from(TICK_HU);
        let tick_percent = round_step(highest / 5.0);
        Some(ChartRange {
            from_hu: ((from / tick).floor() * tick) as i32,
            to_hu: ((to / tick).ceil() * tick) as i32,
            to_percent: (highest * 1.04 / tick_percent).ceil() * tick_percent,
            tick_percent,
        })
    }

    /// The place of a CT number from the left (0) to the right (1).
    pub fn across(&self, hu: f64) -> f32 {
        ((hu - f64::from(self.from_hu)) / f64::from(self.to_hu - self.from_hu)) as f32
    }

    /// The place of a percentage from the bottom (0) to the top (1).
    pub fn up(&self, percent: f64) -> f32 {
        (percent / self.to_percent) as f32
    }

    pub fn hu_ticks(&self) -> impl Iterator<Item = f64> {
        (self.from_hu..=self.to_hu).step_by(TICK_HU as usize).map(f64::from)
    }

    /// Percentages with their labels, from 0.
    pub fn percent_ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let (rows, tick) = ((self.to_percent / self.tick_percent).round() as u32, self.tick_percent);
        let percents = (0..=rows).map(move |row| f64::from(row) * tick);
        percents.map(|percent| (percent, format!("{}", (percent * 100.0).round() / 100.0)))
    }

    /// The points of a curve within the axes: HU and percentage.
    pub fn seen<'a>(&'a self, curve: &'a HistogramCurve) -> impl Iterator<Item = (f64, f64)> + 'a {
        let seen = f64::from(self.from_hu)..=f64::from(self.to_hu);
        let points = curve.percent.iter().enumerate();
        let points = points.map(|(bin, percent)| (curve.middle_hu(bin), *percent));
        points.filter(move |(hu, _)| seen.contains(hu))
    }
}

/// The next of 1, 2, 5, 10, 20 … times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-6).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|&step| step >= least).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{ClusterDistribution, VoxelCounts};

    #[test]
    fn steps_are_round() {
        assert_eq!([0.7, 1.0, 1.2, 3.0, 6.0].map(round_step), [1.0, 1.0, 2.0, 5.0, 10.0]);
    }

    #[test]
    fn a_curve_is_percent_of_its_voxels() {
        let histogram = vec![0, 5, 5, 10];
        let density = RegionDensity {
            lung: LungRegion::Left,
            voxels: 20,
            volume_ml: 1.0,
            mean_hu: 0.0,
            standard_deviation_hu: 0.0,
            median_hu: 0.0,
            percentile_15_hu: 0.0,
            percentile_15_adjusted_g_l: None,
            below: Vec::new(),
            high_attenuation_percent: 0.0,
            clusters: ClusterDistribution { clusters: 0, slope: None, reason: None },
            parts: Vec::new(),
            histogram,
            histogram_start_hu: -1000,
            histogram_width_hu: 5,
            counts: VoxelCounts::default(),
        };
        let curve = HistogramCurve::new(&density);
        assert_eq!(curve.percent, [25.0, 75.0]);
        assert_eq!(curve.visible(), Some([-995.0, -985.0]));
    }
}
