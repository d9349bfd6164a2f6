//! The histogram of the lungs' densities on paper.

use super::page::{InkColour, PaperPage, PaperStyle};
use super::report::{GREY, INK, LOW_DENSITY, region_colour};
use crate::imaging::drawing::{BIN_HU, ChartRange, HistogramCurve, TextAlign, region_name, signed};
use crate::imaging::{LungDensities, LungRegion};

const GRID: InkColour = [222, 225, 229];
const LOW: InkColour = [250, 214, 224];
const LABEL: PaperStyle = PaperStyle::regular(6.5, GREY);

/// Draws the curves of both lungs into a rectangle: left, top, width, height.
pub fn draw_chart(page: &mut PaperPage, area: [f32; 4], densities: &LungDensities, low_density_hu: f64) {
    let curves: Vec<HistogramCurve> = densities.regions.iter().map(HistogramCurve::new).collect();
    let Some(range) = ChartRange::around(&curves) else { return };
    let [left, top, width, height] = area;
    let plot = PaperChart { range, area: [left + 20.0, top + 12.0, width - 24.0, height - 30.0] };
    let label = format!("% of the lung's voxels per {BIN_HU} HU");
    page.text(&label, [left, top + 6.0], TextAlign::Left, LABEL);
    let each = || curves.iter().filter(|curve| curve.lung != LungRegion::Both);
    each().for_each(|curve| plot.shade(page, curve, low_density_hu));
    plot.ticks(page);
    for (row, curve) in each().enumerate() {
        page.line(&plot.points(curve), 1.1, region_colour(curve.lung));
        plot.key(page, row, curve.lung);
    }
    plot.threshold(page, low_density_hu);
}

struct PaperChart {
    range: ChartRange,
    /// Left, top, width, height of the plot within its labels.
    area: [f32; 4],
}

impl PaperChart {
    fn place(&self, hu: f64, percent: f64) -> [f32; 2] {
        let [left, top, width, height] = self.area;
        [left + self.range.across(hu) * width, top + (1.0 - self.range.up(percent)) * height]
    }

    fn right(&self) -> f32 {
        self.area[0] + self.area[2]
    }

    fn points(&self, curve: &HistogramCurve) -> Vec<[f32; 2]> {
        self.range.seen(curve).map(|(hu, percent)| self.place(hu, percent)).collect()
    }

    /// The area below the threshold.
    fn shade(&self, page: &mut PaperPage, curve: &HistogramCurve, low_density_hu: f64) {
        let below = self.range.seen(curve).filter(|(hu, _)| *hu <= low_density_hu);
        let mut points: Vec<[f32; 2]> = below.map(|(hu, percent)| self.place(hu, percent)).collect();
        if let (Some([first, _]), Some([last, _])) = (points.first().copied(), points.last().copied()) {
            let [_, bottom] = self.place(0.0, 0.0);
            points.extend([[last, bottom], [first, bottom]]);
            page.polygon(&points, LOW);
        }
    }

    fn ticks(&self, page: &mut PaperPage) {
        for (percent, label) in self.range.percent_ticks() {
            let [_, y] = self.place(0.0, percent);
            page.line(&[[self.area[0], y], [self.right(), y]], 0.4, if percent == 0.0 { GREY } else { GRID });
            page.text(&label, [self.area[0] - 3.0, y + 2.2], TextAlign::Right, LABEL);
        }
        for hu in self.range.hu_ticks() {
            let [x, y] = self.place(hu, 0.0);
            page.line(&[[x, y], [x, y + 2.5]], 0.4, GREY);
            page.text(&signed(hu, 0), [x, y + 10.0], TextAlign::Centre, LABEL);
        }
        let [_, bottom] = self.place(0.0, 0.0);
        page.text("HU", [self.right(), bottom + 17.0], TextAlign::Right, LABEL);
    }

    fn key(&self, page: &mut PaperPage, row: usize, lung: LungRegion) {
        let y = self.area[1] + 8.0 + 10.0 * row as f32;
        let style = PaperStyle::regular(7.0, INK);
        let name = region_name(lung);
        page.text(name, [self.right(), y], TextAlign::Right, style);
        let x = self.right() - style.width(name) - 4.0;
        page.line(&[[x - 12.0, y - 2.4], [x, y - 2.4]], 1.6, region_colour(lung));
    }

    fn threshold(&self, page: &mut PaperPage, low_density_hu: f64) {
        let [x, bottom] = self.place(low_density_hu, 0.0);
        if x > self.area[0] && x < self.right() {
            page.line(&[[x, self.area[1]], [x, bottom]], 0.7, LOW_DENSITY);
            let label = format!("{} HU", signed(low_density_hu, 0));
            page.text(
                &label,
                [x + 3.0, self.area[1] + 5.0],
                TextAlign::Left,
                PaperStyle { colour: LOW_DENSITY, ..LABEL },
            );
        }
    }
}
