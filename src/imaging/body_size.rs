//! The size of a body: lungs are searched and judged in adults' lengths.
//!
//! Limits in millimetres and millilitres are those of adults. A newborn's lung is no wider than an adult's trachea, and has
//! less volume than an adult with one lung collapsed. So the images of a small body are looked at as if all
//! its lengths were an adult's; what is said is in the true lengths. As lengths grow, volumes grow with the power 3/2 of
//! cross sections.

use crate::step::StepReservation;
use std::f64::consts::FRAC_PI_4;

use super::body::{BodyInside, body_inside};
use super::coarse::CoarseGrid;
use super::{Lungs, Volume};

/// The cross section of an adult's chest, about 35 × 22 cm.
const ADULT_CM2: f64 = 600.0;
/// Adults have at least this one, about 31 × 20 cm.
const SMALL_ADULT_CM2: f64 = 480.0;
/// The share of an adult's lengths below which cells of an adult's images are too large.
const SMALL_SHARE: f64 = 0.8;
/// No body is smaller: a scale of 0 would make its images endless.
const LEAST_SHARE: f64 = 0.01;
/// The width of a chest as a multiple of its depth.
const WIDTH_BY_DEPTH: f64 = 1.55;
/// Children up to about 8 years have less.
const CHILD_CM2: f64 = 300.0;
/// Less than this in a body as wide as an adult's, or wider, is not a pair of lungs.
const ADULT_LUNGS_ML: f64 = 200.0;

/// More than the lungs of anybody: the largest ones known have some 11 L at full inspiration.
const LARGEST_LUNGS_ML: f64 = 12_000.0;

/// The lengths of a body as a share of an adult's, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BodyScale(f64);

impl BodyScale {
    pub const ADULT: BodyScale = BodyScale(1.0);

    /// The scale of the body in some images; an adult's if nothing in it is air.
    pub fn of(volume: &Volume) -> BodyScale {
        let volume = &if volume.has_rows_sideways() { volume.clone() } else { volume.transposed() };
        let first = body_share(volume);
        if first >= SMALL_SHARE {
            return BodyScale(first.min(1.0));
        }
        // The cells of an adult's images are too large for a small body.
        BodyScale((first * body_share(&volume.scaled(1.0 / first.max(LEAST_SHARE)))).min(1.0))
    }

    pub fn is_adult(self) -> bool {
        self == BodyScale::ADULT
    }

    /// The images with lengths as if the body were an adult's.
    pub fn adult(self, volume: &Volume) -> Volume {
        if self.is_adult() { volume.clone() } else { volume.scaled(1.0 / self.0) }
    }

    /// The true length of one in the images of an adult.
    pub fn mm(self, adult_mm: f64) -> f64 {
        adult_mm * self.0
    }

    /// The true area of one in the images of an adult.
    pub fn cm2(self, adult_cm2: f64) -> f64 {
        adult_cm2 * self.0.powi(2)
    }

    /// The true volume of one in the images of an adult.
    pub fn ml(self, adult_ml: f64) -> f64 {
        adult_ml * self.0.powi(3)
    }

    /// A reservation of a child's body.
    pub fn reservation(self) -> Option<StepReservation> {
        let body_cm2 = self.cm2(SMALL_ADULT_CM2);
        let text = format!(
            "the body has a cross section of {body_cm2:.0} cm², as a small child's: lungs are found and checked as in an \
             adult of whom all lengths are smaller, and no child's images were there to try that on, so look at the pictures"
        );
        (body_cm2 < CHILD_CM2).then(|| StepReservation { code: "small_body".to_owned(), text })
    }
}

/// A volume for people: with as many decimals as give two digits.
pub fn amount(ml: f64) -> String {
    let decimals = match ml {
        ..0.95 => 2,
        ..9.5 => 1,
        _ => 0,
    };
    format!("{ml:.decimals$}")
}

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

/// The lengths of the body around its air as a share of a small adult's.
fn body_share(volume: &Volume) -> f64 {
    let grid = volume.coarse();
    let body = body_inside(&grid, volume.axes[1][1] >= 0.0);
    let cm2 = body.and_then(|body| {
        let heights = heights_of_chest(&body);
        let seen = body_cm2(&grid, &body, heights.iter().copied())?;
        Some(if body.spine.is_cut { seen.max(cm2_by_depth(&grid, &body, &heights)?) } else { seen })
    });
    cm2.map_or(1.0, |cm2| (cm2 / SMALL_ADULT_CM2).sqrt())
}

/// The slices with at least half as much air in the body as any has: neither neck nor head, however many show these.
fn heights_of_chest(body: &BodyInside) -> Vec<usize> {
    let areas: Vec<u64> = (0..body.region.size()[2]).map(|z| body.region.slice_count(z)).collect();
    let largest = areas.iter().copied().max().unwrap_or(0);
    (0..areas.len()).filter(|z| areas[*z] > 0 && 2 * areas[*z] >= largest).collect()
}

/// The cross section of a body that the images cut at a side, by its median depth in them. Rows run from side to side.
fn cm2_by_depth(grid: &CoarseGrid, body: &BodyInside, heights: &[usize]) -> Option<f64> {
    let [columns, rows, _] = grid.size;
    let has_body = |y: usize, z: usize| body.outside.columns(y, z).count() < columns;
    let depths = heights.iter().map(|z| (0..rows).filter(|y| has_body(*y, *z)).count());
    let mut depths: Vec<usize> = depths.collect();
    depths.sort_unstable();
    let median = *depths.get(depths.len() / 2)?;
    Some(FRAC_PI_4 * WIDTH_BY_DEPTH * (median as f64 * grid.spacing[1] / 10.0).powi(2))
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
    fn chest(width: usize, scale: f64) -> (Volume, Lungs) {
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
        (volume, Lungs::of(VoxelSet::of(size, is_lung), VoxelSet::empty(size)))
    }

    fn reserved(width: usize, scale: f64) -> Option<StepReservation> {
        let (volume, lungs) = chest(width, scale);
        small_for_body(&volume, &lungs, lungs.right.count() as f64 * volume.voxel_ml())
    }

    #[test]
    fn small_volumes_have_two_digits() {
        assert_eq!([123.4, 9.6, 9.4, 0.41].map(amount), ["123", "10", "9.4", "0.41"]);
    }

    /// An adult's chest with a neck that is three times as long.
    #[test]
    fn a_long_neck_makes_nobody_small() {
        let (adult, _) = chest(20, 1.0);
        let neck = |index: usize| match [index % 80, index / 80 % 80] {
            [x, y] if (38..42).contains(&x) && (38..42).contains(&y) => -990,
            [x, y] if (28..52).contains(&x) && (28..52).contains(&y) => 40,
            _ => -1000,
        };
        let [columns, rows, slices] = adult.size;
        let above = (0..3 * columns * rows * slices).map(neck);
        let voxels: Vec<i16> = adult.voxels.iter().copied().chain(above).collect();
        let volume = Volume { voxels: voxels.into(), size: [columns, rows, 4 * slices], ..adult };
        assert_eq!(BodyScale::of(&volume), BodyScale::ADULT);
    }

    #[test]
    fn the_size_of_a_body_turned_in_its_plane_is_the_same() {
        let (child, _) = chest(20, 0.5);
        let turned = child.transposed();
        assert!(!turned.has_rows_sideways());
        assert_eq!(BodyScale::of(&turned), BodyScale::of(&child));
    }

    #[test]
    fn a_small_body_is_looked_at_as_an_adults() {
        let (adult, _) = chest(20, 1.0);
        assert_eq!(BodyScale::of(&adult), BodyScale::ADULT);
        let (child, _) = chest(20, 0.5);
        let scale = BodyScale::of(&child);
        // 144 of 480 cm².
        assert!((scale.mm(100.0) - 54.8).abs() < 1.0, "{scale:?}");
        assert!((scale.ml(100.0) - 16.4).abs() < 1.0 && (scale.cm2(480.0) - 144.0).abs() < 5.0, "{scale:?}");
        assert!((scale.mm(scale.adult(&child).spacing[0]) - child.spacing[0]).abs() < 1e-9);
        assert!(scale.reservation().is_some_and(|one| one.text.contains("as a small child's")));
        assert_eq!(BodyScale::ADULT.reservation(), None);
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
