//! The fonts of a PDF: the characters that a page shows, of the same fonts as the pictures have.
//!
//! DejaVu Sans is embedded as far as it is used. Characters that it lacks, Chinese, Japanese and Korean above
//! all, are GNU Unifont's bitmaps, as fonts of type 3. All text can be searched and copied.

use std::collections::BTreeMap;

use ab_glyph::Font;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::writers::Resources;
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};
use subsetter::GlyphRemapper;

use super::stream::deflated;
use crate::imaging::drawing::{FontWeight, font_file, font_of, is_drawn};

/// The characters of one font of type 3, whose codes are bytes.
const BITMAPS_MOST: usize = 256;

#[derive(Default)]
pub struct PaperFonts {
    regular: OutlineFont,
    bold: OutlineFont,
    bitmaps: Vec<char>,
}

/// Glyphs in use: numbers in the embedded font, and the characters they are for.
#[derive(Default)]
struct OutlineFont {
    glyphs: GlyphRemapper,
    letters: BTreeMap<u16, char>,
}

/// Text in one font, as codes.
pub struct TextRun {
    pub font: String,
    pub codes: Vec<u8>,
}

impl PaperFonts {
    /// Splits text into runs of one font each, and takes up their characters.
    pub fn encode(&mut self, text: &str, weight: FontWeight) -> Vec<TextRun> {
        let mut runs: Vec<TextRun> = Vec::new();
        for letter in shown(text) {
            let (font, codes) = self.code(letter, weight);
            match runs.last_mut() {
                Some(run) if run.font == font => run.codes.extend(codes),
                _ => runs.push(TextRun { font, codes }),
            }
        }
        runs
    }

    fn code(&mut self, letter: char, weight: FontWeight) -> (String, Vec<u8>) {
        let glyph = font_of(weight).glyph_id(letter).0;
        if glyph == 0 {
            let known = self.bitmaps.iter().position(|one| *one == letter);
            let index = known.unwrap_or_else(|| {
                self.bitmaps.push(letter);
                self.bitmaps.len() - 1
            });
            return (bitmap_font(index / BITMAPS_MOST), vec![(index % BITMAPS_MOST) as u8]);
        }
        let font = match weight {
            FontWeight::Regular => &mut self.regular,
            FontWeight::Bold => &mut self.bold,
        };
        let code = font.glyphs.remap(glyph);
        font.letters.entry(code).or_insert(letter);
        (outline_font(weight).to_owned(), code.to_be_bytes().to_vec())
    }

    /// Writes all fonts in use, and names them in the page's resources.
    pub fn write(&self, pdf: &mut Pdf, new_ref: &mut impl FnMut() -> Ref) -> Vec<(String, Ref)> {
        let mut written = Vec::new();
        for (weight, font) in [(FontWeight::Regular, &self.regular), (FontWeight::Bold, &self.bold)] {
            if !font.letters.is_empty() {
                written.push((outline_font(weight).to_owned(), font.write(weight, pdf, new_ref)));
            }
        }
        for (index, letters) in self.bitmaps.chunks(BITMAPS_MOST).enumerate() {
            written.push((bitmap_font(index), write_bitmaps(letters, pdf, new_ref)));
        }
        written
    }
}

/// Names fonts in the resources of a page.
pub fn put_fonts(resources: &mut Resources, fonts: &[(String, Ref)]) {
    let mut named = resources.fonts();
    fonts.iter().for_each(|(name, id)| _ = named.pair(Name(name.as_bytes()), *id));
}

/// Width of text in points.
pub fn width(text: &str, weight: FontWeight, size: f32) -> f32 {
    shown(text).map(|letter| advance(letter, weight)).sum::<f32>() * size
}

/// The characters that are drawn. One that no font has is shown as such.
fn shown(text: &str) -> impl Iterator<Item = char> {
    let is_known =
        |letter| font_of(FontWeight::Regular).glyph_id(letter).0 != 0 || unifont::get_glyph(letter).is_some();
    let letters = text.chars().filter(|letter| is_drawn(*letter));
    letters.map(move |letter| if is_known(letter) { letter } else { char::REPLACEMENT_CHARACTER })
}

/// Width of a character as a share of the font's size.
fn advance(letter: char, weight: FontWeight) -> f32 {
    let font = font_of(weight);
    let glyph = font.glyph_id(letter);
    if glyph.0 == 0 {
        return unifont::get_glyph(letter).map_or(0.0, |glyph| glyph.get_width() as f32 / PIXELS);
    }
    font.h_advance_unscaled(glyph) / font.units_per_em().unwrap_or(1000.0)
}

fn outline_font(weight: FontWeight) -> &'static str {
    match weight {
        FontWeight::Regular => "Regular",
        FontWeight::Bold => "Bold",
    }
}

fn bitmap_font(index: usize) -> String {
    format!("Bitmaps{index}")
}

const IDENTITY: SystemInfo =
    SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };
const UNICODE: SystemInfo = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"UCS"), supplement: 0 };

impl OutlineFont {
    /// A composite font (PDF 32000-1, 9.7) whose codes are the glyphs' numbers.
    fn write(&self, weight: FontWeight, pdf: &mut Pdf, new_ref: &mut impl FnMut() -> Ref) -> Ref {
        let [id, cid_id, descriptor_id, file_id, unicode_id] = [(); 5].map(|()| new_ref());
        // Six letters before the name mark a font that is a part of one.
        let (name, stem) = match weight {
            FontWeight::Regular => (Name(b"FLOWRG+DejaVuSans"), 80.0),
            FontWeight::Bold => (Name(b"FLOWBD+DejaVuSans-Bold"), 140.0),
        };
        pdf.type0_font(id)
            .base_font(name)
            .encoding_predefined(Name(b"Identity-H"))
            .descendant_font(cid_id)
            .to_unicode(unicode_id);
        let mut cid = pdf.cid_font(cid_id);
        cid.subtype(CidFontType::Type2).base_font(name).system_info(IDENTITY).font_descriptor(descriptor_id);
        cid.cid_to_gid_map_predefined(Name(b"Identity")).default_width(0.0);
        let font = font_of(weight);
        let em = font.units_per_em().unwrap_or(1000.0);
        let widths = self
            .glyphs
            .remapped_gids()
            .map(|glyph| font.h_advance_unscaled(ab_glyph::GlyphId(glyph)) * 1000.0 / em);
        cid.widths().consecutive(0, widths);
        cid.finish();
        pdf.font_descriptor(descriptor_id)
            .name(name)
            .flags(FontFlags::NON_SYMBOLIC)
            .bbox(Rect::new(-1069.0, -463.0, 1975.0, 1232.0))
            .italic_angle(0.0)
            .ascent(928.0)
            .descent(-236.0)
            .cap_height(729.0)
            .stem_v(stem)
            .font_file2(file_id);
        let subset = subsetter::subset(font_file(weight), 0, &self.glyphs);
        let subset = subset.expect("the font is part of the program and valid");
        deflated(pdf, file_id, &subset, |stream| {
            stream.pair(Name(b"Length1"), subset.len() as i32);
        });
        let mut unicode = UnicodeCmap::new(Name(b"Unicode"), UNICODE);
        self.letters.iter().for_each(|(code, letter)| unicode.pair(*code, *letter));
        let unicode = unicode.finish();
        deflated(pdf, unicode_id, &unicode, |_| ());
        id
    }
}

/// Height of a bitmap in pixels, which is the font's size.
const PIXELS: f32 = 16.0;
/// Pixels of a bitmap below the base line.
const BELOW_LINE: f32 = 2.0;

/// A font of type 3: each glyph is a drawing of its pixels.
fn write_bitmaps(letters: &[char], pdf: &mut Pdf, new_ref: &mut impl FnMut() -> Ref) -> Ref {
    let [id, unicode_id] = [(); 2].map(|()| new_ref());
    let glyphs: Vec<(String, Ref, f32)> = letters
        .iter()
        .map(|letter| {
            (format!("u{:04X}", u32::from(*letter)), new_ref(), advance(*letter, FontWeight::Regular))
        })
        .collect();
    let mut font = pdf.type3_font(id);
    font.bbox(Rect::new(0.0, -BELOW_LINE, PIXELS, PIXELS - BELOW_LINE));
    font.matrix([1.0 / PIXELS, 0.0, 0.0, 1.0 / PIXELS, 0.0, 0.0]);
    font.char_procs().pairs(glyphs.iter().map(|(name, drawing, _)| (Name(name.as_bytes()), *drawing)));
    font.encoding_custom()
        .differences()
        .consecutive(0, glyphs.iter().map(|(name, ..)| Name(name.as_bytes())));
    font.first_char(0).last_char((letters.len() - 1) as u8);
    font.widths(glyphs.iter().map(|(_, _, width)| width * PIXELS));
    font.resources();
    font.to_unicode(unicode_id);
    font.finish();
    let mut unicode: UnicodeCmap<u8> = UnicodeCmap::new(Name(b"Unicode"), UNICODE);
    for (code, (letter, (_, drawing, _))) in letters.iter().zip(&glyphs).enumerate() {
        unicode.pair(code as u8, *letter);
        deflated(pdf, *drawing, &bitmap_drawing(*letter), |_| ());
    }
    let unicode = unicode.finish();
    deflated(pdf, unicode_id, &unicode, |_| ());
    id
}

/// The pixels of a glyph, row by row, neighbours as one rectangle.
fn bitmap_drawing(letter: char) -> Vec<u8> {
    let mut drawing = Content::new();
    let Some(glyph) = unifont::get_glyph(letter) else { return drawing.finish().into_vec() };
    let width = glyph.get_width();
    drawing.start_shape_glyph(width as f32, 0.0, -BELOW_LINE, width as f32, PIXELS - BELOW_LINE);
    for y in 0..PIXELS as usize {
        let bottom = PIXELS - BELOW_LINE - 1.0 - y as f32;
        let mut x = 0;
        while x < width {
            let run = (x..width).take_while(|at| glyph.get_pixel(*at, y)).count();
            if run > 0 {
                drawing.rect(x as f32, bottom, run as f32, 1.0);
            }
            x += run + 1;
        }
    }
    drawing.fill_nonzero();
    drawing.finish().into_vec()
}
