//! The volume, the lungs in it and what was measured there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::step::Payload;

use super::Block;

/// CT numbers on a regular grid.
#[derive(Clone, PartialEq)]
pub struct Volume {
    /// HU, x fastest, then y, then z: `voxels[(z * rows + y) * columns + x]`.
    pub voxels: Block<i16>,
    /// Columns, rows, slices.
    pub size: [usize; 3],
    /// Distance of voxel centres along x, y, z in mm.
    pub spacing: [f64; 3],
    /// Patient coordinates of the first voxel's centre in mm.
    pub origin: [f64; 3],
    /// Patient directions of x, y and z: unit vectors.
    pub axes: [[f64; 3]; 3],
}

impl Volume {
    /// Volume of one voxel in mL.
    pub fn voxel_ml(&self) -> f64 {
        self.spacing.iter().product::<f64>() / 1000.0
    }
}

/// Without the voxels.
impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volume({:?} voxels of {:?} mm)", self.size, self.spacing)
    }
}

impl Payload for Volume {
    const TYPE: &'static str = "volume";
}

/// Which lung a voxel belongs to, on the grid of the volume.
#[derive(Clone, PartialEq)]
pub struct Lungs {
    /// One label per voxel: [`Lungs::NONE`], [`Lungs::RIGHT`] or [`Lungs::LEFT`] (the patient's sides).
    pub labels: Vec<u8>,
    /// What was decided on the way, for the report.
    pub remarks: Vec<String>,
}

impl Lungs {
    pub const NONE: u8 = 0;
    pub const RIGHT: u8 = 1;
    pub const LEFT: u8 = 2;
}

/// Without the labels.
impl fmt::Debug for Lungs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lungs({} voxels, {:?})", self.labels.len(), self.remarks)
    }
}

impl Payload for Lungs {
    const TYPE: &'static str = "lungs";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lung {
    Both,
    Right,
    Left,
}

/// Densitometry of one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Density {
    pub lung: Lung,
    pub voxels: u64,
    pub volume_ml: f64,
    pub mean_hu: f64,
    /// Of the population: divided by n.
    pub standard_deviation_hu: f64,
    pub median_hu: f64,
    /// Linear interpolation between the ranks, as numpy does.
    pub percentile_15_hu: f64,
    /// Percent of voxels strictly below a threshold in HU: (threshold, percent).
    pub below: Vec<(f64, f64)>,
    /// Voxels per bin; bin `i` holds HU from `histogram_start + i * histogram_width` on.
    pub histogram: Vec<u64>,
    pub histogram_start_hu: i32,
    pub histogram_width_hu: u32,
}

/// Densitometry of both lungs together and of each: in the order both, right, left, without a lung
/// that was not found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Densities {
    pub regions: Vec<Density>,
}

impl Payload for Densities {
    const TYPE: &'static str = "densities";
}
