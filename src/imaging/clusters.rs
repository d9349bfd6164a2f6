//! The sizes of low attenuation clusters, and how fast their number falls with size.
//!
//! The number Y of clusters of at least a size X follows Y = K X^−D (Mishima et al. 1999, PNAS 96:8829). D is the
//! negative slope of log Y over log X; it falls when small clusters merge to large ones. Here clusters are
//! three-dimensional, and voxels belong together if they share a face.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bits::VoxelSet;
use super::components::VoxelComponents;

/// Voxels strictly below this are low attenuation.
pub const CLUSTER_HU: i16 = -950;
/// Smaller clusters are not told from noise.
pub const CLUSTER_LEAST_MM3: f64 = 5.0;
/// With fewer clusters, or fewer different sizes, a slope means little.
pub const CLUSTERS_LEAST: u64 = 50;
pub const CLUSTER_SIZES_LEAST: usize = 10;

/// Clusters of low attenuation in one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterDistribution {
    /// The clusters that are large enough.
    pub clusters: u64,
    /// D of Mishima; absent if it would mean nothing.
    pub slope: Option<f64>,
    /// The reason why there is no slope.
    pub reason: Option<String>,
}

/// The number of large enough clusters of each size in voxels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSizes(BTreeMap<u64, u64>);

impl ClusterSizes {
    /// The clusters that a set of voxels below [`CLUSTER_HU`] consists of.
    pub fn of(low: &VoxelSet, voxel_mm3: f64) -> ClusterSizes {
        let mut sizes = BTreeMap::new();
        // Most components are single voxels, and too small.
        let components = VoxelComponents::of(low).regions.into_iter().map(|region| region.voxels);
        for voxels in components.filter(|voxels| is_large(*voxels, voxel_mm3)) {
            *sizes.entry(voxels).or_default() += 1;
        }
        ClusterSizes(sizes)
    }

    /// The clusters of both lungs.
    pub fn sum(one: &ClusterSizes, other: &ClusterSizes) -> ClusterSizes {
        let mut sizes = one.clone();
        other.0.iter().for_each(|(size, count)| *sizes.0.entry(*size).or_default() += count);
        sizes
    }

    /// The slope, by least squares over the sizes that occur.
    pub fn distribution(&self, voxel_mm3: f64) -> ClusterDistribution {
        let large = self.0.iter().filter(|(size, _)| is_large(**size, voxel_mm3));
        let mut points = Vec::new();
        let mut clusters = 0;
        for (size, count) in large.rev() {
            clusters += count;
            points.push([(*size as f64 * voxel_mm3).log10(), (clusters as f64).log10()]);
        }
        let few = (clusters < CLUSTERS_LEAST || points.len() < CLUSTER_SIZES_LEAST).then(|| {
            format!(
                "{clusters} clusters of {} sizes; at least {CLUSTERS_LEAST} of {CLUSTER_SIZES_LEAST} sizes are needed",
                points.len()
            )
        });
        ClusterDistribution { clusters, slope: few.is_none().then(|| -slope(&points)), reason: few }
    }
}

fn is_large(voxels: u64, voxel_mm3: f64) -> bool {
    voxels as f64 * voxel_mm3 >= CLUSTER_LEAST_MM3
}

/// The slope of a line through points, by least squares of the second coordinate.
fn slope(points: &[[f64; 2]]) -> f64 {
    let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64;
    let [x, y] = [mean(0), mean(1)];
    let products = points.iter().map(|point| (point[0] - x) * (point[1] - y)).sum::<f64>();
    products / points.iter().map(|point| (point[0] - x).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_has_its_exponent() {
        // 1000 X^-1.5 clusters of at least X voxels, as near as whole numbers allow.
        let least = |size: f64| (100_000.0 * size.powf(-1.5)).round() as u64;
        let sizes: Vec<u64> = (1..200).collect();
        let count = |size: &u64| least(*size as f64) - least(*size as f64 + 1.0);
        let mut sizes: BTreeMap<u64, u64> = sizes.iter().map(|size| (*size, count(size))).collect();
        sizes.insert(200, least(200.0));
        let found = ClusterSizes(sizes).distribution(1.0);
        assert_eq!(found.clusters, least(5.0));
        assert!((found.slope.unwrap() - 1.5).abs() < 0.01, "{found:?}");
        assert_eq!(found.reason, None);
    }

    #[test]
    fn few_clusters_have_a_reason_and_no_slope() {
        let found = ClusterSizes([(1, 5000), (20, 7)].into()).distribution(0.5);
        assert_eq!((found.clusters, found.slope), (7, None));
        assert!(found.reason.unwrap().starts_with("7 clusters of 1 sizes"));
    }

    #[test]
    fn small_clusters_are_left_out() {
        // Voxels 71, 72 and 141 are one cluster, 135 and 495 one each.
        let is_low = |index: usize| matches!(index, 71 | 72 | 141 | 135 | 495);
        let low = VoxelSet::of([70, 6, 3], is_low);
        assert_eq!(ClusterSizes::of(&low, 8.0), ClusterSizes([(3, 1), (1, 2)].into()));
        assert_eq!(ClusterSizes::of(&low, 4.0), ClusterSizes([(3, 1)].into()));
    }
}
