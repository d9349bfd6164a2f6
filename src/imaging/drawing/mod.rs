//! Drawing: a canvas with lines and text, planes cut out of a volume, pictures of them, a chart.
//!
//! The result depends on the input alone, whatever the number of threads.

mod bitmap;
mod canvas;
mod chart;
mod curve;
mod frame;
mod lettering;
mod plane;
mod render;
mod theme;
mod view;

pub use canvas::{Canvas, PixelArea, RgbColour, mix};
pub use chart::{columns, draw_histogram, region_name};
pub use curve::{BIN_HU, ChartRange, HistogramCurve};
pub use frame::PageNotes;
pub use lettering::{FontWeight, TextAlign, TextStyle, as_seen, font_file, font_of, is_drawn, isolated};
pub use theme::{
    ALERT, BACKGROUND, BODY, HEADING, LEFT_LUNG, LOW_DENSITY, MUTED, RIGHT_LUNG, RULE, SMALL, STRONG,
};
pub use view::{ViewSettings, draw_views, signed};
