//! Pockets of gas in what looks like lung: a pneumothorax, a large bulla.
//!
//! A pocket is where the mean over 4 mm is far below that of lung, over more than 16 mm in each direction and
//! at least 20 mL. Emphysema has smaller holes, or walls between them. A thinner layer of gas along the surface of a
//! lung is not taken out, but measured ([`surface_gas_ml`]).

use super::Volume;
use super::bits::{VoxelBall, VoxelBounds, VoxelSet};
use super::coarse::{CoarseGrid, OUTSIDE_HU};
use super::components::VoxelComponents;

/// The middle of a pocket is so far below the mean of cells of gas.
const CORE_BELOW_HU: i16 = 20;
/// Half the least width of a pocket.
const CORE_MM: f64 = 8.0;
const POCKET_ML: f64 = 20.0;
/// Voxels in and beside a pocket that belong to it are less than this above that mean.
const POCKET_ABOVE_HU: i16 = 20;
/// Half the thickness of what lies between a pocket and the wall around it.
const RIM_MM: f64 = 1.5;

/// Mean of a cell in a layer of gas, which has no vessels in it.
const LAYER_HU: i16 = -965;
/// A layer lies within this distance of the lung's surface, by this share.
const SURFACE_MM: f64 = 14.0;
const SURFACE_SHARE: f64 = 0.8;
const LAYER_ML: f64 = 10.0;

/// Pockets of gas, and the rims between them and the walls around them.
pub struct FoundGas {
    pub pockets: VoxelSet,
    pub rim: VoxelSet,
}

impl FoundGas {
    fn none(size: [usize; 3]) -> FoundGas {
        FoundGas { pockets: VoxelSet::empty(size), rim: VoxelSet::empty(size) }
    }

    pub fn all(&self) -> VoxelSet {
        let mut all = self.pockets.clone();
        all.add(&self.rim);
        all
    }
}

/// The volume in mL of gas in layers at the surface of lungs, on the grid of a box.
pub fn surface_gas_ml(grid: &CoarseGrid, bounds: &VoxelBounds, lungs: [&VoxelSet; 2]) -> f64 {
    lungs.into_iter().map(|lung| layers_ml(grid, grid.cells_in(lung, bounds))).sum()
}

fn layers_ml(grid: &CoarseGrid, lung: VoxelSet) -> f64 {
    let mut gas = grid.set(|cell| grid.means[cell] < LAYER_HU && grid.means[cell] != OUTSIDE_HU);
    gas.keep(&lung);
    if (gas.count() as f64) * grid.cell_ml() < LAYER_ML {
        return 0.0;
    }
    // Cells across a corner belong together: a layer is a cell or two deep.
    let mut layers = gas.dilate(&VoxelBall::new(1.8, [1.0; 3]));
    layers.keep(&lung);
    let inner = lung.erode(&VoxelBall::new(SURFACE_MM, grid.spacing));
    let components = VoxelComponents::of(&layers);
    let mut cells = vec![[0_u32; 2]; components.regions.len()];
    for at in grid.rows().flat_map(|(y, z, _)| gas.columns(y, z).map(move |x| [x, y, z])) {
        let layer = components.label(at).expect("gas lies in its layer");
        cells[layer][usize::from(inner.contains(at))] += 1;
    }
    let volumes = cells.iter().map(|[outer, inner]| (f64::from(*outer), f64::from(outer + inner)));
    let layers = volumes.filter(|(outer, all)| *outer >= SURFACE_SHARE * all);
    layers.map(|(_, all)| all * grid.cell_ml()).filter(|ml| *ml >= LAYER_ML).sum()
}

/// The voxels of pockets in the air of lungs, without airways, on the grid of a box. Cells of gas have a mean below
/// `gas_hu`.
pub fn gas_pockets(
    volume: &Volume,
    grid: &CoarseGrid,
    bounds: &VoxelBounds,
    lungs: &VoxelSet,
    airways: &VoxelSet,
    gas_hu: i16,
) -> FoundGas {
    let mut inside = grid.cells_in(lungs, bounds);
    inside.remove(&grid.cells_in(airways, bounds));
    let below = |hu: i16| {
        let mut cells = grid.set(|cell| grid.means[cell] < hu && grid.means[cell] != OUTSIDE_HU);
        cells.keep(&inside);
        cells
    };
    let core = below(gas_hu - CORE_BELOW_HU);
    if (core.count() as f64) * grid.cell_ml() < POCKET_ML {
        return FoundGas::none(lungs.size());
    }
    let ball = VoxelBall::new(CORE_MM.max(1.01 * grid.spacing[0]), grid.spacing);
    let eroded = core.clone().erode(&ball);
    let mut grown = eroded.dilate(&ball);
    grown.keep(&core);
    let gas = below(gas_hu);
    let mut pockets = grown.dilate(&VoxelBall::new(1.8, [1.0; 3]));
    pockets.keep(&gas);
    let components = VoxelComponents::of(&pockets);
    let large = components.by_size(|region| region.voxels as f64 * grid.cell_ml() >= POCKET_ML);
    if large.is_empty() {
        return FoundGas::none(lungs.size());
    }
    let reached = components.select(&large).dilate(&VoxelBall::new(1.8, [1.0; 3]));
    let mut voxels = grid.refine(&reached, bounds);
    voxels.keep_below(|y, z| volume.row(y, z), bounds, gas_hu + POCKET_ABOVE_HU);
    voxels.keep(lungs);
    voxels.remove(airways);
    let rim = rim(volume, &voxels, lungs);
    FoundGas { pockets: voxels, rim }
}

/// What is thin between gas and the wall around it: there both share voxels, and these are as dense as lung.
fn rim(volume: &Volume, gas: &VoxelSet, lungs: &VoxelSet) -> VoxelSet {
    let Some(bounds) = gas.bounds() else { return gas.clone() };
    let thin_mm = RIM_MM.max(1.01 * volume.spacing[0].max(volume.spacing[1]));
    let thin = VoxelBall::new(thin_mm, volume.spacing);
    let bounds = bounds.widened(4.0 * thin_mm, volume.spacing, gas.size());
    let gas = gas.crop(&bounds);
    let mut air = lungs.crop(&bounds);
    air.remove(&gas);
    air.remove(&air.clone().erode(&thin).dilate(&thin));
    // What touches the pocket, and what touches that.
    let mut rim = gas.dilate(&thin);
    rim.keep(&air);
    let mut around = gas;
    around.add(&rim);
    rim = around.dilate(&thin);
    rim.keep(&air);
    rim.uncrop(&bounds, lungs.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rim_of_a_pocket_is_no_lung() {
        let size = [60, 60, 40];
        let place = |index: usize| [index % 60, index / 60 % 60, index / 3600];
        let is_air =
            |[x, y, z]: [usize; 3]| (5..55).contains(&x) && (5..55).contains(&y) && (5..35).contains(&z);
        // Gas over the lung, 40 mm deep; the outermost voxels are gas and wall.
        let is_rim = |at: [usize; 3]| at[1] < 25 && (at[0] == 5 || at[0] == 54 || at[1] == 5 || at[1] == 24);
        let hu = |index: usize| match place(index) {
            at if !is_air(at) => 40,
            at if is_rim(at) => -700,
            [_, y, _] if y < 25 => -1000,
            _ => -860,
        };
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = (0..size.iter().product()).map(hu).collect();
        let volume = Volume { voxels, size, spacing: [2.0; 3], origin: [0.0; 3], axes };
        let air = VoxelSet::of(size, |index| is_air(place(index)));
        let bounds = VoxelBounds { low: [0; 3], high: size };
        let none = VoxelSet::empty(size);
        let gas = gas_pockets(&volume, &volume.coarse(), &bounds, &air, &none, -950).all();
        assert!(gas.contains([30, 15, 20]) && gas.contains([5, 15, 20]) && gas.contains([30, 5, 20]));
        assert!(!gas.contains([30, 30, 20]) && !gas.contains([5, 40, 20]) && !gas.contains([30, 54, 20]));
    }
}
