//! Pockets of gas in what looks like lung: a pneumothorax, a large bulla.
//!
//! A pocket is where the mean over 4 mm is far below that of lung, over more than 16 mm in each direction and
//! at least 20 mL. Emphysema has smaller holes, or walls between them.

use super::Volume;
use super::bits::{VoxelBall, VoxelBounds, VoxelSet};
use super::coarse::{CoarseGrid, OUTSIDE_HU};
use super::components::VoxelComponents;
use super::pieces::GAS_HU;

const CORE_HU: i16 = -970;
/// Half the least width of a pocket.
const CORE_MM: f64 = 8.0;
const POCKET_ML: f64 = 20.0;
/// Voxels in and beside a pocket that belong to it.
const POCKET_HU: i16 = -930;

/// The voxels of pockets in the air of lungs, without airways, on the grid of a box.
pub fn gas_pockets(
    volume: &Volume,
    grid: &CoarseGrid,
    bounds: &VoxelBounds,
    lungs: &VoxelSet,
    airways: &VoxelSet,
) -> Option<VoxelSet> {
    let mut inside = grid.cells_in(lungs, bounds);
    inside.remove(&grid.cells_in(airways, bounds));
    let below = |hu: i16| {
        let mut cells = grid.set(|cell| grid.means[cell] < hu && grid.means[cell] != OUTSIDE_HU);
        cells.keep(&inside);
        cells
    };
    let core = below(CORE_HU);
    if (core.count() as f64) * grid.cell_ml() < POCKET_ML {
        return None;
    }
    let ball = VoxelBall::new(CORE_MM.max(1.01 * grid.spacing[0]), grid.spacing);
    let eroded = core.clone().erode(&ball);
    let mut grown = eroded.dilate(&ball);
    grown.keep(&core);
    let gas = below(GAS_HU);
    let mut pockets = grown.dilate(&VoxelBall::new(1.8, [1.0; 3]));
    pockets.keep(&gas);
    let components = VoxelComponents::of(&pockets);
    let large = components.by_size(|region| region.voxels as f64 * grid.cell_ml() >= POCKET_ML);
    if large.is_empty() {
        return None;
    }
    let reached = components.select(&large).dilate(&VoxelBall::new(1.8, [1.0; 3]));
    let mut voxels = grid.refine(&reached, bounds);
    voxels.keep_below(volume, bounds, POCKET_HU);
    voxels.keep(lungs);
    voxels.remove(airways);
    Some(voxels)
}
