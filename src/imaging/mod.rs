//! CT studies: from headers to a volume, from a volume to lungs, densities and results.
//!
//! The types that the steps exchange are here; the steps themselves are in [`steps`], one file each. Tests and
//! other programs can call all of them without network and engine.

mod account;
mod airways;
mod array_forms;
mod bits;
mod blank;
mod block;
mod blood_pool;
mod body;
mod body_size;
mod border;
mod candidates;
mod caveats;
mod central_tissue;
mod clusters;
mod coarse;
mod codecs;
mod components;
mod counts;
mod ct_scale;
mod dense_patches;
mod densities;
mod drawing;
mod elements;
mod failures;
mod foreign_slices;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gas;
mod header;
mod image_type;
mod inventory;
mod json;
mod kernels;
mod labels;
mod lost_slices;
mod lung_base;
mod lung_doubt;
mod lung_hollows;
mod lung_parts;
mod lung_shape;
mod midline;
mod mixed_slices;
mod noise;
mod objects;
mod organ_sides;
mod outside_ribs;
mod packed;
mod pages;
mod paper;
mod patients;
mod picture;
mod pieces;
mod pixels;
mod png_file;
mod preview;
mod quality;
mod radiomics;
mod rescale;
mod rib_gap;
#[cfg(test)]
mod sample;
#[cfg(all(fuzzing, not(test)))]
#[allow(dead_code)]
mod sample;
mod segments;
mod series;
mod sides;
mod slice_files;
mod slice_obstacle;
mod slice_sets;
mod slices;
mod spine;
mod split_series;
mod stated_scale;
mod study;
mod surface_layers;
mod table_steps;
mod text;
mod thin_wall;
mod thumbnail;
mod transpose;
mod uncompressed;
mod upright;
mod volume;
mod wrapped_numbers;

pub mod phantom;
pub mod steps;

pub use bits::VoxelSet;
pub use block::NumberBlock;
pub use clusters::ClusterDistribution;
pub use codecs::{DecodeError, DecodedPixels, can_decode, decoded};
pub use counts::VoxelCounts;
pub use densities::{LungDensities, LungPart, LungRegion, PartDensity, RegionDensity, density_g_l};
pub(crate) use drawing::{Canvas, PixelArea, RgbColour, TextAlign, TextStyle};
pub use elements::{HeaderElements, Part10File, PixelData};
pub use header::{HeaderError, InstanceHeader, read_instance};
pub use inventory::{SeriesEntry, StudyInventory};
pub use objects::implementation_uid;
pub use picture::{Picture, Pictures};
pub use pixels::decode_slice;
pub use quality::{NoisePlace, ScanQuality};
pub use radiomics::{LungFeatures, RegionFeatures};
pub use rescale::PixelUnits;
pub use segments::{SegmentKind, SegmentationReference};
pub use series::SortedSeries;
pub use study::StudyAttributes;
pub use text::CharacterSet;
pub use volume::{Lungs, Volume, VolumeVoxels};
