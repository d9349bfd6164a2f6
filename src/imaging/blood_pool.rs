//! Blood with a contrast agent that no header names, by the pixels.
//!
//! Between the lungs, nothing but blood with a contrast agent is dense and alike throughout over a few millilitres: bone
//! differs from place to place, and other tissue has less than 100 HU.

use std::ops::Range;

use super::bits::{VoxelBounds, VoxelSet};
use super::body_size::{BodyScale, amount};
use super::coarse::CoarseGrid;
use super::components::VoxelComponents;
use super::{Lungs, ScanQuality, Volume};
use crate::step::StepReservation;

/// Mean CT numbers of cells of blood with a contrast agent. Blood has up to 60 HU; a vein into which the agent flows has
/// more than this.
const BLOOD_HU: std::ops::RangeInclusive<i16> = 130..=600;
/// The largest difference of a cell's mean from those of its six neighbours.
const ALIKE_HU: i16 = 40;
/// The least volume of such cells in one piece. Two real chests have 0.07 and 0.2 mL, also with noise of 50 HU and in slices
/// of 5 and 8 mm 0.3 mL at most (bone); with a ball of blood 50 mm wide that is 120 HU denser 6 and 15 mL, with heart and
/// vessels 200 HU denser 164 and 818 mL.
const POOL_ML_LEAST: f64 = 3.0;
/// The part of the lungs' depth before the spine: the vertebrae of young people are dense and alike.
const FRONT_SHARE: f64 = 0.55;
/// The part of the lungs' height above stomach and bowel, in which an agent may be that was drunk.
const UPPER_SHARE: f64 = 0.67;

/// A reservation if a contrast agent is seen between the lungs and no header names one. The volume has the lengths of an
/// adult.
pub fn unnamed_contrast(
    volume: &Volume,
    scale: BodyScale,
    lungs: &Lungs,
    quality: &ScanQuality,
) -> Option<StepReservation> {
    if !quality.contrast_agent.is_empty() {
        return None;
    }
    let grid = volume.coarse();
    let mut cells = grid.cells_of(&lungs.right);
    cells.add(&grid.cells_of(&lungs.left));
    let pool = largest_pool(&grid, &cells, volume.axes)?;
    let text = format!(
        "no header names a contrast agent, but at least {} mL between the lungs have {} HU throughout, as blood with one: \
         blood in the lungs is denser, so mean and percentiles are higher and low attenuation areas smaller than without",
        amount(scale.ml(pool.ml)),
        pool.hu
    );
    (pool.ml >= POOL_ML_LEAST).then(|| StepReservation { code: "contrast_agent".to_owned(), text })
}

/// Cells in one piece that are dense and alike.
struct BloodPool {
    ml: f64,
    /// The mean of its cells.
    hu: i64,
}

/// The largest piece of dense cells that are like their neighbours, in slices and rows between cells of lung, before the
/// spine and above the stomach.
fn largest_pool(grid: &CoarseGrid, lung: &VoxelSet, axes: [[f64; 3]; 3]) -> Option<BloodPool> {
    let VoxelBounds { low, high } = lung.bounds()?;
    let rows = part(low[1]..high[1], FRONT_SHARE, axes[1][1] >= 0.0);
    let slices = part(low[2]..high[2], UPPER_SHARE, axes[2][2] < 0.0);
    let mut pool = VoxelSet::empty(grid.size);
    let between = |y: usize, z: usize| Some((lung.columns(y, z).next()?, lung.columns(y, z).last()?));
    for (y, z, _) in grid.rows().filter(|(y, z, _)| rows.contains(y) && slices.contains(z)) {
        let Some((first, last)) = between(y, z) else { continue };
        (first..last).map(|x| [x, y, z]).filter(|at| is_blood(grid, *at)).for_each(|at| pool.insert(at));
    }
    let pieces = VoxelComponents::of(&pool);
    let largest = pieces.by_size(|_| true).into_iter().next()?;
    let piece = pieces.select(&[largest]);
    let places = grid.rows().flat_map(|(y, z, _)| piece.columns(y, z).map(move |x| [x, y, z]));
    let sum: i64 = places.map(|at| i64::from(grid.mean(at))).sum();
    let count = piece.count();
    Some(BloodPool { ml: count as f64 * grid.cell_ml(), hu: sum / count.max(1) as i64 })
}

/// The part of a range at its begin or its end.
fn part(range: Range<usize>, share: f64, is_begin: bool) -> Range<usize> {
    let length = (share * range.len() as f64).round() as usize;
    if is_begin { range.start..range.start + length } else { range.end - length..range.end }
}

/// Whether a cell and its six neighbours are dense and alike.
fn is_blood(grid: &CoarseGrid, at: [usize; 3]) -> bool {
    let mean = grid.mean(at);
    let is_inner = (0..3).all(|axis| at[axis] > 0 && at[axis] + 1 < grid.size[axis]);
    let is_like = |axis: usize, towards: isize| {
        let mut other = at;
        other[axis] = other[axis].saturating_add_signed(towards);
        let other = grid.mean(other);
        BLOOD_HU.contains(&other) && other.abs_diff(mean) <= ALIKE_HU.unsigned_abs()
    };
    BLOOD_HU.contains(&mean) && is_inner && (0..3).all(|axis| is_like(axis, -1) && is_like(axis, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::caveats;

    /// What is said of a chest with two lungs, in voxels of 4 mm, and a heart of 40 × 40 × 40 mm between them.
    fn said(heart: impl Fn([usize; 3]) -> i16, agent: &str) -> Option<String> {
        let size = [60, 40, 30];
        let is_lung =
            |[x, y, _]: [usize; 3]| ((8..22).contains(&x) || (38..52).contains(&x)) && (8..32).contains(&y);
        let place = |index: usize| [index % 60, index / 60 % 40, index / 2400];
        let hu = |index: usize| match place(index) {
            at if is_lung(at) => -860,
            at @ [25..35, 12..22, 10..20] => heart(at),
            _ => 40,
        };
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = (0..size.iter().product()).map(hu).collect();
        let volume = Volume { voxels, size, spacing: [4.0; 3], origin: [0.0; 3], axes };
        let side = |low: usize, high: usize| {
            VoxelSet::of(size, move |index| {
                let at = place(index);
                is_lung(at) && (low..high).contains(&at[0])
            })
        };
        let lungs = Lungs::of(side(0, 30), side(30, 60));
        let quality = ScanQuality { contrast_agent: agent.to_owned(), ..caveats::sample() };
        unnamed_contrast(&volume, BodyScale::ADULT, &lungs, &quality).map(|one| one.text)
    }

    #[test]
    fn dense_blood_is_told_by_the_pixels_where_no_header_names_an_agent() {
        let blood = said(|_| 250, "").expect("it is said");
        assert!(blood.contains("at least 33 mL between the lungs have 250 HU"), "{blood}");
        assert!(said(|[x, y, z]| 290 + ((x * 7 + y * 3 + z * 5) % 31) as i16, "").is_some(), "noise");
        assert_eq!(said(|_| 250, "Iohexol"), None, "a header names it");
        assert_eq!(said(|_| 55, ""), None, "blood");
        let bone = |[x, y, z]: [usize; 3]| 150 + ((x * 97 + y * 61 + z * 83) % 300) as i16;
        assert_eq!(said(bone, ""), None, "bone differs from place to place");
    }
}
