//! A picture of totals: a bar for each group, with its name and its sum.

use crate::imaging::{Canvas, Picture, PixelArea, RgbColour, TextAlign, TextStyle};

use super::{JsonTotal, TotalGroup};

const WIDTH: usize = 640;
const MARGIN: usize = 16;
const BAR: usize = 20;
/// Height of a group: the line with its name and its sum, and the bar.
const GROUP: usize = 56;
/// The most groups that are drawn; the files of text have all.
const GROUPS_MOST: usize = 40;

const WHITE: RgbColour = [255, 255, 255];
const BLUE: RgbColour = [31, 119, 180];
const RED: RgbColour = [200, 60, 50];
const TEXT: TextStyle = TextStyle::regular(18.0, [40, 40, 40]);

/// Draws a bar for each group, from the first at the top, as long as its sum is large; the largest fills the width.
/// The bar of a sum below zero is red.
pub fn bars(total: &JsonTotal) -> Picture {
    let rest = total.0.len().saturating_sub(GROUPS_MOST);
    let lines = total.0.len().min(GROUPS_MOST) + usize::from(rest > 0);
    let mut canvas = Canvas::filled(WIDTH, 2 * MARGIN + lines.max(1) * GROUP, WHITE);
    let most = total.0.values().map(|group| group.sum.unsigned_abs()).max().unwrap_or(0).max(1);
    for (index, (name, group)) in total.by_name().iter().take(GROUPS_MOST).enumerate() {
        draw(&mut canvas, MARGIN + index * GROUP, name, group, most);
    }
    if rest > 0 {
        let top = (MARGIN + GROUPS_MOST * GROUP) as f32;
        canvas.text(&format!("and {rest} more groups"), MARGIN as f32, top, TextAlign::Left, TEXT);
    }
    canvas.into_picture("total", format!("Sums of {} groups", total.0.len()))
}

fn draw(canvas: &mut Canvas, top: usize, name: &str, group: &TotalGroup, most: u64) {
    let (left, right) = (MARGIN as f32, (WIDTH - MARGIN) as f32);
    let sum = format!("{} (of {} items)", group.sum, group.count);
    let room = right - left - TEXT.width(&sum) - MARGIN as f32;
    let name = TEXT.wrap(name, room).into_iter().next().unwrap_or_default();
    canvas.text(&name, left, top as f32, TextAlign::Left, TEXT);
    canvas.text(&sum, right, top as f32, TextAlign::Right, TEXT);
    let share = group.sum.unsigned_abs() as f64 / most as f64;
    let width = (share * (WIDTH - 2 * MARGIN) as f64).round() as usize;
    let colour = if group.sum < 0 { RED } else { BLUE };
    let top = top + GROUP - BAR - 8;
    canvas.fill(PixelArea { left: MARGIN, top, width, height: BAR }, colour, 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_a_negative_one_is_red() {
        let group = |sum| TotalGroup { count: 1, sum };
        let total = JsonTotal([("a".to_owned(), group(50)), ("b".to_owned(), group(-100))].into());
        let picture = bars(&total);
        let count = |colour: RgbColour| picture.rgb.chunks(3).filter(|pixel| **pixel == colour).count();
        assert_eq!(count(RED), (WIDTH - 2 * MARGIN) * BAR);
        assert_eq!(count(BLUE), (WIDTH - 2 * MARGIN) / 2 * BAR);
    }

    #[test]
    fn many_groups_and_long_names_fit() {
        let group = |index: usize| {
            (format!("{index} {}", "long ".repeat(500)), TotalGroup { count: 1, sum: i64::MAX })
        };
        let picture = bars(&JsonTotal((0..5_000).map(group).collect()));
        assert_eq!(picture.height, 2 * MARGIN + (GROUPS_MOST + 1) * GROUP);
        assert_eq!(bars(&JsonTotal::default()).height, 2 * MARGIN + GROUP);
    }
}
