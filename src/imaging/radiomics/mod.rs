//! Features of a set of voxels as the Image Biomarker Standardisation Initiative defines them.
//!
//! Definitions and reference values: Zwanenburg et al. 2020, Radiology 295:328, and the reference manual,
//! arXiv 1612.07003, version 11. The four letters behind a feature are its code there. All sums over voxels are
//! sums of integers, so the results do not depend on threads.

mod axes;
mod diameter;
mod intensity;
mod mesh;
mod shape;

pub use intensity::{HistogramFeatures, IntensityFeatures};
pub use shape::ShapeFeatures;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LungRegion;
use crate::step::Payload;

/// The features of the right and the left lung. A lung that was not found is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LungFeatures(pub Vec<RegionFeatures>);

/// The features of one lung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionFeatures {
    pub lung: LungRegion,
    pub intensity: IntensityFeatures,
    pub histogram: HistogramFeatures,
    pub shape: ShapeFeatures,
}

impl Payload for LungFeatures {
    const TYPE: &'static str = "features";
}

#[cfg(test)]
mod tests;
