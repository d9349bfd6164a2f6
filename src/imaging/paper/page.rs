//! A page of a PDF under construction: text, lines, areas and pictures.
//!
//! Lengths are points (1/72 inch) from the upper left corner.

use pdf_writer::{Content, Name, Str};

use super::fonts::{PaperFonts, width};
use crate::imaging::Picture;
use crate::imaging::drawing::{FontWeight, TextAlign, as_seen};
use crate::imaging::png_file::compressed_rows;

pub type InkColour = [u8; 3];

pub struct PaperPage {
    /// Width and height.
    pub size: [f32; 2],
    pub content: Content,
    pub fonts: PaperFonts,
    pub images: Vec<PaperImage>,
}

/// A picture, compressed as in a PNG file.
pub struct PaperImage {
    pub width: usize,
    pub height: usize,
    pub rows: Vec<u8>,
}

/// Size, weight and colour of text.
#[derive(Clone, Copy, Debug)]
pub struct PaperStyle {
    pub size: f32,
    pub weight: FontWeight,
    pub colour: InkColour,
}

impl PaperStyle {
    pub const fn regular(size: f32, colour: InkColour) -> PaperStyle {
        PaperStyle { size, weight: FontWeight::Regular, colour }
    }

    pub const fn bold(size: f32, colour: InkColour) -> PaperStyle {
        PaperStyle { size, weight: FontWeight::Bold, colour }
    }

    pub fn width(self, text: &str) -> f32 {
        width(text, self.weight, self.size)
    }

    /// Breaks text into lines of at most `most` points, at spaces if possible.
    pub fn wrap(self, text: &str, most: f32) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let line = lines.last_mut().expect("there is a line");
            let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if self.width(&joined) <= most {
                *line = joined;
                continue;
            }
            if !line.is_empty() {
                lines.push(String::new());
            }
            // A word longer than a line, such as a UID, is broken at any character.
            for letter in word.chars() {
                let line = lines.last_mut().expect("there is a line");
                line.push(letter);
                if self.width(line) > most && line.chars().count() > 1 {
                    line.pop();
                    lines.push(letter.to_string());
                }
            }
        }
        lines
    }

    /// The text, cut to a width; what was cut shows as an ellipsis.
    pub fn cut(self, text: &str, most: f32) -> String {
        if self.width(text) <= most {
            return text.to_owned();
        }
        let mut kept = text.to_owned();
        while !kept.is_empty() && self.width(&format!("{kept}…")) > most {
            kept.pop();
        }
        format!("{}…", kept.trim_end())
    }
}

impl PaperPage {
    pub fn blank(size: [f32; 2]) -> PaperPage {
        PaperPage { size, content: Content::new(), fonts: PaperFonts::default(), images: Vec::new() }
    }

    fn up(&self, y: f32) -> f32 {
        self.size[1] - y
    }

    /// Writes one line of text with its base line at `y`.
    pub fn text(&mut self, text: &str, [x, y]: [f32; 2], align: TextAlign, style: PaperStyle) {
        let left = match align {
            TextAlign::Left => x,
            TextAlign::Centre => x - style.width(text) / 2.0,
            TextAlign::Right => x - style.width(text),
        };
        let runs = self.fonts.encode(&as_seen(text), style.weight);
        self.fill_colour(style.colour);
        let up = self.up(y);
        self.content.begin_text().set_text_matrix([1.0, 0.0, 0.0, 1.0, hundredths(left), hundredths(up)]);
        for run in runs {
            self.content.set_font(Name(run.font.as_bytes()), style.size).show(Str(&run.codes));
        }
        self.content.end_text();
    }

    pub fn area(&mut self, [left, top, width, height]: [f32; 4], colour: InkColour) {
        self.fill_colour(colour);
        let bottom = self.up(top + height);
        self.content.rect(left, bottom, width, height).fill_nonzero();
    }

    pub fn line(&mut self, points: &[[f32; 2]], thickness: f32, colour: InkColour) {
        let [red, green, blue] = shares(colour);
        self.content.set_stroke_rgb(red, green, blue).set_line_width(thickness);
        self.path(points);
        self.content.stroke();
    }

    /// Fills the area within a line.
    pub fn polygon(&mut self, points: &[[f32; 2]], colour: InkColour) {
        self.fill_colour(colour);
        self.path(points);
        self.content.close_path().fill_nonzero();
    }

    fn path(&mut self, points: &[[f32; 2]]) {
        for (index, [x, y]) in points.iter().enumerate() {
            let [x, y] = [hundredths(*x), hundredths(self.up(*y))];
            match index {
                0 => self.content.move_to(x, y),
                _ => self.content.line_to(x, y),
            };
        }
    }

    /// Places a picture at a width; gives its height.
    ///
    /// # Errors
    /// If the number of bytes does not match the picture's size.
    pub fn picture(
        &mut self,
        picture: &Picture,
        [left, top]: [f32; 2],
        width: f32,
    ) -> Result<f32, png::EncodingError> {
        let height = width * picture.height as f32 / picture.width.max(1) as f32;
        let rows = compressed_rows(&picture.png()?);
        self.images.push(PaperImage { width: picture.width, height: picture.height, rows });
        let name = image_name(self.images.len() - 1);
        let bottom = self.up(top + height);
        self.content.save_state().transform([width, 0.0, 0.0, height, left, bottom]);
        self.content.x_object(Name(name.as_bytes())).restore_state();
        Ok(height)
    }

    fn fill_colour(&mut self, colour: InkColour) {
        let [red, green, blue] = shares(colour);
        self.content.set_fill_rgb(red, green, blue);
    }
}

pub fn image_name(index: usize) -> String {
    format!("Image{index}")
}

fn shares(colour: InkColour) -> [f32; 3] {
    colour.map(|byte| (f32::from(byte) / 2.55).round() / 100.0)
}

/// Rounds a place, so that numbers stay short.
fn hundredths(points: f32) -> f32 {
    (points * 100.0).round() / 100.0
}
