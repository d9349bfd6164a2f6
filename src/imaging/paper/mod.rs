//! Pages of PDF: fonts, drawing, the file, and the page that tells the results of `ct-lung`.

mod chart;
mod file;
mod fonts;
mod page;
mod report;
mod stream;

pub use report::{LungReport, PAPER_SIZES};
