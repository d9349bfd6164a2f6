//! CT studies: from headers to a volume, from a volume to lungs, densities and results.
//!
//! The types that the steps exchange stand here; the steps themselves in [`steps`], one file each.
//! No network, no engine: everything can be called from a test or another program.

mod drawing;
mod failures;
mod header;
mod json;
mod objects;
mod picture;
mod series;
mod study;
mod volume;

pub mod steps;

pub use header::Header;
pub use picture::{Picture, Pictures};
pub use series::Series;
pub use study::Study;
pub use volume::{Densities, Density, Lung, Lungs, Volume};
