//! The pictures of a volume: one plane of each direction, where the lungs are largest, and the lungs in
//! projection. Each fills its page, with a scale, and with the letters of the patient's directions beside it.

use rayon::prelude::*;

use super::canvas::{Canvas, PixelArea, RgbColour};
use super::frame::{ABOVE, HEIGHT, MARGIN, PageNotes, WIDTH};
use super::lettering::{TextAlign, TextStyle};
use super::plane::{self, PlaneAreas, PlaneDirection, VolumePlane, VoxelExtent, patient_axes};
use super::render::{PlaneShading, pixels, render};
use super::theme::{BACKGROUND, BODY, LEFT_LUNG, LOW_DENSITY, MUTED, RIGHT_LUNG, SMALL};
use crate::imaging::{Lungs, Picture, Volume};

/// Settings of the planes' display.
#[derive(Clone, Copy, Debug)]
pub struct ViewSettings {
    pub window_centre_hu: f64,
    pub window_width_hu: f64,
    /// Lung below this HU is tinted.
    pub low_density_hu: f64,
}

/// Height of the line with the legend and the scale.
const LEGEND: usize = 42;
/// Space for the letters beside a plane, and above and below it.
const LETTER_SIDE: usize = 38;
const LETTER_LINE: usize = 32;
/// Width of the margin around the lungs, in mm.
const SURROUNDINGS_MM: f64 = 16.0;
/// Shading of vessels in projection: from aerated lung to soft tissue.
const PROJECTION: PlaneShading =
    PlaneShading { window_centre_hu: -350.0, window_width_hu: 1100.0, low_density_hu: None };
/// Lengths of the bar that shows the scale, and the most pixels that it takes: beside it there are words.
const SCALES_MM: [f64; 6] = [50.0, 20.0, 10.0, 5.0, 2.0, 1.0];
const SCALE_PIXELS_MOST: f64 = 200.0;

/// Draws the axial, coronal and sagittal planes and the projection, in this order.
pub fn draw_views(volume: &Volume, lungs: &Lungs, look: &ViewSettings, notes: &PageNotes) -> Vec<Picture> {
    let (right, left) = rayon::join(|| plane::areas(&lungs.right), || plane::areas(&lungs.left));
    let areas = plane::sums([&right, &left]);
    let extent = surroundings(volume, &areas);
    let section = LungSection { volume, lungs, extent: &extent, look };
    let pages = [
        section.page(PlaneDirection::Axial, &areas),
        section.page(PlaneDirection::Coronal, &areas),
        section.sagittal(&areas, [right, left]),
        projection(volume, lungs, &extent),
    ];
    pages.into_par_iter().map(|page| page.draw(notes)).collect()
}

/// The extent of the lungs with a margin, or of everything if there are no lungs.
fn surroundings(volume: &Volume, areas: &PlaneAreas) -> VoxelExtent {
    VoxelExtent([0, 1, 2].map(|axis| {
        let (size, margin) = (volume.size[axis], (SURROUNDINGS_MM / volume.spacing[axis]).round() as usize);
        let first = areas[axis].iter().position(|&area| area > 0);
        let last = areas[axis].iter().rposition(|&area| area > 0);
        match (first, last) {
            (Some(first), Some(last)) => [first.saturating_sub(margin), (last + margin + 1).min(size)],
            _ => [0, size],
        }
    }))
}

/// A page with planes side by side.
struct ViewPage {
    name: &'static str,
    heading: String,
    detail: String,
    planes: Vec<CaptionedPlane>,
    shading: PlaneShading,
}

struct CaptionedPlane {
    plane: VolumePlane,
    /// The lung that the plane shows, if it is one of several.
    caption: Option<(String, RgbColour)>,
}

/// Sections through the lungs.
#[derive(Clone, Copy)]
struct LungSection<'a> {
    volume: &'a Volume,
    lungs: &'a Lungs,
    extent: &'a VoxelExtent,
    look: &'a ViewSettings,
}

impl LungSection<'_> {
    /// The plane with the largest area of lung.
    fn page(&self, direction: PlaneDirection, areas: &PlaneAreas) -> ViewPage {
        let axis = patient_axes(self.volume)[direction.through()];
        let index = largest(&areas[axis]);
        let (name, noun) = match direction {
            PlaneDirection::Axial => ("axial", "Axial"),
            PlaneDirection::Coronal => ("coronal", "Coronal"),
            PlaneDirection::Sagittal => ("sagittal", "Sagittal"),
        };
        let (number, count) = (index + 1, self.volume.size[axis]);
        let unit = if axis == 2 { "slice" } else { "plane" };
        let plane = plane::cut(self.volume, self.lungs, self.extent, direction, index);
        ViewPage {
            name,
            heading: format!("{noun}, {unit} {number} of {count}, lungs outlined"),
            detail: position(self.volume, self.extent, direction, index),
            planes: vec![CaptionedPlane { plane, caption: None }],
            shading: self.shading(),
        }
    }

    /// A plane through each lung; without lungs, the middle.
    fn sagittal(&self, areas: &PlaneAreas, [right, left]: [PlaneAreas; 2]) -> ViewPage {
        let direction = PlaneDirection::Sagittal;
        let axis = patient_axes(self.volume)[direction.through()];
        let sides = [(right, "right lung", RIGHT_LUNG), (left, "left lung", LEFT_LUNG)].into_iter();
        let found: Vec<_> = sides.filter(|(areas, ..)| areas[axis].iter().any(|area| *area > 0)).collect();
        if found.is_empty() {
            return self.page(direction, areas);
        }
        let (mut planes, mut numbers) = (Vec::new(), Vec::new());
        for (areas, name, colour) in found {
            let index = largest(&areas[axis]);
            let plane = plane::cut(self.volume, self.lungs, self.extent, direction, index);
            numbers.push((index + 1).to_string());
            let caption = format!("{name}, {}", position(self.volume, self.extent, direction, index));
            planes.push(CaptionedPlane { plane, caption: Some((caption, colour)) });
        }
        let (numbers, count) = (numbers.join(" and "), self.volume.size[axis]);
        let unit = if planes.len() == 1 { "plane" } else { "planes" };
        ViewPage {
            name: "sagittal",
            heading: format!("Sagittal, {unit} {numbers} of {count}, lungs outlined"),
            detail: String::new(),
            planes,
            shading: self.shading(),
        }
    }

    fn shading(&self) -> PlaneShading {
        PlaneShading {
            window_centre_hu: self.look.window_centre_hu,
            window_width_hu: self.look.window_width_hu,
            low_density_hu: Some(self.look.low_density_hu),
        }
    }
}

fn projection(volume: &Volume, lungs: &Lungs, extent: &VoxelExtent) -> ViewPage {
    ViewPage {
        name: "projection",
        heading: "Maximum intensity projection of the lungs, from the front".to_owned(),
        detail: "chest wall and mediastinum left out".to_owned(),
        planes: vec![CaptionedPlane {
            plane: plane::project(volume, lungs, extent, PlaneDirection::Coronal),
            caption: None,
        }],
        shading: PROJECTION,
    }
}

/// The first index of the largest area; the middle if there are no lungs.
fn largest(areas: &[u32]) -> usize {
    let most = areas.iter().copied().max().unwrap_or(0);
    let first = areas.iter().position(|&area| area == most).unwrap_or(0);
    if most == 0 { areas.len() / 2 } else { first }
}

/// The position of the plane's middle in the patient, in words.
fn position(volume: &Volume, extent: &VoxelExtent, direction: PlaneDirection, index: usize) -> String {
    let patient = direction.through();
    let through = patient_axes(volume)[patient];
    let offset = (0..3).map(|axis| {
        let middle = (extent.0[axis][0] + extent.0[axis][1] - 1) as f64 / 2.0;
        let at = if axis == through { index as f64 } else { middle };
        at * volume.spacing[axis] * volume.axes[axis][patient]
    });
    let millimetres = volume.origin[patient] + offset.sum::<f64>();
    format!("{} = {} mm", ["x", "y", "z"][patient], signed(millimetres, 1))
}

/// A number with a typographic minus sign.
pub fn signed(number: f64, decimals: usize) -> String {
    format!("{number:.decimals$}").replace('-', "\u{2212}")
}

/// The part of a page that a plane has.
struct PlaneCell {
    left: usize,
    width: usize,
    /// Between the letters above and below.
    top: usize,
    height: usize,
}

impl PlaneCell {
    /// The most pixels per mm at which a plane fits.
    fn fitting(&self, plane: &VolumePlane) -> f64 {
        let across = self.width - 2 * LETTER_SIDE;
        let across = across as f64 / (plane.width as f64 * plane.spacing[0]);
        let down = self.height as f64 / (plane.height as f64 * plane.spacing[1]);
        across.min(down)
    }
}

impl ViewPage {
    fn draw(&self, notes: &PageNotes) -> Picture {
        let mut canvas = Canvas::filled(WIDTH, HEIGHT, [0; 3]);
        let legend_top = HEIGHT - notes.height() - LEGEND;
        let width = WIDTH / self.planes.len();
        let (top, height) = (ABOVE + LETTER_LINE, legend_top - ABOVE - 2 * LETTER_LINE);
        let cell = |number: usize| PlaneCell { left: number * width, width, top, height };
        let cells = || self.planes.iter().enumerate().map(|(number, one)| (cell(number), one));
        let scales = cells().map(|(cell, one)| cell.fitting(&one.plane));
        let pixels_per_mm = scales.fold(f64::INFINITY, f64::min);
        for (cell, one) in cells() {
            one.draw(&mut canvas, &cell, pixels_per_mm, &self.shading);
        }
        canvas.fill(PixelArea { left: 0, top: legend_top, width: WIDTH, height: LEGEND }, BACKGROUND, 1.0);
        legend(&mut canvas, &self.shading, legend_top as f32 + LEGEND as f32 / 2.0, pixels_per_mm);
        notes.draw(&mut canvas, &self.heading, &self.detail);
        canvas.into_picture(self.name, self.heading.clone())
    }
}

impl CaptionedPlane {
    fn draw(&self, canvas: &mut Canvas, cell: &PlaneCell, pixels_per_mm: f64, shading: &PlaneShading) {
        let [width, height] = pixels(&self.plane, pixels_per_mm);
        let (left, top) = (cell.left + (cell.width - width) / 2, cell.top + (cell.height - height) / 2);
        canvas.paste(&render(&self.plane, pixels_per_mm, shading), left, top);
        let (left, top, right, bottom) =
            (left as f32, top as f32, (left + width) as f32, (top + height) as f32);
        let (across, down) = ((left + right) / 2.0, (top + bottom) / 2.0);
        let (side, line) = (LETTER_SIDE as f32 / 2.0, LETTER_LINE as f32 / 2.0);
        let places =
            [[left - side, down], [right + side, down], [across, top - line], [across, bottom + line]];
        for (letter, [x, y]) in self.plane.direction.letters().into_iter().zip(places) {
            canvas.text(letter, x, y - LETTER.size / 2.0, TextAlign::Centre, LETTER);
        }
        if let Some((caption, colour)) = &self.caption {
            let y = top - line - SMALL.size / 2.0;
            canvas.text(caption, left, y, TextAlign::Left, SMALL.coloured(*colour));
        }
    }
}

const LETTER: TextStyle = TextStyle::bold(24.0, [245; 3]);

/// The meaning of the colours, the window and the scale.
fn legend(canvas: &mut Canvas, shading: &PlaneShading, middle: f32, pixels_per_mm: f64) {
    let mut x = MARGIN;
    x = key(canvas, [x, middle], RIGHT_LUNG, "right lung");
    x = key(canvas, [x, middle], LEFT_LUNG, "left lung");
    if let Some(low_hu) = shading.low_density_hu {
        key(canvas, [x, middle], LOW_DENSITY, &format!("below {} HU", signed(low_hu, 0)));
    }
    let right = WIDTH as f32 - MARGIN;
    let scale_mm = scale_mm(pixels_per_mm);
    let left = right - (scale_mm * pixels_per_mm) as f32;
    let bar = [right, left].map(|x| ([x, middle - 5.0], [x, middle + 5.0]));
    for (from, to) in [([left, middle], [right, middle]), bar[0], bar[1]] {
        canvas.line(from, to, 2.0, [235; 3]);
    }
    let top = middle - SMALL.size / 2.0;
    let label = if scale_mm < 10.0 { format!("{scale_mm} mm") } else { format!("{} cm", scale_mm / 10.0) };
    let width = canvas.text(&label, left - 12.0, top, TextAlign::Right, SMALL);
    let centre = signed(shading.window_centre_hu, 0);
    let window = format!("window {centre} / {} HU", shading.window_width_hu);
    canvas.text(&window, left - width - 40.0, top, TextAlign::Right, SMALL.coloured(MUTED));
}

/// The longest bar that there is room for.
fn scale_mm(pixels_per_mm: f64) -> f64 {
    SCALES_MM.into_iter().find(|mm| mm * pixels_per_mm <= SCALE_PIXELS_MOST).unwrap_or(1.0)
}

/// Draws a swatch with its meaning; returns the x of the next one.
fn key(canvas: &mut Canvas, [x, middle]: [f32; 2], colour: RgbColour, meaning: &str) -> f32 {
    canvas.line([x + 2.0, middle], [x + 22.0, middle], 4.0, colour);
    let top = middle - SMALL.size / 2.0;
    let width = canvas.text(meaning, x + 32.0, top, TextAlign::Left, SMALL.coloured(BODY.colour));
    x + 32.0 + width + 28.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_long_as_there_is_room() {
        // An adult, an infant and a mouse.
        for (pixels_per_mm, mm) in [(2.6, 50.0), (6.6, 20.0), (33.0, 5.0), (1000.0, 1.0)] {
            assert_eq!(scale_mm(pixels_per_mm), mm, "{pixels_per_mm} pixels per mm");
        }
    }
}
