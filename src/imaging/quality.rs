//! Measures of a scan on which the meaning of lung densities depends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::Payload;

/// The quality of one scan. What could not be measured is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScanQuality {
    /// The largest Slice Thickness.
    pub slice_thickness_mm: Option<f64>,
    pub slice_spacing_mm: f64,
    /// The larger distance of pixels in a slice.
    pub pixel_mm: f64,
    /// The convolution kernel as it is written; of several, a sharp one.
    pub kernel: String,
    /// The contrast agent as it is written; empty if none was given.
    pub contrast_agent: String,
    /// The angle between the direction in which the slices are stacked and their normal, in degrees.
    pub tilt_degrees: f64,
    /// Standard deviation of the CT numbers of one material.
    pub noise_hu: Option<f64>,
    pub noise_place: Option<NoisePlace>,
    /// Median CT number of the air in the trachea and the main bronchi.
    pub airway_hu: Option<f64>,
    /// Median CT number of the air outside the patient.
    pub outside_air_hu: Option<f64>,
    /// The most frequent CT number of soft tissue.
    pub soft_tissue_hu: Option<f64>,
    /// The lowest CT number, if the scale ends there and that is above air.
    pub scale_floor_hu: Option<f64>,
    /// The highest CT number, if it is below bone.
    pub scale_ceiling_hu: Option<f64>,
    /// The steps in which CT numbers come, if they are wider than a scanner's.
    pub scale_step_hu: Option<f64>,
    /// The share of its convex hull that the trachea fills in cross section: the median of its slices.
    pub trachea_solidity: Option<f64>,
    /// Volume of lung and mean density, of both lungs.
    pub lung_ml: f64,
    pub mean_hu: f64,
    /// The percentage of lung from −600 to −250 HU.
    pub high_attenuation_percent: Option<f64>,
    /// The dense tissue that a lung surrounds, in percent of lung and tissue: right, left.
    pub enclosed_percent: [Option<f64>; 2],
    /// The percentage of rays with dense tissue between lung and ribs: right, left.
    pub rib_gap_percent: [Option<f64>; 2],
}

/// The place where noise was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoisePlace {
    /// The noise in the air of the trachea and the main bronchi.
    Airways,
    /// The noise in soft tissue: the most frequent standard deviation of small areas.
    SoftTissue,
}

impl Payload for ScanQuality {
    const TYPE: &'static str = "quality";
}
