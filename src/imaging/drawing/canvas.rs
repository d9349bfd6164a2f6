//! A drawing surface: 8-bit RGB pixels, rectangles and anti-aliased lines.
//!
//! Coordinates are pixels from the upper left corner; a pixel covers `x..x + 1`. Parts outside the canvas are
//! not drawn.

use crate::imaging::Picture;

pub type RgbColour = [u8; 3];
pub type CanvasPoint = [f32; 2];

#[derive(Clone, Debug)]
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

/// A rectangle of pixels, from `left` and `top` on.
#[derive(Clone, Copy, Debug)]
pub struct PixelArea {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

impl Canvas {
    pub fn filled(width: usize, height: usize, colour: RgbColour) -> Canvas {
        Canvas { width, height, rgb: colour.repeat(width * height) }
    }

    pub fn into_picture(self, name: &str, title: String) -> Picture {
        let Canvas { width, height, rgb } = self;
        Picture::new(name, title, [width, height], rgb.into())
    }

    /// Mixes a colour into a pixel; `cover` 1 replaces it.
    pub fn blend(&mut self, x: isize, y: isize, colour: RgbColour, cover: f32) {
        let within = |at: isize, size: usize| usize::try_from(at).ok().filter(|&at| at < size);
        if let (Some(x), Some(y)) = (within(x, self.width), within(y, self.height)) {
            let start = 3 * (y * self.width + x);
            mix(&mut self.rgb[start..start + 3], colour, cover);
        }
    }

    pub fn fill(&mut self, area: PixelArea, colour: RgbColour, cover: f32) {
        let columns = area.left.min(self.width)..(area.left + area.width).min(self.width);
        let rows = self.rgb.chunks_exact_mut(3 * self.width).skip(area.top).take(area.height);
        for row in rows {
            let pixels = row[3 * columns.start..3 * columns.end].as_chunks_mut::<3>().0;
            if cover >= 1.0 {
                pixels.fill(colour);
            } else {
                pixels.iter_mut().for_each(|pixel| mix(pixel, colour, cover));
            }
        }
    }

    /// Copies another canvas onto this one, its upper left corner at `left`, `top`. The other must fit.
    pub fn paste(&mut self, other: &Canvas, left: usize, top: usize) {
        for (y, row) in other.rgb.chunks_exact(3 * other.width).enumerate() {
            let start = 3 * ((top + y) * self.width + left);
            self.rgb[start..start + row.len()].copy_from_slice(row);
        }
    }

    /// A straight line with round ends, `thickness` pixels wide.
    pub fn line(&mut self, from: CanvasPoint, to: CanvasPoint, thickness: f32, colour: RgbColour) {
        let reach = thickness / 2.0 + 1.0;
        let first = |axis: usize| (from[axis].min(to[axis]) - reach).floor() as isize;
        let last = |axis: usize| (from[axis].max(to[axis]) + reach).ceil() as isize;
        for y in first(1)..=last(1) {
            for x in first(0)..=last(0) {
                let distance = distance([x as f32 + 0.5, y as f32 + 0.5], from, to);
                let cover = (thickness / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
                self.blend(x, y, colour, cover);
            }
        }
    }

    pub fn polyline(&mut self, points: &[CanvasPoint], thickness: f32, colour: RgbColour) {
        for pair in points.windows(2) {
            self.line(pair[0], pair[1], thickness, colour);
        }
    }
}

/// Mixes a colour into the three bytes of a pixel.
pub fn mix(pixel: &mut [u8], colour: RgbColour, cover: f32) {
    for (byte, target) in pixel.iter_mut().zip(colour) {
        let old = f32::from(*byte);
        *byte = (old + (f32::from(target) - old) * cover + 0.5) as u8;
    }
}

/// Distance of a point from the segment between two others.
fn distance(point: CanvasPoint, from: CanvasPoint, to: CanvasPoint) -> f32 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let off = [point[0] - from[0], point[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let share = if length > 0.0 { (off[0] * along[0] + off[1] * along[1]) / length } else { 0.0 };
    let share = share.clamp(0.0, 1.0);
    let (x, y) = (off[0] - share * along[0], off[1] - share * along[1]);
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(canvas: &Canvas, x: usize, y: usize) -> &[u8] {
        &canvas.rgb[3 * (y * canvas.width + x)..][..3]
    }

    #[test]
    fn a_line_covers_its_pixels_and_no_others() {
        let mut canvas = Canvas::filled(9, 5, [0; 3]);
        canvas.line([2.5, 2.5], [6.5, 2.5], 1.0, [200; 3]);
        assert_eq!(pixel(&canvas, 4, 2), [200; 3]);
        assert_eq!(pixel(&canvas, 4, 4), [0; 3]);
        assert_eq!(pixel(&canvas, 8, 2), [0; 3]);
    }

    #[test]
    fn drawing_outside_changes_nothing() {
        let mut canvas = Canvas::filled(3, 3, [7; 3]);
        canvas.line([-20.0, -20.0], [-10.0, -3.0], 2.0, [255; 3]);
        canvas.fill(PixelArea { left: 3, top: 0, width: 9, height: 9 }, [255; 3], 1.0);
        assert!(canvas.rgb.iter().all(|&byte| byte == 7));
    }
}
