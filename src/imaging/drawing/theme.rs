//! Colours and lettering of all pictures: dark, as in the rooms where they are read.
//!
//! The colours of the two lungs and of low density are distinguishable with colour vision deficiency (Okabe
//! and Ito).

use super::canvas::RgbColour;
use super::lettering::TextStyle;

pub const BACKGROUND: RgbColour = [17, 20, 24];
pub const RULE: RgbColour = [62, 68, 76];
pub const RIGHT_LUNG: RgbColour = [255, 190, 40];
pub const LEFT_LUNG: RgbColour = [86, 190, 245];
pub const BOTH_LUNGS: RgbColour = [232, 235, 238];
pub const LOW_DENSITY: RgbColour = [255, 64, 110];
pub const ALERT: RgbColour = [235, 110, 80];
pub const MUTED: RgbColour = [150, 158, 168];

pub const TEXT: RgbColour = [222, 226, 230];
pub const HEADING: TextStyle = TextStyle::bold(30.0, [240, 243, 246]);
pub const STRONG: TextStyle = TextStyle::bold(20.0, [240, 243, 246]);
pub const BODY: TextStyle = TextStyle::regular(20.0, TEXT);
pub const SMALL: TextStyle = TextStyle::regular(17.0, TEXT);
