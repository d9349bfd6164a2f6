//! `measure-features`: intensity, histogram and shape of each lung, by the definitions of the Image Biomarker
//! Standardisation Initiative (see [`radiomics`](crate::imaging)).
//!
//! CT numbers are taken as they are: no interpolation, no discretisation but in the histogram, and no
//! re-segmentation but of the histogram's range. Intensities come from what `measure-densities` counted, shapes
//! from the lungs' masks.

use crate::imaging::radiomics::{HistogramFeatures, IntensityFeatures, ShapeFeatures};
use crate::imaging::{LungDensities, LungFeatures, LungRegion, Lungs, RegionFeatures, Volume, VoxelSet};
use crate::step::{BuiltIn, Step, StepOutputs};

/// The range and the bins of the histogram, as in the initiative's configuration C.
const HISTOGRAM_HU: [i32; 2] = [-1000, 400];
const BIN_HU: u32 = 25;

/// Measures the right and the left lung, each if it was measured before and has voxels in the histogram's range.
pub fn measure_features(volume: &Volume, lungs: &Lungs, densities: &LungDensities) -> LungFeatures {
    let of = |lung: LungRegion, set: &VoxelSet| {
        let counts = &densities.regions.iter().find(|region| region.lung == lung)?.counts;
        Some(RegionFeatures {
            lung,
            intensity: IntensityFeatures::of(counts)?,
            histogram: HistogramFeatures::of(counts, HISTOGRAM_HU, BIN_HU)?,
            shape: ShapeFeatures::of(set, volume.spacing)?,
        })
    };
    let (right, left) =
        rayon::join(|| of(LungRegion::Right, &lungs.right), || of(LungRegion::Left, &lungs.left));
    LungFeatures(right.into_iter().chain(left).collect())
}

fn step() -> Step {
    let about = "Measures intensity, histogram and shape of each lung by the definitions of IBSI.";
    Step::new("measure-features", 1, about)
        .takes::<Volume>("volume")
        .takes::<Lungs>("lungs")
        .takes::<LungDensities>("densities")
        .gives::<LungFeatures>("features")
        .runs(|call| {
            let features =
                measure_features(call.input("volume"), call.input("lungs"), call.input("densities"));
            Ok(StepOutputs::one("features", features))
        })
}

inventory::submit! { BuiltIn(step) }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::steps::measure_densities::{DensitySettings, measure_densities};

    #[test]
    fn each_lung_has_its_features() {
        let size = [20, 10, 10];
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = (0..2000).map(|index| if index % 2 == 0 { -900 } else { -800 });
        let volume = Volume { voxels: voxels.collect(), size, spacing: [1.0; 3], origin: [0.0; 3], axes };
        let left = VoxelSet::of(size, |index| (10..18).contains(&(index % 20)));
        let lungs = Lungs::of(VoxelSet::empty(size), left);
        let densities = measure_densities(&volume, &lungs, &DensitySettings::default()).unwrap();
        let LungFeatures(features) = measure_features(&volume, &lungs, &densities);
        let [left] = &features[..] else { panic!("one lung: {features:?}") };
        assert_eq!(left.lung, LungRegion::Left);
        assert_eq!((left.intensity.distribution.mean, left.histogram.distribution.maximum), (-850.0, 9.0));
        assert_eq!((left.shape.voxel_volume_mm3, left.shape.volume_density_box < 1.0), (800.0, true));
    }
}
