//! Lung that outside air seems to reach, because the chest wall is thin or open in some slices.
//!
//! The body is filled slice by slice ([`super::body`]). Where its wall is thinner than a cell or has a hole, outside
//! air floods the lung of that slice. Such lung is recognised by the slices above and below, where the wall is
//! whole: it is as dense as lung, and joined over a broad area with lung inside the body there. Foam and blankets
//! are as dense as lung, too, but skin and ribs part them from it in every slice.

use super::bits::{VoxelBall, VoxelSet};
use super::coarse::{CoarseGrid, OUTSIDE_HU};
use super::components::VoxelComponents;

/// Mean of a cell of lung. Cells with outside air and skin in them have such means, too, but lie in thin layers.
const LUNG_HU: std::ops::RangeInclusive<i16> = -945..=-500;
/// Lung is denser than outside air by more than this, whatever the scanner measures for air.
const ABOVE_AIR_HU: i16 = 40;
/// The least area over which lung continues in the next slice.
const CONTACT_MM2: f64 = 400.0;
/// Of the four ways along rows and columns, those on which a cell enclosed by the body meets it.
const WAYS_LEAST: usize = 3;

/// Cells in the middle of what is as dense as lung and was taken for outside air.
pub struct FloodedLung {
    /// Joined with lung inside the body.
    pub joined: VoxelSet,
    /// Enclosed by the body on most sides, but not joined with lung inside.
    pub apart: VoxelSet,
}

impl FloodedLung {
    /// The flooded lung, by the cells inside and outside the body; nothing if there is none.
    pub fn of(
        grid: &CoarseGrid,
        body: &VoxelSet,
        inside: &VoxelSet,
        outside: &VoxelSet,
    ) -> Option<FloodedLung> {
        let air_hu = grid.means.iter().copied().filter(|hu| *hu != OUTSIDE_HU).min().unwrap_or(OUTSIDE_HU);
        let is_lung = |hu: i16| LUNG_HU.contains(&hu) && hu > air_hu.saturating_add(ABOVE_AIR_HU);
        let alike = grid.set(|cell| is_lung(grid.means[cell]));
        // Cells with their four neighbours in the slice.
        let thick = alike.erode(&VoxelBall::new(1.0, [1.0, 1.0, 2.0]));
        let mut flooded = thick.clone();
        flooded.keep(outside);
        if flooded.is_empty() {
            return None;
        }
        let components = VoxelComponents::of(&thick);
        let contact = contact_cells(&components, inside, &flooded);
        let contact_least = CONTACT_MM2 / (grid.spacing[0] * grid.spacing[1]);
        let broad = |piece: &usize| contact[*piece] as f64 >= contact_least;
        let chosen: Vec<usize> = (0..contact.len()).filter(broad).collect();
        let mut joined = components.select(&chosen);
        joined.keep(outside);
        let mut apart = flooded;
        apart.remove(&joined);
        apart.keep(&enclosed(&apart, body));
        Some(FloodedLung { joined, apart })
    }
}

/// For each component, the number of its flooded cells with one inside the body in the slice above or below.
fn contact_cells(components: &VoxelComponents, inside: &VoxelSet, flooded: &VoxelSet) -> Vec<u64> {
    let [_, rows, slices] = flooded.size();
    let mut contact = vec![0; components.regions.len()];
    for z in 0..slices {
        let others = [z.checked_sub(1), (z + 1 < slices).then_some(z + 1)];
        for at in (0..rows).flat_map(|y| flooded.columns(y, z).map(move |x| [x, y, z])) {
            let Some(piece) = components.label(at) else { continue };
            let continues = |z: &usize| {
                let next = [at[0], at[1], *z];
                inside.contains(next) && components.label(next) == Some(piece)
            };
            contact[piece] += u64::from(others.iter().flatten().any(continues));
        }
    }
    contact
}

/// The cells of a set that meet the body on most ways along their row and their column.
fn enclosed(cells: &VoxelSet, body: &VoxelSet) -> VoxelSet {
    let [_, rows, slices] = cells.size();
    let mut enclosed = VoxelSet::empty(cells.size());
    for (y, z) in (0..slices).flat_map(|z| (0..rows).map(move |y| (y, z))) {
        for x in cells.columns(y, z) {
            let ways = [
                body.columns(y, z).next().is_some_and(|first| first < x),
                body.columns(y, z).last().is_some_and(|last| last > x),
                (0..y).any(|y| body.contains([x, y, z])),
                (y + 1..rows).any(|y| body.contains([x, y, z])),
            ];
            if ways.into_iter().filter(|meets| *meets).count() >= WAYS_LEAST {
                enclosed.insert([x, y, z]);
            }
        }
    }
    enclosed
}
