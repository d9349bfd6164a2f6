//! The histogram of the lungs' densities, with the numbers below it.

use super::canvas::{Canvas, CanvasPoint, PixelArea, RgbColour};
use super::frame::{HEIGHT, MARGIN, PageNotes, WIDTH};
use super::lettering::{TextAlign, TextStyle};
use super::theme::{BACKGROUND, BOTH_LUNGS, LEFT_LUNG, LOW_DENSITY, MUTED, RIGHT_LUNG, RULE, SMALL, TEXT};
use super::view::signed;
use crate::imaging::{LungDensities, LungRegion, Picture, RegionDensity};

const PLOT: PixelArea = PixelArea { left: 92, top: 86, width: 880, height: 460 };
/// The width of a plotted bin: measured bins are joined so that the curves are smooth.
const BIN_HU: u32 = 10;
const TICK_HU: i32 = 100;
/// Percentiles of every region that the axis spans at least; the rest is a long tail of vessels.
const SHOWN_PERCENT: [f64; 2] = [0.1, 95.0];

/// Draws the chart: percentage of each lung's voxels over HU, the part below the threshold shaded.
pub fn draw_histogram(densities: &LungDensities, low_density_hu: f64, notes: &PageNotes) -> Picture {
    let mut canvas = Canvas::filled(WIDTH, HEIGHT, BACKGROUND);
    let heading = "Density of the lungs";
    notes.draw(&mut canvas, heading, "");
    let curves: Vec<HistogramCurve> = densities.regions.iter().map(HistogramCurve::new).collect();
    if let Some(axes) = ChartAxes::around(&curves) {
        axes.plot(&mut canvas, &curves, low_density_hu);
    }
    table(&mut canvas, densities);
    canvas.into_picture("histogram", format!("{heading}: histogram and measurements"))
}

/// Percentage of a region's voxels per bin of [`BIN_HU`].
struct HistogramCurve {
    lung: LungRegion,
    start_hu: f64,
    step_hu: f64,
    percent: Vec<f64>,
}

impl HistogramCurve {
    fn new(density: &RegionDensity) -> HistogramCurve {
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

/// The ranges of the plot's axes.
struct ChartAxes {
    from_hu: i32,
    to_hu: i32,
    to_percent: f64,
    tick_percent: f64,
}

impl ChartAxes {
    fn around(curves: &[HistogramCurve]) -> Option<ChartAxes> {
        let visible: Vec<[f64; 2]> = curves.iter().filter_map(HistogramCurve::visible).collect();
        let from = visible.iter().map(|[from, _]| *from).reduce(f64::min)?;
        let to = visible.iter().map(|[_, to]| *to).reduce(f64::max)?;
        let highest = curves.iter().map(HistogramCurve::highest).fold(0.0, f64::max);
        let tick = f64::from(TICK_HU);
        let tick_percent = round_step(highest / 5.0);
        Some(ChartAxes {
            from_hu: ((from / tick).floor() * tick) as i32,
            to_hu: ((to / tick).ceil() * tick) as i32,
            to_percent: (highest * 1.04 / tick_percent).ceil() * tick_percent,
            tick_percent,
        })
    }

    fn x(&self, hu: f64) -> f32 {
        let share = (hu - f64::from(self.from_hu)) / f64::from(self.to_hu - self.from_hu);
        PLOT.left as f32 + share as f32 * PLOT.width as f32
    }

    fn y(&self, percent: f64) -> f32 {
        (PLOT.top + PLOT.height) as f32 - (percent / self.to_percent) as f32 * PLOT.height as f32
    }

    fn plot(&self, canvas: &mut Canvas, curves: &[HistogramCurve], low_density_hu: f64) {
        self.ticks(canvas);
        let each = || curves.iter().filter(|curve| curve.lung != LungRegion::Both);
        each().for_each(|curve| self.shade(canvas, curve, low_density_hu));
        for curve in each() {
            canvas.polyline(&self.points(curve), 2.2, colour(curve.lung));
        }
        self.threshold(canvas, low_density_hu);
        let key_x = (PLOT.left + PLOT.width) as f32;
        for (row, curve) in each().enumerate() {
            let top = PLOT.top as f32 + 10.0 + 26.0 * row as f32;
            let width = canvas.text(name(curve.lung), key_x, top, TextAlign::Right, SMALL);
            let (right, y) = (key_x - width - 12.0, top + SMALL.size / 2.0 + 1.0);
            canvas.line([right - 24.0, y], [right, y], 3.0, colour(curve.lung));
        }
    }

    fn ticks(&self, canvas: &mut Canvas) {
        let (left, right) = (PLOT.left as f32, (PLOT.left + PLOT.width) as f32);
        let style = SMALL.coloured(MUTED);
        let rows = (self.to_percent / self.tick_percent).round() as u32;
        for row in 0..=rows {
            let percent = f64::from(row) * self.tick_percent;
            let y = self.y(percent);
            canvas.line([left, y], [right, y], 1.0, if row == 0 { MUTED } else { RULE });
            let label = format!("{}", (percent * 100.0).round() / 100.0);
            canvas.text(&label, left - 10.0, y - 9.0, TextAlign::Right, style);
        }
        let bottom = self.y(0.0);
        for hu in (self.from_hu..=self.to_hu).step_by(TICK_HU as usize) {
            let x = self.x(f64::from(hu));
            canvas.line([x, bottom], [x, bottom + 6.0], 1.0, MUTED);
            canvas.text(&signed(f64::from(hu), 0), x, bottom + 9.0, TextAlign::Centre, style);
        }
        let label = format!("% of the lung's voxels per {BIN_HU} HU");
        canvas.text(&label, left, PLOT.top as f32 - 24.0, TextAlign::Left, style);
        canvas.text("HU", right, bottom + 30.0, TextAlign::Right, style);
    }

    fn points(&self, curve: &HistogramCurve) -> Vec<CanvasPoint> {
        let seen = f64::from(self.from_hu)..=f64::from(self.to_hu);
        let bins = (0..curve.percent.len()).filter(|&bin| seen.contains(&curve.middle_hu(bin)));
        bins.map(|bin| [self.x(curve.middle_hu(bin)), self.y(curve.percent[bin])]).collect()
    }

    /// Fills the curve's area below the threshold, column by column.
    fn shade(&self, canvas: &mut Canvas, curve: &HistogramCurve, low_density_hu: f64) {
        let bottom = self.y(0.0) as usize;
        for pair in self.points(curve).windows(2) {
            for x in pair[0][0].round() as usize..pair[1][0].round() as usize {
                if x as f32 >= self.x(low_density_hu) {
                    return;
                }
                let share = (x as f32 - pair[0][0]) / (pair[1][0] - pair[0][0]);
                let top = (pair[0][1] + share * (pair[1][1] - pair[0][1])).round() as usize;
                let column = PixelArea { left: x, top, width: 1, height: bottom.saturating_sub(top) };
                canvas.fill(column, LOW_DENSITY, 0.35);
            }
        }
    }

    fn threshold(&self, canvas: &mut Canvas, low_density_hu: f64) {
        let x = self.x(low_density_hu);
        if x <= PLOT.left as f32 || x >= (PLOT.left + PLOT.width) as f32 {
            return;
        }
        canvas.line([x, PLOT.top as f32], [x, self.y(0.0)], 1.6, LOW_DENSITY);
        let label = format!("{} HU", signed(low_density_hu, 0));
        canvas.text(&label, x + 8.0, PLOT.top as f32 + 6.0, TextAlign::Left, SMALL.coloured(LOW_DENSITY));
    }
}

/// The next of 1, 2, 5, 10, 20 … times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-6).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|&step| step >= least).unwrap_or(power)
}

fn colour(lung: LungRegion) -> RgbColour {
    match lung {
        LungRegion::Both => BOTH_LUNGS,
        LungRegion::Right => RIGHT_LUNG,
        LungRegion::Left => LEFT_LUNG,
    }
}

fn name(lung: LungRegion) -> &'static str {
    match lung {
        LungRegion::Both => "both lungs",
        LungRegion::Right => "right lung",
        LungRegion::Left => "left lung",
    }
}

const TABLE_TOP: f32 = 630.0;
const TABLE_ROW: f32 = 38.0;

fn table(canvas: &mut Canvas, densities: &LungDensities) {
    let (left, right) = (MARGIN, WIDTH as f32 - MARGIN);
    let Some(first) = densities.regions.first() else { return };
    let heads = columns(first).into_iter().map(|(head, _)| head).collect::<Vec<_>>();
    let place = |column: usize| 150.0 + (right - 150.0) * (column + 1) as f32 / heads.len() as f32;
    for (column, head) in heads.iter().enumerate() {
        canvas.text(head, place(column), TABLE_TOP, TextAlign::Right, SMALL.coloured(MUTED));
    }
    for (row, density) in densities.regions.iter().enumerate() {
        let top = TABLE_TOP + TABLE_ROW * (row + 1) as f32;
        canvas.line([left, top - 8.0], [right, top - 8.0], 1.0, RULE);
        canvas.text(name(density.lung), left, top, TextAlign::Left, SMALL.coloured(colour(density.lung)));
        let style = TextStyle { colour: TEXT, ..SMALL };
        for (column, (_, value)) in columns(density).into_iter().enumerate() {
            canvas.text(&value, place(column), top, TextAlign::Right, style);
        }
    }
    let note = "HU; SD of the population; percentiles interpolated; percent of voxels strictly below";
    let top = TABLE_TOP + TABLE_ROW * (densities.regions.len() + 1) as f32;
    canvas.text(note, left, top, TextAlign::Left, SMALL.coloured(MUTED));
}

fn columns(density: &RegionDensity) -> Vec<(String, String)> {
    let measured = [
        ("mL", signed(density.volume_ml, 0)),
        ("mean", signed(density.mean_hu, 1)),
        ("SD", signed(density.standard_deviation_hu, 1)),
        ("median", signed(density.median_hu, 0)),
        ("15th perc.", signed(density.percentile_15_hu, 0)),
    ];
    let below = density
        .below
        .iter()
        .map(|(hu, percent)| (format!("< {}", signed(*hu, 0)), format!("{percent:.2} %")));
    measured.map(|(head, value)| (head.to_owned(), value)).into_iter().chain(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            below: Vec::new(),
            histogram,
            histogram_start_hu: -1000,
            histogram_width_hu: 5,
        };
        let curve = HistogramCurve::new(&density);
        assert_eq!(curve.percent, [25.0, 75.0]);
        assert_eq!(curve.visible(), Some([-995.0, -985.0]));
    }
}
