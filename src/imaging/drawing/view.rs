//! The pictures of a volume: one plane of each direction, where the lungs are largest, and the lungs in
//! projection. All have the same scale, and the labels that a reader needs for orientation.

use rayon::prelude::*;

use super::canvas::{Canvas, PixelArea, RgbColour};
use super::lettering::{TextAlign, TextStyle};
use super::plane::{self, PlaneDirection, VolumePlane, VoxelExtent, patient_axes};
use super::render::{PlaneShading, pixels, render};
use super::theme::{BACKGROUND, BODY, LEFT_LUNG, LOW_DENSITY, MUTED, RIGHT_LUNG, SMALL, STRONG};
use crate::imaging::{Lungs, Picture, Volume};

/// Settings of the planes' display.
#[derive(Clone, Copy, Debug)]
pub struct ViewSettings {
    pub window_centre_hu: f64,
    pub window_width_hu: f64,
    /// Lung below this HU is tinted.
    pub low_density_hu: f64,
}

/// Size of every picture in pixels: a line above, the image, a line below.
pub const WIDTH: usize = 1000;
pub const HEIGHT: usize = 780;
pub const MARGIN: f32 = 18.0;
const ABOVE: usize = 46;
const BELOW: usize = 46;
/// Width of the margin around the lungs, in mm.
const SURROUNDINGS_MM: f64 = 22.0;
/// Shading of vessels in projection: from aerated lung to soft tissue.
const PROJECTION: PlaneShading =
    PlaneShading { window_centre_hu: -350.0, window_width_hu: 1100.0, low_density_hu: None };
const SCALE_MM: f64 = 50.0;

/// Draws the axial, coronal and sagittal planes and the projection, in this order.
pub fn draw_views(volume: &Volume, lungs: &Lungs, look: &ViewSettings) -> Vec<Picture> {
    let areas = plane::lung_areas(lungs);
    let extent = surroundings(volume, &areas);
    let mut pages: Vec<ViewPage> = [PlaneDirection::Axial, PlaneDirection::Coronal, PlaneDirection::Sagittal]
        .into_iter()
        .map(|direction| section(volume, lungs, &extent, &areas, direction, look))
        .collect();
    pages.push(projection(volume, lungs, &extent));
    let pixels_per_mm = pages.iter().map(|page| fitting(&page.plane)).fold(f64::INFINITY, f64::min);
    pages.into_par_iter().map(|page| page.draw(pixels_per_mm)).collect()
}

/// The extent of the lungs with a margin, or of everything if there are no lungs.
fn surroundings(volume: &Volume, areas: &[Vec<u32>; 3]) -> VoxelExtent {
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

/// A plane with its labels, before the common scale is known.
struct ViewPage {
    name: &'static str,
    heading: String,
    detail: String,
    plane: VolumePlane,
    shading: PlaneShading,
}

fn section(
    volume: &Volume,
    lungs: &Lungs,
    extent: &VoxelExtent,
    areas: &[Vec<u32>; 3],
    direction: PlaneDirection,
    look: &ViewSettings,
) -> ViewPage {
    let axis = patient_axes(volume)[direction.through()];
    let index = largest(&areas[axis]);
    let (name, noun) = match direction {
        PlaneDirection::Axial => ("axial", "Axial"),
        PlaneDirection::Coronal => ("coronal", "Coronal"),
        PlaneDirection::Sagittal => ("sagittal", "Sagittal"),
    };
    let (number, count, unit) = (index + 1, volume.size[axis], if axis == 2 { "slice" } else { "plane" });
    ViewPage {
        name,
        heading: format!("{noun}, {unit} {number} of {count}, lungs outlined"),
        detail: position(volume, extent, direction, index),
        plane: plane::cut(volume, lungs, extent, direction, index),
        shading: PlaneShading {
            window_centre_hu: look.window_centre_hu,
            window_width_hu: look.window_width_hu,
            low_density_hu: Some(look.low_density_hu),
        },
    }
}

fn projection(volume: &Volume, lungs: &Lungs, extent: &VoxelExtent) -> ViewPage {
    ViewPage {
        name: "projection",
        heading: "Maximum intensity projection of the lungs, from the front".to_owned(),
        detail: "chest wall and mediastinum left out".to_owned(),
        plane: plane::project(volume, lungs, extent, PlaneDirection::Coronal),
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

/// The most pixels per mm at which a plane fits its space.
fn fitting(plane: &VolumePlane) -> f64 {
    let across = WIDTH as f64 / (plane.width as f64 * plane.spacing[0]);
    let down = (HEIGHT - ABOVE - BELOW) as f64 / (plane.height as f64 * plane.spacing[1]);
    across.min(down)
}

impl ViewPage {
    fn draw(&self, pixels_per_mm: f64) -> Picture {
        let mut canvas = Canvas::filled(WIDTH, HEIGHT, [0; 3]);
        for (top, height) in [(0, ABOVE), (HEIGHT - BELOW, BELOW)] {
            canvas.fill(PixelArea { left: 0, top, width: WIDTH, height }, BACKGROUND, 1.0);
        }
        let [width, height] = pixels(&self.plane, pixels_per_mm);
        let (left, top) = ((WIDTH - width) / 2, ABOVE + (HEIGHT - ABOVE - BELOW - height) / 2);
        canvas.paste(&render(&self.plane, pixels_per_mm, &self.shading), left, top);
        letters(&mut canvas, self.plane.direction);
        scale_bar(&mut canvas, pixels_per_mm);
        canvas.text(&self.heading, MARGIN, 11.0, TextAlign::Left, STRONG);
        canvas.text(&self.detail, WIDTH as f32 - MARGIN, 12.0, TextAlign::Right, SMALL.coloured(MUTED));
        legend(&mut canvas, &self.shading);
        canvas.into_picture(self.name, self.heading.clone())
    }
}

fn letters(canvas: &mut Canvas, direction: PlaneDirection) {
    let (middle, right) = (WIDTH / 2, WIDTH - 30);
    let (top, bottom) = (ABOVE + 24, HEIGHT - BELOW - 24);
    let centre = (top + bottom) / 2;
    let places = [[30, centre], [right, centre], [middle, top], [middle, bottom]];
    for (letter, [x, y]) in direction.letters().into_iter().zip(places) {
        canvas.fill(PixelArea { left: x - 16, top: y - 17, width: 32, height: 34 }, [0; 3], 0.6);
        canvas.text(letter, x as f32, y as f32 - 14.0, TextAlign::Centre, TextStyle::bold(27.0, [245; 3]));
    }
}

fn scale_bar(canvas: &mut Canvas, pixels_per_mm: f64) {
    let (right, y) = (WIDTH as f32 - MARGIN, (HEIGHT - BELOW) as f32 - 16.0);
    let left = right - (SCALE_MM * pixels_per_mm) as f32;
    let behind = PixelArea {
        left: left as usize - 10,
        top: y as usize - 32,
        width: WIDTH - left as usize,
        height: 46,
    };
    canvas.fill(behind, [0; 3], 0.6);
    for (from, to) in
        [([left, y], [right, y]), ([left, y - 5.0], [left, y + 5.0]), ([right, y - 5.0], [right, y + 5.0])]
    {
        canvas.line(from, to, 2.0, [235; 3]);
    }
    let label = format!("{} cm", SCALE_MM / 10.0);
    canvas.text(&label, (left + right) / 2.0, y - 28.0, TextAlign::Centre, SMALL);
}

fn legend(canvas: &mut Canvas, shading: &PlaneShading) {
    let mut x = MARGIN;
    x = key(canvas, x, RIGHT_LUNG, "right lung");
    x = key(canvas, x, LEFT_LUNG, "left lung");
    if let Some(low_hu) = shading.low_density_hu {
        key(canvas, x, LOW_DENSITY, &format!("below {} HU", signed(low_hu, 0)));
    }
    let centre = signed(shading.window_centre_hu, 0);
    let window = format!("window {centre} / {} HU", shading.window_width_hu);
    canvas.text(&window, WIDTH as f32 - MARGIN, LEGEND_TOP, TextAlign::Right, SMALL.coloured(MUTED));
}

const LEGEND_TOP: f32 = (HEIGHT - BELOW) as f32 + 13.0;

/// Draws a swatch with its meaning; returns the x of the next one.
pub fn key(canvas: &mut Canvas, x: f32, colour: RgbColour, meaning: &str) -> f32 {
    let y = LEGEND_TOP + SMALL.size / 2.0;
    canvas.line([x + 2.0, y], [x + 22.0, y], 4.0, colour);
    let width = canvas.text(meaning, x + 32.0, LEGEND_TOP, TextAlign::Left, SMALL.coloured(BODY.colour));
    x + 32.0 + width + 28.0
}
