//! Text on a canvas, in DejaVu Sans: Latin, Greek and Cyrillic with accents, and many other characters.
//! Others, Chinese, Japanese and Korean above all, are drawn with the bitmaps of GNU Unifont.
//!
//! Hebrew and Arabic run from right to left. Text is not shaped: scripts that join or stack their letters
//! (Arabic, Devanagari) are drawn letter by letter. A character that neither font has is drawn as a box.

use std::borrow::Cow;
use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, GlyphId, PxScale, ScaleFont, point};
use unicode_bidi::BidiInfo;

use super::bitmap::GlyphBitmap;
use super::canvas::{Canvas, RgbColour};

static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| font(font_file(FontWeight::Regular)));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| font(font_file(FontWeight::Bold)));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FontWeight {
    Regular,
    Bold,
}

/// Size and colour of text.
#[derive(Clone, Copy, Debug)]
pub struct TextStyle {
    /// Height of a line in pixels: from the lowest descender to the highest accent.
    pub size: f32,
    pub weight: FontWeight,
    pub colour: RgbColour,
}

/// The part of the text at the given x.
#[derive(Clone, Copy, Debug)]
pub enum TextAlign {
    Left,
    Centre,
    Right,
}

impl TextStyle {
    pub const fn regular(size: f32, colour: RgbColour) -> TextStyle {
        TextStyle { size, weight: FontWeight::Regular, colour }
    }

    pub const fn bold(size: f32, colour: RgbColour) -> TextStyle {
        TextStyle { size, weight: FontWeight::Bold, colour }
    }

    pub const fn coloured(self, colour: RgbColour) -> TextStyle {
        TextStyle { colour, ..self }
    }

    /// Width of the text in pixels.
    pub fn width(self, text: &str) -> f32 {
        self.set(text).1
    }

    /// Breaks text into lines of at most `width` pixels, at spaces if possible.
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
        // A word longer than a line, such as a path or a UID, is broken at any character.
        for letter in word.chars() {
            line.push(letter);
            if self.width(line) > width && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::replace(line, letter.to_string()));
            }
        }
    }

    /// The glyphs at their positions from x = 0, and the width of all.
    fn set(self, text: &str) -> (Vec<PlacedGlyph>, f32) {
        let font = self.font().as_scaled(PxScale::from(self.size));
        let mut signs: Vec<PlacedGlyph> = Vec::with_capacity(text.len());
        let mut x = 0.0;
        for letter in text.chars().filter(|letter| is_drawn(*letter)) {
            let id = font.glyph_id(letter);
            let bitmap = if id == MISSING { GlyphBitmap::of(letter, self.size) } else { None };
            if let Some(bitmap) = bitmap {
                signs.push(PlacedGlyph::Bitmap(bitmap, x));
                x += bitmap.width();
                continue;
            }
            if let Some(PlacedGlyph::Outline(before)) = signs.last() {
                x += font.kern(before.id, id);
            }
            signs.push(PlacedGlyph::Outline(id.with_scale_and_position(self.size, point(x, font.ascent()))));
            x += font.h_advance(id);
        }
        (signs, x)
    }

    fn font(self) -> &'static FontRef<'static> {
        font_of(self.weight)
    }
}

pub fn font_of(weight: FontWeight) -> &'static FontRef<'static> {
    match weight {
        FontWeight::Regular => &REGULAR,
        FontWeight::Bold => &BOLD,
    }
}

/// The font as a TrueType file.
pub fn font_file(weight: FontWeight) -> &'static [u8] {
    match weight {
        FontWeight::Regular => dejavu::sans::regular(),
        FontWeight::Bold => dejavu::sans::bold(),
    }
}

/// Whether a character is ink or space: marks of direction and control characters are neither.
pub fn is_drawn(letter: char) -> bool {
    !letter.is_control() && !ISOLATES.contains(&letter)
}

/// A glyph with a position in a line.
enum PlacedGlyph {
    Outline(Glyph),
    Bitmap(GlyphBitmap, f32),
}

/// The box that a font draws for a character that it lacks.
const MISSING: GlyphId = GlyphId(0);

impl Canvas {
    /// Draws one line of text, its upper edge at `top`. Returns its width.
    pub fn text(&mut self, text: &str, x: f32, top: f32, align: TextAlign, style: TextStyle) -> f32 {
        let (signs, width) = style.set(&as_seen(text));
        let left = match align {
            TextAlign::Left => x,
            TextAlign::Centre => x - width / 2.0,
            TextAlign::Right => x - width,
        };
        // Positions in whole pixels keep the stems of all lines equally sharp.
        for sign in signs {
            match sign {
                PlacedGlyph::Outline(mut glyph) => {
                    glyph.position.x += left.round();
                    glyph.position.y = (glyph.position.y + top).round();
                    self.glyph(glyph, style);
                }
                PlacedGlyph::Bitmap(bitmap, x) => {
                    self.bitmap(bitmap, [(left + x).round(), top.round()], style.colour);
                }
            }
        }
        width
    }

    fn glyph(&mut self, glyph: Glyph, style: TextStyle) {
        let Some(outlined) = style.font().outline_glyph(glyph) else { return };
        let bounds = outlined.px_bounds();
        let (left, top) = (bounds.min.x as isize, bounds.min.y as isize);
        outlined.draw(|x, y, cover| {
            self.blend(left + x as isize, top + y as isize, style.colour, cover.min(1.0));
        });
    }
}

/// Characters around text with its own direction (Unicode UAX 9), which are not drawn.
const ISOLATES: [char; 2] = ['\u{2068}', '\u{2069}'];

/// Isolates foreign text within a line: if it runs from right to left, the text beside it does not.
pub fn isolated(text: &str) -> String {
    let [begin, end] = ISOLATES;
    format!("{begin}{text}{end}")
}

/// Reorders text for drawing from left to right: parts that run from right to left are reversed (Unicode UAX
/// 9).
pub fn as_seen(line: &str) -> Cow<'_, str> {
    let bidi = BidiInfo::new(line, None);
    if !bidi.has_rtl() {
        return Cow::Borrowed(line);
    }
    let parts = bidi.paragraphs.iter();
    parts.map(|part| bidi.reorder_line(part, part.range.clone())).collect::<String>().into()
}

fn font(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the font is part of the program and valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: TextStyle = TextStyle::regular(20.0, [255; 3]);

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
    fn what_runs_from_right_to_left_is_turned_round() {
        assert_eq!(as_seen("Study שרון at 7"), "Study ןורש at 7");
        assert_eq!(as_seen("Study 7"), "Study 7");
        let line = as_seen(&format!("{} · 2026-01-31", isolated("שרון"))).replace(ISOLATES, "");
        assert_eq!(line, "ןורש · 2026-01-31");
        assert_eq!(STYLE.width(&isolated("a")), STYLE.width("a"));
    }

    #[test]
    fn signs_of_the_far_east_are_drawn_apart() {
        let drawn = |text: &str| {
            let mut canvas = Canvas::filled(60, 30, [0; 3]);
            canvas.text(text, 2.0, 2.0, TextAlign::Left, STYLE);
            canvas.rgb
        };
        let all = ["胸部", "胸前", "길동", "やま", "\u{20B9F}\u{20B9F}"].map(drawn);
        for (index, one) in all.iter().enumerate() {
            assert!(one.iter().filter(|byte| **byte > 128).count() > 100);
            assert!(all[..index].iter().all(|other| other != one));
        }
        assert_eq!(STYLE.width("胸部"), 2.0 * STYLE.width("胸"));
    }

    #[test]
    fn text_leaves_ink_where_it_is_aligned() {
        let mut canvas = Canvas::filled(100, 30, [0; 3]);
        let width = canvas.text("Ab", 99.0, 2.0, TextAlign::Right, STYLE);
        let inked = |x: usize| (0..30).any(|y| canvas.rgb[3 * (y * 100 + x)] > 0);
        let left = (99.0 - width) as usize - 1;
        assert!((0..left).all(|x| !inked(x)));
        assert!((left..100).any(inked));
    }
}
