//! Colours and lettering of all pictures: dark, as in the rooms where they are read.
//!
//! The colours of the two lungs and of low density are distinguishable with colour vision deficiency (Okabe
//! and Ito).

use super::canvas::Colour;
use super::lettering::Style;

pub const BACKGROUND: Colour = [17, 20, 24];
pub const RULE: Colour = [62, 68, 76];
pub const RIGHT_LUNG: Colour = [255, 190, 40];
pub const LEFT_LUNG: Colour = [86, 190, 245];
pub const BOTH_LUNGS: Colour = [232, 235, 238];
pub const LOW_DENSITY: Colour = [255, 64, 110];
pub const ALERT: Colour = [235, 110, 80];
pub const MUTED: Colour = [150, 158, 168];

pub const TEXT: Colour = [222, 226, 230];
pub const HEADING: Style = Style::bold(30.0, [240, 243, 246]);
pub const STRONG: Style = Style::bold(20.0, [240, 243, 246]);
pub const BODY: Style = Style::regular(20.0, TEXT);
pub const SMALL: Style = Style::regular(17.0, TEXT);
