//! The histogram of the lungs' densities, with the numbers below it.

use super::canvas::{Canvas, CanvasPoint, PixelArea, RgbColour};
use super::curve::{BIN_HU, ChartRange, HistogramCurve};
use super::frame::{HEIGHT, MARGIN, PageNotes, WIDTH};
use super::lettering::{TextAlign, TextStyle};
use super::theme::{BACKGROUND, BOTH_LUNGS, LEFT_LUNG, LOW_DENSITY, MUTED, RIGHT_LUNG, RULE, SMALL, TEXT};
use super::view::signed;
use crate::imaging::{LungDensities, LungRegion, Picture, RegionDensity};

const PLOT: PixelArea = PixelArea { left: 92, top: 86, width: 880, height: 460 };

/// Draws the chart: percentage of each lung's voxels over HU, the part below the threshold shaded.
pub fn draw_histogram(densities: &LungDensities, low_density_hu: f64, notes: &PageNotes) -> Picture {
    let mut canvas = Canvas::filled(WIDTH, HEIGHT, BACKGROUND);
    let heading = "Density of the lungs";
    notes.draw(&mut canvas, heading, "");
    let curves: Vec<HistogramCurve> = densities.regions.iter().map(HistogramCurve::new).collect();
    if let Some(range) = ChartRange::around(&curves) {
        ChartAxes(range).plot(&mut canvas, &curves, low_density_hu);
    }
    table(&mut canvas, densities);
    canvas.into_picture("histogram", format!("{heading}: histogram and measurements"))
}

/// The plot's axes.
struct ChartAxes(ChartRange);

impl ChartAxes {
    fn x(&self, hu: f64) -> f32 {
        PLOT.left as f32 + self.0.across(hu) * PLOT.width as f32
    }

    fn y(&self, percent: f64) -> f32 {
        (PLOT.top + PLOT.height) as f32 - self.0.up(percent) * PLOT.height as f32
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
            let width = canvas.text(region_name(curve.lung), key_x, top, TextAlign::Right, SMALL);
            let (right, y) = (key_x - width - 12.0, top + SMALL.size / 2.0 + 1.0);
            canvas.line([right - 24.0, y], [right, y], 3.0, colour(curve.lung));
        }
    }

    fn ticks(&self, canvas: &mut Canvas) {
        let (left, right) = (PLOT.left as f32, (PLOT.left + PLOT.width) as f32);
        let style = SMALL.coloured(MUTED);
        for (percent, label) in self.0.percent_ticks() {
            let y = self.y(percent);
            canvas.line([left, y], [right, y], 1.0, if percent == 0.0 { MUTED } else { RULE });
            canvas.text(&label, left - 10.0, y - 9.0, TextAlign::Right, style);
        }
        let bottom = self.y(0.0);
        for hu in self.0.hu_ticks() {
            let x = self.x(hu);
            canvas.line([x, bottom], [x, bottom + 6.0], 1.0, MUTED);
            canvas.text(&signed(hu, 0), x, bottom + 9.0, TextAlign::Centre, style);
        }
        let label = format!("% of the lung's voxels per {BIN_HU} HU");
        canvas.text(&label, left, PLOT.top as f32 - 24.0, TextAlign::Left, style);
        canvas.text("HU", right, bottom + 30.0, TextAlign::Right, style);
    }

    fn points(&self, curve: &HistogramCurve) -> Vec<CanvasPoint> {
        self.0.seen(curve).map(|(hu, percent)| [self.x(hu), self.y(percent)]).collect()
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

fn colour(lung: LungRegion) -> RgbColour {
    match lung {
        LungRegion::Both => BOTH_LUNGS,
        LungRegion::Right => RIGHT_LUNG,
        LungRegion::Left => LEFT_LUNG,
    }
}

pub fn region_name(lung: LungRegion) -> &'static str {
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
        canvas.text(
            region_name(density.lung),
            left,
            top,
            TextAlign::Left,
            SMALL.coloured(colour(density.lung)),
        );
        let style = TextStyle { colour: TEXT, ..SMALL };
        for (column, (_, value)) in columns(density).into_iter().enumerate() {
            canvas.text(&value, place(column), top, TextAlign::Right, style);
        }
    }
    let note = "HU; SD of the population; percentiles interpolated; percent of voxels strictly below";
    let top = TABLE_TOP + TABLE_ROW * (densities.regions.len() + 1) as f32;
    canvas.text(note, left, top, TextAlign::Left, SMALL.coloured(MUTED));
}

/// The measurements of a region: head and value of each column.
pub fn columns(density: &RegionDensity) -> Vec<(String, String)> {
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
