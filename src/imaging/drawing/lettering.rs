//! Text on a canvas, in DejaVu Sans: Latin, Greek and Cyrillic with accents, and much else.
//!
//! No shaping: scripts that join or stack their letters (Arabic, Devanagari) are drawn letter by
//! letter, and a sign the font lacks (Chinese, Japanese, Korean) is drawn as a box.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};

use super::canvas::{Canvas, Colour};

static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| font(dejavu::sans::regular()));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| font(dejavu::sans::bold()));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Regular,
    Bold,
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Height of a line in pixels: from the lowest descender to the highest accent.
    pub size: f32,
    pub weight: Weight,
    pub colour: Colour,
}

/// Which part of the text stands at the given x.
#[derive(Clone, Copy, Debug)]
pub enum Align {
    Left,
    Centre,
    Right,
}

impl Style {
    pub const fn regular(size: f32, colour: Colour) -> Style {
        Style { size, weight: Weight::Regular, colour }
    }

    pub const fn bold(size: f32, colour: Colour) -> Style {
        Style { size, weight: Weight::Bold, colour }
    }

    pub const fn coloured(self, colour: Colour) -> Style {
        Style { colour, ..self }
    }

    /// How many pixels the text is wide.
    pub fn width(self, text: &str) -> f32 {
        self.set(text).1
    }

    /// Breaks text into lines of at most `width` pixels, at spaces where it can.
    pub fn wrap(self, text: &str, width: f32) -> Vec<String> {
        let mut lines = Vec::new();
        for paragraph in text.lines() {
            let mut line = String::new();
            for word in paragraph.split_whitespace() {
                self.append(&mut lines, &mut line, word, width);
            }
            lines.push(line);
        }
        lines
    }

    fn append(self, lines: &mut Vec<String>, line: &mut String, word: &str, width: f32) {
        let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if self.width(&joined) <= width {
            *line = joined;
            return;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(line));
        }
        // A word longer than a line, such as a path or a UID, breaks anywhere.
        for letter in word.chars() {
            line.push(letter);
            if self.width(line) > width && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::replace(line, letter.to_string()));
            }
        }
    }

    /// The glyphs at their places from x = 0, and the width of all.
    fn set(self, text: &str) -> (Vec<Glyph>, f32) {
        let font = self.font().as_scaled(PxScale::from(self.size));
        let mut glyphs: Vec<Glyph> = Vec::with_capacity(text.len());
        let mut x = 0.0;
        for letter in text.chars().filter(|letter| !letter.is_control()) {
            let id = font.glyph_id(letter);
            x += glyphs.last().map_or(0.0, |before| font.kern(before.id, id));
            glyphs.push(id.with_scale_and_position(self.size, point(x, font.ascent())));
            x += font.h_advance(id);
        }
        (glyphs, x)
    }

    fn font(self) -> &'static FontRef<'static> {
        match self.weight {
            Weight::Regular => &REGULAR,
            Weight::Bold => &BOLD,
        }
    }
}

impl Canvas {
    /// One line of text, its upper edge at `top`. Returns its width.
    pub fn text(&mut self, text: &str, x: f32, top: f32, align: Align, style: Style) -> f32 {
        let (glyphs, width) = style.set(text);
        let left = match align {
            Align::Left => x,
            Align::Centre => x - width / 2.0,
            Align::Right => x - width,
        };
        for mut glyph in glyphs {
            // Whole pixels keep the stems of all lines equally sharp.
            glyph.position.x += left.round();
            glyph.position.y = (glyph.position.y + top).round();
            self.glyph(glyph, style);
        }
        width
    }

    fn glyph(&mut self, glyph: Glyph, style: Style) {
        let Some(outlined) = style.font().outline_glyph(glyph) else { return };
        let bounds = outlined.px_bounds();
        let (left, top) = (bounds.min.x as isize, bounds.min.y as isize);
        outlined.draw(|x, y, cover| {
            self.blend(left + x as isize, top + y as isize, style.colour, cover.min(1.0));
        });
    }
}

fn font(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the font is part of the program and valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style::regular(20.0, [255; 3]);

    #[test]
    fn wrapped_lines_fit_and_lose_nothing() {
        let text = "slice 12 of 275 is missing\n2.25.188888888888888888888888888888888888888";
        let lines = STYLE.wrap(text, 130.0);
        assert!(lines.len() > 3);
        assert!(lines.iter().all(|line| STYLE.width(line) <= 130.0), "{lines:?}");
        let squeeze = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(squeeze(&lines.concat()), squeeze(text));
    }

    #[test]
    fn names_of_patients_have_glyphs() {
        for letter in "Ångström Παπαδόπουλος Иванов Łukasz Őry ß ‑ – ° ± ≤".chars()
        {
            assert_ne!(REGULAR.glyph_id(letter).0, 0, "{letter:?}");
        }
    }

    #[test]
    fn text_leaves_ink_where_it_is_aligned() {
        let mut canvas = Canvas::filled(100, 30, [0; 3]);
        let width = canvas.text("Ab", 99.0, 2.0, Align::Right, STYLE);
        let inked = |x: usize| (0..30).any(|y| canvas.rgb[3 * (y * 100 + x)] > 0);
        let left = (99.0 - width) as usize - 1;
        assert!((0..left).all(|x| !inked(x)));
        assert!((left..100).any(inked));
    }
}
