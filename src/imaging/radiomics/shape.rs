//! Morphological features (manual 3.1), in mm.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::axes::CoordinateSums;
use super::diameter::diameter_mm;
use super::mesh::MeshSize;
use crate::imaging::VoxelSet;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShapeFeatures {
    /// RNU0.
    pub mesh_volume_mm3: f64,
    /// YEKZ.
    pub voxel_volume_mm3: f64,
    /// C0JK.
    pub surface_area_mm2: f64,
    /// 2PR5.
    pub surface_to_volume_per_mm: f64,
    /// SKGS.
    pub compactness_1: f64,
    /// BQWJ.
    pub compactness_2: f64,
    /// KRCK.
    pub spherical_disproportion: f64,
    /// QCFX.
    pub sphericity: f64,
    /// 25C7.
    pub asphericity: f64,
    /// L0JK: between corners of the mesh.
    pub maximum_3d_diameter_mm: f64,
    /// TDIC: four standard deviations along the first principal axis.
    pub major_axis_mm: f64,
    /// P9VJ.
    pub minor_axis_mm: f64,
    /// 7J51.
    pub least_axis_mm: f64,
    /// Q3CK.
    pub elongation: f64,
    /// N17B.
    pub flatness: f64,
    /// PBX1: of the box along rows, columns and slices.
    pub volume_density_box: f64,
    /// R59B.
    pub area_density_box: f64,
    /// 6BDE: of the ellipsoid that has the principal axes.
    pub volume_density_ellipsoid: f64,
}

impl ShapeFeatures {
    /// The shape of a set of voxels; `None` without any.
    pub fn of(set: &VoxelSet, spacing: [f64; 3]) -> Option<ShapeFeatures> {
        let bounds = set.bounds()?;
        let sums = CoordinateSums::of(set);
        let MeshSize { volume_mm3: volume, area_mm2: area } = MeshSize::of(set, spacing);
        let sphericity = (36.0 * PI * volume.powi(2)).cbrt() / area;
        let [major, minor, least] = sums.variances(spacing).map(|variance| 4.0 * variance.sqrt());
        let box_mm: [f64; 3] =
            std::array::from_fn(|axis| (bounds.high[axis] - bounds.low[axis]) as f64 * spacing[axis]);
        let box_area = 2.0 * (box_mm[0] * box_mm[1] + box_mm[1] * box_mm[2] + box_mm[2] * box_mm[0]);
        Some(ShapeFeatures {
            mesh_volume_mm3: volume,
            voxel_volume_mm3: sums.voxels as f64 * spacing.iter().product::<f64>(),
            surface_area_mm2: area,
            surface_to_volume_per_mm: area / volume,
            compactness_1: volume / (PI.sqrt() * area.powf(1.5)),
            compactness_2: 36.0 * PI * volume.powi(2) / area.powi(3),
            spherical_disproportion: 1.0 / sphericity,
            sphericity,
            asphericity: 1.0 / sphericity - 1.0,
            maximum_3d_diameter_mm: diameter_mm(set, spacing),
            major_axis_mm: major,
            minor_axis_mm: minor,
            least_axis_mm: least,
            elongation: minor / major,
            flatness: least / major,
            volume_density_box: volume / box_mm.iter().product::<f64>(),
            area_density_box: area / box_area,
            volume_density_ellipsoid: volume / (PI / 6.0 * major * minor * least),
        })
    }
}
