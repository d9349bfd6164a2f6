//! Drawing: a canvas with lines and text, planes cut out of a volume, pictures of them, a chart.
//!
//! The result depends on the input alone, whatever the number of threads.

mod bitmap;
mod canvas;
mod chart;
mod frame;
mod lettering;
mod plane;
mod render;
mod theme;
mod view;

pub use canvas::{Canvas, PixelArea};
pub use chart::draw_histogram;
pub use frame::PageNotes;
pub use lettering::{TextAlign, TextStyle, isolated};
pub use theme::{ALERT, BACKGROUND, BODY, HEADING, MUTED, RULE, SMALL, STRONG};
pub use view::{ViewSettings, draw_views};
