//! `draw-thumbnails`: draws pages with a small picture of each series, for a first look at a study.

use rayon::prelude::*;

use crate::imaging::drawing::{
    BACKGROUND, Canvas, MUTED, PixelArea, RULE, SMALL, STRONG, TextAlign, TextStyle, isolated,
};
use crate::imaging::thumbnail::{ThumbnailError, thumbnail};
use crate::imaging::{Picture, Pictures, SeriesEntry, StudyInventory};
use crate::step::{BuiltIn, CancelToken, Fault, Step, StepOutputs};

const COLUMNS: usize = 4;
const ROWS: usize = 3;
const IMAGE: [usize; 2] = [236, 200];
const TILE: [usize; 2] = [250, 262];
const ABOVE: usize = 52;
const MARGIN: f32 = 12.0;
/// Pages of a study with more series than fit are not drawn.
const PAGES_MOST: usize = 10;

/// Draws the middle image of each series, 12 to a page.
///
/// # Errors
/// If the token is set.
pub fn draw_thumbnails(inventory: &StudyInventory, token: &CancelToken) -> Result<Pictures, Fault> {
    let series = &inventory.series[..inventory.series.len().min(COLUMNS * ROWS * PAGES_MOST)];
    let pages = series.chunks(COLUMNS * ROWS);
    let count = pages.len();
    let pages: Result<Vec<Picture>, Fault> = pages
        .enumerate()
        .map(|(index, series)| page(series, index, count, inventory.series.len(), token))
        .collect();
    Ok(Pictures(pages?))
}

fn page(
    series: &[SeriesEntry],
    index: usize,
    count: usize,
    total: usize,
    token: &CancelToken,
) -> Result<Picture, Fault> {
    let rows = series.len().div_ceil(COLUMNS);
    let mut canvas = Canvas::filled(total.min(COLUMNS) * TILE[0], ABOVE + rows * TILE[1], BACKGROUND);
    let noun = if total == 1 { "series" } else { "series, the middle image of each" };
    let title = match count {
        1 => format!("{total} {noun}"),
        _ => format!("{total} {noun}, page {} of {count}", index + 1),
    };
    canvas.text(&title, MARGIN, 14.0, TextAlign::Left, STRONG);
    let drawn: Vec<Result<Canvas, ThumbnailError>> =
        series
            .par_iter()
            .map(|one| {
                if token.is_cancelled() {
                    Err(ThumbnailError::NoImage)
                } else {
                    thumbnail(&one.middle, IMAGE)
                }
            })
            .collect();
    token.check()?;
    for (place, (one, image)) in series.iter().zip(&drawn).enumerate() {
        let [left, top] = [place % COLUMNS * TILE[0], ABOVE + place / COLUMNS * TILE[1]];
        tile(&mut canvas, [left, top], one, image.as_ref());
    }
    let name = if count == 1 { "series".to_owned() } else { format!("series-{}", index + 1) };
    Ok(canvas.into_picture(&name, title))
}

fn tile(
    canvas: &mut Canvas,
    [left, top]: [usize; 2],
    series: &SeriesEntry,
    image: Result<&Canvas, &ThumbnailError>,
) {
    let middle = (left + TILE[0] / 2) as f32;
    let inset = (TILE[0] - IMAGE[0]) / 2;
    let frame = PixelArea { left: left + inset, top, width: IMAGE[0], height: IMAGE[1] };
    canvas.fill(frame, [0; 3], 1.0);
    match image {
        Ok(image) => {
            let [x, y] = [(IMAGE[0] - image.width) / 2, (IMAGE[1] - image.height) / 2];
            canvas.paste(image, left + inset + x, top + y);
        }
        Err(why) => {
            let style = SMALL.coloured(MUTED);
            let lines = style.wrap(&why.to_string(), IMAGE[0] as f32 - 2.0 * MARGIN);
            let mut y = (top + IMAGE[1] / 2) as f32 - style.size * lines.len() as f32 / 2.0;
            for line in lines {
                canvas.text(&line, middle, y, TextAlign::Centre, style);
                y += style.size;
            }
        }
    }
    let below = PixelArea { left: left + inset, top: top + IMAGE[1], width: IMAGE[0], height: 1 };
    canvas.fill(below, RULE, 1.0);
    let number = series.number.map_or(String::new(), |number| format!("{number} "));
    let heading = format!("{number}{} × {}", series.modality, series.frames.max(series.instances as u64));
    let text_left = (left + inset) as f32;
    canvas.text(&heading, text_left, (top + IMAGE[1] + 6) as f32, TextAlign::Left, SMALL);
    let description = shortened(&series.description, SMALL, IMAGE[0] as f32);
    let y = (top + IMAGE[1] + 26) as f32;
    canvas.text(&isolated(&description), text_left, y, TextAlign::Left, SMALL.coloured(MUTED));
}

/// The beginning of a text that fits into so many pixels.
fn shortened(text: &str, style: TextStyle, width: f32) -> String {
    if style.width(text) <= width {
        return text.to_owned();
    }
    let mut letters: Vec<char> = text.chars().collect();
    while !letters.is_empty() && style.width(&letters.iter().chain(&['…']).collect::<String>()) > width {
        letters.pop();
    }
    letters.into_iter().chain(['…']).collect()
}

fn step() -> Step {
    Step::new("draw-thumbnails", 1, "Draws pages with a small picture of each series.")
        .takes::<StudyInventory>("inventory")
        .gives::<Pictures>("pictures")
        .runs(|call| Ok(StepOutputs::one("pictures", draw_thumbnails(call.input("inventory"), call.token)?)))
}

inventory::submit! { BuiltIn(step) }
