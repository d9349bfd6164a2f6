//! Whether what was taken for lungs looks like lungs, or can be stool and gas in the bowel.
//!
//! Into a lung leads an airway. It is not found in every chest: an aspirated or narrow trachea, thick slices and wide
//! pixels hide it. So a doubt needs a second sign: lung is alike throughout, lies behind ribs, in one or two pieces, and
//! not in the half of the images towards the feet alone.

use super::bits::{VoxelBall, VoxelSet};
use super::coarse::CoarseGrid;
use super::components::VoxelComponents;
use super::{Lungs, ScanQuality, Volume};
use crate::step::StepReservation;

/// The median of an airway's air. Lungs and stool are denser.
const AIRWAY_HU_MOST: f64 = -850.0;
/// Half of the voxels of an airway that is too narrow for its air to be measured apart from its walls are below this:
/// those of a trachea with voxels of 4 mm are, gas between stool is not.
const NARROW_AIRWAY_HU: i16 = -750;
/// An airway leads into a lung if it comes so near to one.
const JOINED_MM: f64 = 12.0;
/// The largest standard deviation of the means of cells of 4 mm that have lung all around. Three healthy chests have 48
/// to 66 HU, one with fibrosis at its bases 116, and stool with bubbles in it over 110.
const UNEVEN_HU: f64 = 90.0;
/// The fewest such cells whose deviation means something: 13 mL.
const CELLS_LEAST: usize = 200;
/// The least share of all that is in the two largest pieces.
const TWO_PIECES_SHARE: f64 = 0.7;
/// The share of directions in which no rib is near above which there are no ribs. Lungs with a collapsed lobe or an
/// effusion have up to 12 %.
const NO_RIBS_PERCENT: f64 = 50.0;
/// The part of the images' length, towards the feet, that no lungs are in alone; and the least length that tells.
const LOWER_SHARE: f64 = 0.55;
const LENGTH_MM_LEAST: f64 = 150.0;

/// A reservation if no airway leads into what was taken for lungs, and something else speaks against lungs. Lungs that
/// another program found are not doubted: it tells no airways.
pub fn perhaps_no_lung(volume: &Volume, lungs: &Lungs, quality: &ScanQuality) -> Option<StepReservation> {
    let grid = volume.coarse();
    let (right, left) = (grid.cells_of(&lungs.right), grid.cells_of(&lungs.left));
    let mut cells = right.clone();
    cells.add(&left);
    let has_air = match quality.airway_hu {
        Some(hu) => hu <= AIRWAY_HU_MOST,
        None => is_mostly_air(volume, &lungs.airways),
    };
    if lungs.made_by.is_some() || cells.is_empty() || (has_air && has_airway(&grid, &cells, lungs)) {
        return None;
    }
    let mut found =
        [&right, &left].into_iter().zip(quality.rib_gap_percent).filter(|(lung, _)| !lung.is_empty());
    let has_no_ribs = found.all(|(_, percent)| percent.is_none_or(|percent| percent > NO_RIBS_PERCENT));
    let signs = [
        deviation_hu(&grid, &cells)
            .filter(|hu| *hu > UNEVEN_HU)
            .map(|hu| format!("its density differs by {hu:.0} HU from place to place, as in stool")),
        has_no_ribs.then(|| "no ribs are seen around it".to_owned()),
        pieces_share(&cells)
            .filter(|share| *share < TWO_PIECES_SHARE)
            .map(|share| format!("its two largest pieces are {:.0} % of it", 100.0 * share)),
        is_low(volume, &grid, &cells)
            .then(|| "it lies in the half of the images towards the feet alone".to_owned()),
    ];
    let signs: Vec<String> = signs.into_iter().flatten().collect();
    let text = format!(
        "what was taken for lungs is perhaps none: no airway leads into it, and {}; it can be stool or gas in the bowel, \
         so look at the pictures before its numbers are used",
        signs.join(", and ")
    );
    (!signs.is_empty()).then(|| StepReservation { code: "perhaps_no_lung".to_owned(), text })
}

fn is_mostly_air(volume: &Volume, airways: &VoxelSet) -> bool {
    let mut air = VoxelSet::below(&volume.voxels, volume.size, NARROW_AIRWAY_HU);
    air.keep(airways);
    2 * air.count() >= airways.count()
}

fn has_airway(grid: &CoarseGrid, cells: &VoxelSet, lungs: &Lungs) -> bool {
    let mut near = grid.cells_of(&lungs.airways).dilate(&VoxelBall::new(JOINED_MM, grid.spacing));
    near.keep(cells);
    !near.is_empty()
}

/// The standard deviation of the means of cells that have lung all around.
fn deviation_hu(grid: &CoarseGrid, cells: &VoxelSet) -> Option<f64> {
    let inner = cells.clone().erode(&VoxelBall::new(1.0, [1.0; 3]));
    let places = grid.rows().flat_map(|(y, z, _)| inner.columns(y, z).map(move |x| [x, y, z]));
    let means: Vec<f64> = places.map(|at| f64::from(grid.mean(at))).collect();
    if means.len() < CELLS_LEAST {
        return None;
    }
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let squares = means.iter().map(|hu| (hu - mean).powi(2)).sum::<f64>();
    Some((squares / means.len() as f64).sqrt())
}

/// The share of all cells that is in the two largest pieces.
fn pieces_share(cells: &VoxelSet) -> Option<f64> {
    let mut pieces: Vec<u64> = VoxelComponents::of(cells).regions.iter().map(|piece| piece.voxels).collect();
    pieces.sort_unstable_by(|one, other| other.cmp(one));
    let all: u64 = pieces.iter().sum();
    (all > 0).then(|| pieces.iter().take(2).sum::<u64>() as f64 / all as f64)
}

/// Whether all cells lie in the part of the images towards the feet.
fn is_low(volume: &Volume, grid: &CoarseGrid, cells: &VoxelSet) -> bool {
    let Some(bounds) = cells.bounds() else { return false };
    let slices = grid.size[2];
    let head = if volume.axes[2][2] >= 0.0 { bounds.high[2] } else { slices - bounds.low[2] };
    slices as f64 * grid.spacing[2] >= LENGTH_MM_LEAST && head as f64 <= LOWER_SHARE * slices as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::caveats;

    const SIZE: [usize; 3] = [90, 60, 50];

    /// What is said of two pieces of 80 × 100 × `high` mm, whose density differs by up to `uneven` HU, with an airway
    /// between them or not.
    fn said(uneven: i16, high: f64, has_airway: bool, rib_gap_percent: [Option<f64>; 2]) -> Option<String> {
        said_of(uneven, high, has_airway, &ScanQuality { rib_gap_percent, ..caveats::sample() })
    }

    fn said_of(uneven: i16, high: f64, has_airway: bool, quality: &ScanQuality) -> Option<String> {
        said_with_airway(uneven, high, has_airway.then_some(-1000), quality)
    }

    /// As [`said`], with an airway whose voxels have a CT number.
    fn said_with_airway(
        uneven: i16,
        high: f64,
        airway_hu: Option<i16>,
        quality: &ScanQuality,
    ) -> Option<String> {
        let place = |index: usize| [index % 90, index / 90 % 60, index / 5400].map(|at| 4.0 * at as f64);
        let is_piece = |index: usize, low: f64| {
            let [x, y, z] = place(index);
            (low..low + 80.0).contains(&x) && (60.0..160.0).contains(&y) && (12.0..12.0 + high).contains(&z)
        };
        let is_airway = |index: usize| {
            let [x, y, z] = place(index);
            airway_hu.is_some() && (172.0..188.0).contains(&x) && (100.0..116.0).contains(&y) && z >= 60.0
        };
        let right = VoxelSet::of(SIZE, |index| is_piece(index, 84.0));
        let left = VoxelSet::of(SIZE, |index| is_piece(index, 196.0));
        let hu = |index: usize| match place(index) {
            _ if is_piece(index, 84.0) || is_piece(index, 196.0) => {
                -800 + uneven * i16::try_from(index / 3 % 3).unwrap() - uneven
            }
            _ if is_airway(index) => airway_hu.unwrap_or_default(),
            [x, y, _] if (20.0..340.0).contains(&x) && (20.0..220.0).contains(&y) => 40,
            _ => -1000,
        };
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = (0..SIZE.iter().product()).map(hu).collect();
        let volume = Volume { voxels, size: SIZE, spacing: [4.0; 3], origin: [0.0; 3], axes };
        let lungs = Lungs { airways: VoxelSet::of(SIZE, is_airway), ..Lungs::of(right, left) };
        perhaps_no_lung(&volume, &lungs, quality).map(|one| one.text)
    }

    #[test]
    fn what_looks_like_lungs_is_not_doubted() {
        assert_eq!(said(20, 180.0, true, [Some(0.0); 2]), None);
        assert_eq!(said(20, 180.0, false, [Some(5.0), Some(80.0)]), None, "a trachea may not be found");
        assert_eq!(said(150, 180.0, true, [None; 2]), None, "an airway leads into it");
        let dense = ScanQuality { airway_hu: Some(-667.0), ..caveats::sample() };
        assert!(said_of(150, 180.0, true, &dense).is_some(), "no air is in it");
        let narrow = ScanQuality { airway_hu: None, ..caveats::sample() };
        assert_eq!(said_with_airway(150, 180.0, Some(-890), &narrow), None, "air with its walls");
        assert!(said_with_airway(150, 180.0, Some(-580), &narrow).is_some(), "gas between stool");
    }

    #[test]
    fn stool_is_perhaps_no_lung() {
        let check = |text: Option<String>, words: &str| {
            let text = text.expect("it is doubted");
            assert!(text.contains(words), "{text}");
        };
        check(said(150, 180.0, false, [Some(0.0); 2]), "differs by 122 HU");
        check(said(20, 180.0, false, [None, Some(90.0)]), "no ribs are seen around it");
        check(said(20, 80.0, false, [Some(0.0); 2]), "towards the feet alone");
    }
}
