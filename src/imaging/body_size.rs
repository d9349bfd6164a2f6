//! The least volume of lungs by the size of the body around them, and the largest that anybody has.
//!
//! A newborn has less lung than an adult with one lung collapsed, so no volume tells lungs from other air in the body,
//! but its share of the body does: as lengths grow, volumes grow with the power 3/2 of cross sections.

use crate::step::StepReservation;

use super::body::{BodyInside, body_inside};
use super::coarse::CoarseGrid;
use super::{Lungs, Volume};

/// The cross section of an adult's chest, about 35 × 22 cm.
const ADULT_CM2: f64 = 600.0;
/// Less than this in a body as wide as an adult's, or wider, is not a pair of lungs.
const ADULT_LUNGS_ML: f64 = 200.0;

/// More than the lungs of anybody: the largest ones known have some 11 L at full inspiration.
const LARGEST_LUNGS_ML: f64 = 12_000.0;

/// A reservation if nobody has lungs as large as these: then a scale in the headers is wrong.
pub fn impossible_size(volume: &Volume, lung_ml: f64) -> Option<StepReservation> {
    let [across, along] = [0, 2].map(|axis| volume.size[axis] as f64 * volume.spacing[axis] / 10.0);
    let text = format!(
        "what was taken for lungs has {:.0} L, more than anybody's lungs have, in images {across:.0} cm wide over \
         {along:.0} cm: Pixel Spacing or the positions of the slices are wrong, and with them all volumes",
        lung_ml / 1_000.0
    );
    (lung_ml > LARGEST_LUNGS_ML).then(|| StepReservation { code: "impossible_size".to_owned(), text })
}

/// A reservation if lungs are smaller than those of a body of this size can be: what was found is a part of the lungs, or
/// other air.
pub fn small_for_body(volume: &Volume, lungs: &Lungs, lung_ml: f64) -> Option<StepReservation> {
    // The largest of the least volumes: then the body need not be looked at.
    if lung_ml >= ADULT_LUNGS_ML {
        return None;
    }
    let body_cm2 = cross_section_cm2(volume, lungs)?;
    let least_ml = least_lungs_ml(body_cm2);
    let text = format!(
        "what was taken for lungs has {lung_ml:.0} mL, less than the {least_ml:.0} mL that lungs have at least in a body \
         with a cross section of {body_cm2:.0} cm²: it is a part of the lungs or other air, as in the bowel, so look at \
         the pictures before its numbers are used"
    );
    (lung_ml < least_ml).then(|| StepReservation { code: "small_for_body".to_owned(), text })
}

/// The least volume of a pair of lungs in mL, in a body with a cross section in cm².
pub fn least_lungs_ml(body_cm2: f64) -> f64 {
    ADULT_LUNGS_ML * (body_cm2 / ADULT_CM2).min(1.0).powf(1.5)
}

/// The median cross section of the body in the slices with lung.
fn cross_section_cm2(volume: &Volume, lungs: &Lungs) -> Option<f64> {
    let grid = volume.coarse();
    let body = body_inside(&grid, volume.axes[1][1] >= 0.0)?;
    let heights = [&lungs.right, &lungs.left].into_iter().filter_map(|lung| grid.cells_of(lung).bounds());
    body_cm2(&grid, &body, heights.flat_map(|bounds| bounds.low[2]..bounds.high[2]))
}

/// The cross section of the body around its air, as a share of an adult's; at most 1.
pub fn adult_share(grid: &CoarseGrid, body: &BodyInside) -> f64 {
    let heights = body.region.bounds().map_or(0..0, |bounds| bounds.low[2]..bounds.high[2]);
    body_cm2(grid, body, heights).map_or(1.0, |cm2| (cm2 / ADULT_CM2).min(1.0))
}

/// The median cross section of a body in some slices of a grid.
fn body_cm2(grid: &CoarseGrid, body: &BodyInside, heights: impl Iterator<Item = usize>) -> Option<f64> {
    let cells = (grid.size[0] * grid.size[1]) as u64;
    let mut areas: Vec<u64> = heights.map(|z| cells - body.outside.slice_count(z)).collect();
    areas.sort_unstable();
    let median = *areas.get(areas.len() / 2)?;
    Some(median as f64 * grid.spacing[0] * grid.spacing[1] / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::VoxelSet;

    /// A body of 240 × 240 mm (576 cm²) with a lung of a width in voxels, all lengths times a scale.
    fn reserved(width: usize, scale: f64) -> Option<StepReservation> {
        let size = [80, 80, 30];
        let place = |index: usize| [index % 80, index / 80 % 80];
        let is_lung = |index: usize| {
            let [x, y] = place(index);
            (30..30 + width).contains(&x) && (30..50).contains(&y)
        };
        let hu = |index: usize| match place(index) {
            _ if is_lung(index) => -860,
            [x, y] if (10..70).contains(&x) && (10..70).contains(&y) => 40,
            _ => -1000,
        };
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = (0..size.iter().product()).map(hu).collect();
        let volume = Volume { voxels, size, spacing: [4.0 * scale; 3], origin: [0.0; 3], axes };
        let lung = VoxelSet::of(size, is_lung);
        let lung_ml = lung.count() as f64 * volume.voxel_ml();
        small_for_body(&volume, &Lungs::of(lung, VoxelSet::empty(size)), lung_ml)
    }

    #[test]
    fn lungs_larger_than_anybodys_are_named() {
        let volume = Volume {
            voxels: vec![0; 1_000].into(),
            size: [10; 3],
            spacing: [40.0, 40.0, 30.0],
            origin: [0.0; 3],
            axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        };
        assert_eq!(impossible_size(&volume, 11_000.0), None);
        let said = impossible_size(&volume, 28_400.0).expect("nobody has 28 L");
        assert!(said.text.contains("has 28 L") && said.text.contains("40 cm wide over 30 cm"), "{said:?}");
        assert!(said.code.len() <= 16, "the code fits a coded concept");
    }

    #[test]
    fn lungs_of_a_child_are_small_and_a_little_air_in_an_adult_is_no_lung() {
        assert_eq!(reserved(20, 1.0), None);
        assert_eq!(reserved(20, 0.33), None);
        for scale in [1.0, 0.5] {
            let reservation = reserved(4, scale).expect("it is small for the body");
            assert!(reservation.text.contains("a body with a cross section of"), "{reservation:?}");
        }
    }
}
