//! Densitometry of the lungs: the numbers that the steps exchange.

use serde::{Deserialize, Serialize};

use super::{ClusterDistribution, VoxelCounts};
use crate::step::Payload;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LungRegion {
    Both,
    Right,
    Left,
}

/// A part of a lung. Thirds have a third of its volume each; core and peel are what is far from and near its
/// surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LungPart {
    UpperThird,
    MiddleThird,
    LowerThird,
    Core,
    Peel,
}

/// Densitometry of one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionDensity {
    pub lung: LungRegion,
    pub voxels: u64,
    pub volume_ml: f64,
    pub mean_hu: f64,
    /// The population's standard deviation: divided by n.
    pub standard_deviation_hu: f64,
    pub median_hu: f64,
    /// The 15th percentile, by linear interpolation between the ranks, as numpy does.
    pub percentile_15_hu: f64,
    /// The density in g/L at the 15th percentile, if the lungs had the reference volume; absent where only one
    /// lung was found.
    pub percentile_15_adjusted_g_l: Option<f64>,
    /// Percentage of voxels strictly below a threshold in HU: (threshold, percentage).
    pub below: Vec<(f64, f64)>,
    /// Percentage of voxels from −600 to below −250 HU.
    pub high_attenuation_percent: f64,
    pub clusters: ClusterDistribution,
    /// Parts with voxels, in the order of [`LungPart`]. Those of both lungs are the parts of each together.
    pub parts: Vec<PartDensity>,
    /// Voxels per bin; bin `i` holds HU from `histogram_start + i * histogram_width` on.
    pub histogram: Vec<u64>,
    pub histogram_start_hu: i32,
    pub histogram_width_hu: u32,
    /// Voxels by CT number, from which the rest was computed.
    pub counts: VoxelCounts,
}

/// Densitometry of a part of a region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartDensity {
    pub part: LungPart,
    pub voxels: u64,
    pub volume_ml: f64,
    pub mean_hu: f64,
    pub percentile_15_hu: f64,
    /// Percentage of voxels strictly below a threshold in HU: (threshold, percentage).
    pub below: Vec<(f64, f64)>,
    pub high_attenuation_percent: f64,
}

/// The density in g/L of a mixture of air (−1000 HU) and water (0 HU); what is less dense than air has none.
pub fn density_g_l(hu: f64) -> f64 {
    (hu + 1000.0).max(0.0)
}

/// Densitometry of both lungs together and of each, in the order both, right, left. A lung that was not found
/// is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LungDensities {
    pub regions: Vec<RegionDensity>,
    /// The volume of both lungs to which densities are adjusted, in mL.
    pub reference_ml: f64,
    /// The peel's thickness in mm.
    pub peel_mm: f64,
}

impl Payload for LungDensities {
    const TYPE: &'static str = "densities";
}
