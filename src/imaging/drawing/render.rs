//! Renders a plane as an image of square pixels: resampled to its true proportions, windowed, low density
//! tinted, lungs outlined.

use rayon::prelude::*;

use super::canvas::{Canvas, mix};
use super::plane::VolumePlane;
use super::theme::{LEFT_LUNG, LOW_DENSITY, RIGHT_LUNG};
use crate::imaging::Lungs;

/// The HU that are black and white, and the marks drawn over them.
#[derive(Clone, Copy, Debug)]
pub struct PlaneShading {
    pub window_centre_hu: f64,
    pub window_width_hu: f64,
    /// Lung below this HU is tinted; `None` tints nothing.
    pub low_density_hu: Option<f64>,
}

const TINT: f32 = 0.62;
/// Half the thickness of an outline in pixels; the outermost pixel fades.
const OUTLINE_REACH: f32 = 1.4;

pub fn render(plane: &VolumePlane, pixels_per_mm: f64, shading: &PlaneShading) -> Canvas {
    let grid = ResampleGrid::new(plane, pixels_per_mm);
    let mut canvas = grey(&grid, plane, shading);
    if let Some(low_hu) = shading.low_density_hu {
        tint(&mut canvas, &grid, plane, low_hu);
    }
    outline(&mut canvas, &grid, &sides(plane));
    canvas
}

/// The size of a plane's image: pixels across and down.
pub fn pixels(plane: &VolumePlane, pixels_per_mm: f64) -> [usize; 2] {
    let count = |voxels: usize, spacing: f64| (voxels as f64 * spacing * pixels_per_mm).round() as usize;
    [count(plane.width, plane.spacing[0]).max(1), count(plane.height, plane.spacing[1]).max(1)]
}

fn grey(grid: &ResampleGrid, plane: &VolumePlane, shading: &PlaneShading) -> Canvas {
    let scale = 255.0 / shading.window_width_hu as f32;
    let black = (shading.window_centre_hu - shading.window_width_hu / 2.0) as f32;
    // HU below black are clamped, or the interpolation would overshoot beside them.
    let hu: Vec<f32> = plane.hu.iter().map(|&hu| f32::from(hu).max(black)).collect();
    let mut canvas = Canvas::filled(grid.across.len(), grid.down.len(), [0; 3]);
    grid.fill(&hu, &mut canvas, |pixel, hu| pixel.fill(((hu - black) * scale).clamp(0.0, 255.0) as u8));
    canvas
}

fn tint(canvas: &mut Canvas, grid: &ResampleGrid, plane: &VolumePlane, low_hu: f64) {
    let voxels = plane.hu.iter().zip(&plane.labels);
    let low = |(&hu, &label): (&i16, &u8)| label != Lungs::NONE && f64::from(hu) < low_hu;
    let cover: Vec<f32> = voxels.map(|voxel| f32::from(u8::from(low(voxel)))).collect();
    grid.fill(&cover, canvas, |pixel, cover| {
        if cover > 0.0 {
            mix(pixel, LOW_DENSITY, TINT * cover.min(1.0));
        }
    });
}

/// 1 in the right lung, −1 in the left and 0 elsewhere, smoothed so that outlines have no stairs.
fn sides(plane: &VolumePlane) -> Vec<f32> {
    let (width, height) = (plane.width, plane.height);
    let side = |&label: &u8| match label {
        Lungs::RIGHT => 1.0,
        Lungs::LEFT => -1.0,
        _ => 0.0,
    };
    let sharp: Vec<f32> = plane.labels.iter().map(side).collect();
    let soft = |before: f32, here: f32, after: f32| (before + 2.0 * here + after) / 4.0;
    let mut across = sharp.clone();
    for (to, from) in across.chunks_exact_mut(width).zip(sharp.chunks_exact(width)) {
        for x in 0..width {
            to[x] = soft(from[x.saturating_sub(1)], from[x], from[(x + 1).min(width - 1)]);
        }
    }
    let mut soft_both = across.clone();
    for (y, to) in soft_both.chunks_exact_mut(width).enumerate() {
        let row = |y: usize| &across[y * width..][..width];
        let (above, here, below) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
        for x in 0..width {
            to[x] = soft(above[x], here[x], below[x]);
        }
    }
    soft_both
}

/// Draws the outlines, where the smoothed value is ½. Distance of a pixel from one: (value − ½) / slope.
fn outline(canvas: &mut Canvas, grid: &ResampleGrid, sides: &[f32]) {
    let (width, height) = (canvas.width, canvas.height);
    let field = grid.resample(sides);
    let at = |x: usize, y: usize| field[y * width + x];
    canvas.rgb.par_chunks_exact_mut(3 * width).enumerate().for_each(|(y, row)| {
        let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let value = at(x, y).abs() - 0.5;
            if value.abs() >= 0.5 {
                continue;
            }
            let right = at((x + 1).min(width - 1), y) - at(x.saturating_sub(1), y);
            let down = at(x, below) - at(x, above);
            let slope = (right * right + down * down).sqrt() / 2.0;
            let cover = OUTLINE_REACH - value.abs() / slope.max(1e-6);
            if cover > 0.0 {
                let colour = if at(x, y) > 0.0 { RIGHT_LUNG } else { LEFT_LUNG };
                mix(pixel, colour, cover.min(1.0));
            }
        }
    });
}

/// For each pixel across and down, the four voxels around it with their weights.
struct ResampleGrid {
    width: usize,
    across: Vec<ResampleTaps>,
    down: Vec<ResampleTaps>,
}

#[derive(Clone, Copy)]
struct ResampleTaps {
    voxels: [usize; 4],
    weights: [f32; 4],
}

impl ResampleGrid {
    fn new(plane: &VolumePlane, pixels_per_mm: f64) -> ResampleGrid {
        let [width, height] = pixels(plane, pixels_per_mm);
        let taps = |pixels: usize, voxels: usize| -> Vec<ResampleTaps> {
            let step = voxels as f64 / pixels as f64;
            (0..pixels).map(|pixel| ResampleTaps::at((pixel as f64 + 0.5) * step - 0.5, voxels)).collect()
        };
        ResampleGrid {
            width: plane.width,
            across: taps(width, plane.width),
            down: taps(height, plane.height),
        }
    }

    fn resample(&self, voxels: &[f32]) -> Vec<f32> {
        let wide = self.widen(voxels);
        let mut field = vec![0.0; self.across.len() * self.down.len()];
        let rows = field.par_chunks_exact_mut(self.across.len()).zip(&self.down);
        rows.for_each(|(row, down)| self.row(&wide, down, row));
        field
    }

    /// Sets every pixel of a canvas from the value at its place.
    fn fill(&self, voxels: &[f32], canvas: &mut Canvas, paint: impl Fn(&mut [u8], f32) + Sync) {
        let wide = self.widen(voxels);
        let rows = canvas.rgb.par_chunks_exact_mut(3 * self.across.len()).zip(&self.down);
        rows.for_each(|(pixels, down)| {
            let mut values = vec![0.0; self.across.len()];
            self.row(&wide, down, &mut values);
            pixels.chunks_exact_mut(3).zip(values).for_each(|(pixel, value)| paint(pixel, value));
        });
    }

    /// The rows of the plane, each resampled to the image's width.
    fn widen(&self, voxels: &[f32]) -> Vec<f32> {
        let mut wide = vec![0.0; voxels.len() / self.width * self.across.len()];
        let rows = wide.par_chunks_exact_mut(self.across.len()).zip(voxels.par_chunks_exact(self.width));
        rows.for_each(|(to, from)| {
            for (pixel, taps) in to.iter_mut().zip(&self.across) {
                *pixel = (0..4).map(|tap| taps.weights[tap] * from[taps.voxels[tap]]).sum();
            }
        });
        wide
    }

    fn row(&self, wide: &[f32], down: &ResampleTaps, row: &mut [f32]) {
        let width = row.len();
        let line = |tap: usize| &wide[down.voxels[tap] * width..][..width];
        let (a, b, c, d) = (line(0), line(1), line(2), line(3));
        let [wa, wb, wc, wd] = down.weights;
        for x in 0..width {
            row[x] = wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x];
        }
    }
}

impl ResampleTaps {
    /// Cubic interpolation through the voxels (Catmull and Rom 1974), the border repeated.
    fn at(position: f64, voxels: usize) -> ResampleTaps {
        let base = position.floor();
        let t = (position - base) as f32;
        let voxel = |tap: usize| (base as isize + tap as isize - 1).clamp(0, voxels as isize - 1) as usize;
        let (t2, t3) = (t * t, t * t * t);
        ResampleTaps {
            voxels: [voxel(0), voxel(1), voxel(2), voxel(3)],
            weights: [
                (-t + 2.0 * t2 - t3) / 2.0,
                (2.0 - 5.0 * t2 + 3.0 * t3) / 2.0,
                (t + 4.0 * t2 - 3.0 * t3) / 2.0,
                (t3 - t2) / 2.0,
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::drawing::plane::PlaneDirection;

    fn plane(hu: Vec<i16>, labels: Vec<u8>, width: usize, spacing: [f64; 2]) -> VolumePlane {
        let height = hu.len() / width;
        VolumePlane { direction: PlaneDirection::Axial, width, height, spacing, hu, labels }
    }

    const PLAIN: PlaneShading =
        PlaneShading { window_centre_hu: -600.0, window_width_hu: 1500.0, low_density_hu: Some(-950.0) };

    #[test]
    fn proportions_are_physical() {
        let plane = plane(vec![0; 12], vec![0; 12], 3, [1.0, 2.5]);
        let canvas = render(&plane, 2.0, &PLAIN);
        assert_eq!((canvas.width, canvas.height), (6, 20));
    }

    #[test]
    fn the_window_goes_from_black_to_white() {
        let grey = |hu: i16| render(&plane(vec![hu; 4], vec![0; 4], 2, [1.0; 2]), 1.0, &PLAIN).rgb[0];
        assert_eq!([grey(-1350), grey(-1100), grey(-600), grey(150), grey(3000)], [0, 42, 127, 255, 255]);
    }

    #[test]
    fn only_lung_below_the_threshold_is_tinted() {
        let red = |hu: i16, label: u8| {
            let canvas = render(&plane(vec![hu; 64], vec![label; 64], 8, [1.0; 2]), 1.0, &PLAIN);
            let middle = 3 * (4 * canvas.width + 4);
            canvas.rgb[middle] > canvas.rgb[middle + 1]
        };
        assert!(red(-960, Lungs::LEFT));
        assert!(!red(-950, Lungs::LEFT), "strictly below");
        assert!(!red(-960, Lungs::NONE));
    }

    #[test]
    fn the_outline_follows_the_border_of_a_lung() {
        let labels = (0..400).map(|index| if index % 20 < 10 { Lungs::RIGHT } else { Lungs::NONE });
        let canvas = render(&plane(vec![-600; 400], labels.collect(), 20, [1.0; 2]), 4.0, &PLAIN);
        let coloured = |x: usize| canvas.rgb[3 * (40 * canvas.width + x)] != 127;
        let columns: Vec<usize> = (0..80).filter(|&x| coloured(x)).collect();
        assert!(columns.contains(&39) && columns.contains(&40), "{columns:?}");
        assert!(columns.iter().all(|x| (38..42).contains(x)), "{columns:?}");
    }
}
