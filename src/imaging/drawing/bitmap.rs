//! Glyphs from GNU Unifont: 16 pixels high, half or fully as wide, for the whole basic plane of Unicode.

use unifont::Glyph;

use super::canvas::{Canvas, CanvasPoint, RgbColour};

const PIXELS: usize = 16;

/// Height of a glyph as a share of the line's: a line of 20 pixels needs no scaling.
const HEIGHT: f32 = 0.8;

#[derive(Clone, Copy)]
pub struct GlyphBitmap {
    glyph: &'static Glyph,
    /// Height of the line in pixels.
    size: f32,
}

impl GlyphBitmap {
    /// The glyph of a character; `None` if the font lacks it.
    pub fn of(letter: char, size: f32) -> Option<GlyphBitmap> {
        Some(GlyphBitmap { glyph: unifont::get_glyph(letter)?, size })
    }

    pub fn width(self) -> f32 {
        self.glyph.get_width() as f32 * self.scale()
    }

    fn scale(self) -> f32 {
        self.size * HEIGHT / PIXELS as f32
    }

    /// The set pixels, at the font's own size.
    fn ink(self) -> impl Iterator<Item = (f32, f32)> {
        let pixels = (0..PIXELS).flat_map(|y| (0..PIXELS).map(move |x| (x, y)));
        pixels.filter(move |&(x, y)| self.glyph.get_pixel(x, y)).map(|(x, y)| (x as f32, y as f32))
    }
}

impl Canvas {
    /// Draws a glyph in a line with this upper left corner.
    pub fn bitmap(&mut self, bitmap: GlyphBitmap, [left, top]: CanvasPoint, colour: RgbColour) {
        let scale = bitmap.scale();
        let top = top + ((bitmap.size - PIXELS as f32 * scale) / 2.0).round();
        for (x, y) in bitmap.ink() {
            self.block([left + x * scale, top + y * scale], scale, colour);
        }
    }

    /// Draws a square, its edges anti-aliased.
    fn block(&mut self, [left, top]: CanvasPoint, edge: f32, colour: RgbColour) {
        for y in top.floor() as isize..(top + edge).ceil() as isize {
            for x in left.floor() as isize..(left + edge).ceil() as isize {
                let cover = within(x, left, edge) * within(y, top, edge);
                self.blend(x, y, colour, cover);
            }
        }
    }
}

/// The share of a pixel between `from` and `from + length`.
fn within(pixel: isize, from: f32, length: f32) -> f32 {
    let start = pixel as f32;
    ((start + 1.0).min(from + length) - start.max(from)).clamp(0.0, 1.0)
}
