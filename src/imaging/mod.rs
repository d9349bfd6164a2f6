//! CT studies: from headers to a volume, from a volume to lungs, densities and results.
//!
//! The types that the steps exchange are here; the steps themselves are in [`steps`], one file each. Tests and
//! other programs can call all of them without network and engine.

mod account;
mod airways;
mod bits;
mod block;
mod candidates;
mod coarse;
mod codecs;
mod components;
mod drawing;
mod elements;
mod failures;
mod frames;
mod gas;
mod header;
mod inventory;
mod json;
mod midline;
mod objects;
mod pages;
mod picture;
mod pieces;
mod pixels;
mod preview;
mod rescale;
#[cfg(test)]
mod sample;
mod series;
mod sides;
mod slice_files;
mod slices;
mod study;
mod text;
mod thumbnail;
mod volume;

pub mod phantom;
pub mod steps;

pub use bits::VoxelSet;
pub use block::NumberBlock;
pub use codecs::{DecodeError, DecodedPixels, can_decode, decoded};
pub use elements::{HeaderElements, Part10File, PixelData};
pub use header::{HeaderError, InstanceHeader, read_instance};
pub use inventory::{SeriesEntry, StudyInventory};
pub use objects::implementation_uid;
pub use picture::{Picture, Pictures};
pub use pixels::decode_slice;
pub use rescale::PixelUnits;
pub use series::SortedSeries;
pub use study::StudyAttributes;
pub use text::CharacterSet;
pub use volume::{LungDensities, LungRegion, Lungs, RegionDensity, Volume};
