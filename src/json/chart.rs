//! A picture of totals: a bar for each group.

use std::sync::Arc;

use crate::imaging::Picture;

use super::JsonTotal;

const WIDTH: usize = 480;
const BAR: usize = 36;
const GAP: usize = 12;
const WHITE: [u8; 3] = [255, 255, 255];
const COLOURS: [[u8; 3]; 4] = [[31, 119, 180], [255, 127, 14], [44, 160, 44], [148, 103, 189]];

/// Draws a bar for each group, from the first at the top, as long as its sum is large; the largest fills the width.
pub fn bars(total: &JsonTotal) -> Picture {
    let height = GAP + total.0.len().max(1) * (BAR + GAP);
    let mut rgb = WHITE.repeat(WIDTH * height);
    let most = total.0.values().map(|group| group.sum.unsigned_abs()).max().unwrap_or(0).max(1);
    for (index, group) in total.0.values().enumerate() {
        let room = (WIDTH - 2 * GAP) as u128;
        let length = u128::from(group.sum.unsigned_abs()) * room / u128::from(most);
        let length = usize::try_from(length).expect("no bar is longer than the width");
        let top = GAP + index * (BAR + GAP);
        for row in top..top + BAR {
            let start = 3 * (row * WIDTH + GAP);
            let bar = COLOURS[index % COLOURS.len()].repeat(length);
            rgb[start..start + bar.len()].copy_from_slice(&bar);
        }
    }
    let names: Vec<&str> = total.0.keys().map(String::as_str).collect();
    let title = format!("Totals of {}", names.join(", "));
    Picture::new("total", title, [WIDTH, height], Arc::from(rgb))
}
