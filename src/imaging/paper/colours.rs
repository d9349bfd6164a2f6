//! The colours of the page.

use super::page::InkColour;
use crate::imaging::LungRegion;

pub const INK: InkColour = [28, 32, 38];
pub const GREY: InkColour = [96, 103, 112];
pub const LOW_DENSITY: InkColour = [196, 30, 84];
pub const RIGHT_LUNG: InkColour = [190, 120, 0];
pub const LEFT_LUNG: InkColour = [0, 104, 176];

pub fn region_colour(lung: LungRegion) -> InkColour {
    match lung {
        LungRegion::Both => INK,
        LungRegion::Right => RIGHT_LUNG,
        LungRegion::Left => LEFT_LUNG,
    }
}
