//! The digital phantom of the initiative: its features within the published tolerance.
//!
//! Voxels and values are those of the reference manual (arXiv 1612.07003) and of the reference data sets
//! (github.com/theibsi/data_sets, CC BY 4.0). Where a value has no tolerance it must be right as it is written.

use super::intensity::DistributionFeatures;
use super::{HistogramFeatures, IntensityFeatures, ShapeFeatures};
use crate::imaging::{Volume, VoxelCounts, VoxelSet};

/// Grey levels, x fastest, then y, then z; 0 is outside the region.
const PHANTOM: [[[i16; 5]; 4]; 4] = [
    [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
    [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
    [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
    [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
];

fn phantom() -> (Volume, VoxelSet) {
    let levels: Vec<i16> = PHANTOM.into_iter().flatten().flatten().collect();
    let size = [5, 4, 4];
    let region = VoxelSet::of(size, |index| levels[index] > 0);
    let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    (Volume { voxels: levels.into(), size, spacing: [2.0; 3], origin: [0.0; 3], axes }, region)
}

#[track_caller]
fn check(feature: &str, found: f64, reference: f64, tolerance: f64) {
    assert!((found - reference).abs() <= tolerance, "{feature}: {found}, not {reference} ± {tolerance}");
}

/// Three digits, as the reference values are written.
#[track_caller]
fn check_digits(feature: &str, found: f64, reference: f64) {
    let unit = if reference == 0.0 { 1.0 } else { 10_f64.powf(reference.abs().log10().floor() - 2.0) };
    check(feature, found, reference, unit / 2.0 * (1.0 + 1e-9));
}

fn check_distribution(found: &DistributionFeatures) {
    check_digits("mean", found.mean, 2.15);
    check_digits("variance", found.variance, 3.05);
    check_digits("skewness", found.skewness, 1.08);
    check_digits("kurtosis", found.kurtosis, -0.355);
    let whole = [found.median, found.minimum, found.percentile_10, found.percentile_90, found.maximum];
    assert_eq!(whole, [1.0, 1.0, 1.0, 4.0, 6.0]);
    assert_eq!([found.interquartile_range, found.range], [3.0, 5.0]);
    check_digits("mean absolute deviation", found.mean_absolute_deviation, 1.55);
    check_digits("robust mean absolute deviation", found.robust_mean_absolute_deviation, 1.11);
    check_digits("median absolute deviation", found.median_absolute_deviation, 1.15);
    check_digits("coefficient of variation", found.coefficient_of_variation, 0.812);
    check_digits("quartile coefficient of dispersion", found.quartile_coefficient_of_dispersion, 0.6);
}

#[test]
fn statistics_of_the_phantom() {
    let (volume, region) = phantom();
    let found = IntensityFeatures::of(&VoxelCounts::of(&volume, &region)).unwrap();
    check_distribution(&found.distribution);
    check_digits("energy", found.energy, 567.0);
    check_digits("root mean square", found.root_mean_square, 2.77);
}

#[test]
fn histogram_of_the_phantom() {
    let (volume, region) = phantom();
    let found = HistogramFeatures::of(&VoxelCounts::of(&volume, &region), [1, 6], 1).unwrap();
    check_distribution(&found.distribution);
    assert_eq!(found.mode, 1.0);
    check_digits("entropy", found.entropy, 1.27);
    check_digits("uniformity", found.uniformity, 0.512);
    assert_eq!([found.maximum_gradient, found.maximum_gradient_bin], [8.0, 3.0]);
    assert_eq!([found.minimum_gradient, found.minimum_gradient_bin], [-50.0, 1.0]);
}

#[test]
fn shape_of_the_phantom() {
    let (volume, region) = phantom();
    let found = ShapeFeatures::of(&region, volume.spacing).unwrap();
    check("volume of mesh", found.mesh_volume_mm3, 556.0, 4.0);
    check("volume of voxels", found.voxel_volume_mm3, 592.0, 4.0);
    check("surface area", found.surface_area_mm2, 388.0, 3.0);
    check("surface to volume", found.surface_to_volume_per_mm, 0.698, 0.004);
    check("compactness 1", found.compactness_1, 0.0411, 0.0003);
    check("compactness 2", found.compactness_2, 0.599, 0.004);
    check("spherical disproportion", found.spherical_disproportion, 1.19, 0.01);
    check("sphericity", found.sphericity, 0.843, 0.005);
    check("asphericity", found.asphericity, 0.186, 0.001);
    check("maximum 3D diameter", found.maximum_3d_diameter_mm, 13.1, 0.1);
    check("major axis", found.major_axis_mm, 11.4, 0.1);
    check("minor axis", found.minor_axis_mm, 9.31, 0.06);
    check("least axis", found.least_axis_mm, 8.54, 0.05);
    check("elongation", found.elongation, 0.816, 0.005);
    check("flatness", found.flatness, 0.749, 0.005);
    check("volume density of the box", found.volume_density_box, 0.869, 0.005);
    check("area density of the box", found.area_density_box, 0.866, 0.005);
    check("volume density of the ellipsoid", found.volume_density_ellipsoid, 1.17, 0.01);
}

#[test]
fn without_voxels_there_are_no_features() {
    let (volume, _) = phantom();
    let none = VoxelSet::empty(volume.size);
    let counts = VoxelCounts::of(&volume, &none);
    assert_eq!(IntensityFeatures::of(&counts), None);
    assert_eq!(HistogramFeatures::of(&counts, [-1000, 400], 25), None);
    assert_eq!(ShapeFeatures::of(&none, volume.spacing), None);
}
