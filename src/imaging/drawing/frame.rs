//! The frame of every picture: a heading above, and below it the reservations and a footer that says of what,
//! when and by what the picture was made.

use super::canvas::{Canvas, PixelArea};
use super::lettering::{TextAlign, TextStyle};
use super::theme::{ALERT, BACKGROUND, MUTED, SMALL, STRONG};

/// Size of every picture in pixels.
pub const WIDTH: usize = 1000;
pub const HEIGHT: usize = 900;
pub const MARGIN: f32 = 18.0;
/// Height of the heading.
pub const ABOVE: usize = 46;
const FOOTER: usize = 36;
const NOTE_LINE: f32 = 23.0;
/// The most lines of reservations; the report has them all.
const NOTE_LINES: usize = 2;

/// The notes on a picture besides its contents.
#[derive(Clone, Debug, Default)]
pub struct PageNotes {
    /// The series, its date and the program.
    pub footer: String,
    /// The reservations in a few words each.
    pub reservations: Vec<String>,
}

impl PageNotes {
    /// Draws the heading, the reservations and the footer.
    pub fn draw(&self, canvas: &mut Canvas, heading: &str, detail: &str) {
        let below = self.height();
        for (top, height) in [(0, ABOVE), (HEIGHT - below, below)] {
            canvas.fill(PixelArea { left: 0, top, width: WIDTH, height }, BACKGROUND, 1.0);
        }
        let right = WIDTH as f32 - MARGIN;
        canvas.text(heading, MARGIN, 11.0, TextAlign::Left, STRONG);
        canvas.text(detail, right, 12.0, TextAlign::Right, SMALL.coloured(MUTED));
        let top = (HEIGHT - below) as f32;
        for (line, row) in self.lines().iter().zip(0_u8..) {
            let y = top + 4.0 + NOTE_LINE * f32::from(row);
            canvas.text(line, MARGIN, y, TextAlign::Left, note());
        }
        let y = (HEIGHT - FOOTER) as f32 + 9.0;
        canvas.text(&self.footer, MARGIN, y, TextAlign::Left, SMALL.coloured(MUTED));
        canvas.text("not for diagnosis", right, y, TextAlign::Right, SMALL.coloured(MUTED));
    }

    /// The height of everything below the contents.
    pub fn height(&self) -> usize {
        match self.lines().len() {
            0 => FOOTER,
            lines => FOOTER + 6 + (NOTE_LINE * lines as f32) as usize,
        }
    }

    fn lines(&self) -> Vec<String> {
        if self.reservations.is_empty() {
            return Vec::new();
        }
        let text = format!("with reservations: {}", self.reservations.join(", "));
        let mut lines = note().wrap(&text, WIDTH as f32 - 2.0 * MARGIN);
        if lines.len() > NOTE_LINES {
            lines.truncate(NOTE_LINES);
            let last = &mut lines[NOTE_LINES - 1];
            last.truncate(last.rfind(", ").unwrap_or(last.len()));
            last.push_str(" and more");
        }
        lines
    }
}

fn note() -> TextStyle {
    TextStyle::bold(17.0, ALERT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_take_two_lines_at_most() {
        let notes = |count: usize| PageNotes {
            footer: String::new(),
            reservations: vec!["low attenuation of a kind".to_owned(); count],
        };
        assert_eq!((notes(0).height(), notes(0).lines().len()), (FOOTER, 0));
        assert_eq!(notes(1).lines(), ["with reservations: low attenuation of a kind"]);
        let many = notes(40).lines();
        assert_eq!(many.len(), NOTE_LINES);
        assert!(many[1].ends_with(" of a kind and more"), "{many:?}");
    }
}
