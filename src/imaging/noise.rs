//! Image noise: the standard deviation of the CT numbers of one material.
//!
//! It is measured in the air of the trachea and the main bronchi, away from their walls. Where no airways are
//! known, it is the most frequent standard deviation of small areas of soft tissue (global noise level:
//! Christianson et al. 2015, AJR 205:W93). Tissue has more noise than air in the lungs.

use super::Volume;
use super::bits::{VoxelBall, VoxelSet};

/// The least distance from the wall of an airway: its blur ends there.
const WALL_MM: f64 = 3.0;
/// The fewest voxels of air that are measured.
const VOXELS_LEAST: usize = 200;
/// Mean CT numbers of soft tissue.
const TISSUE_HU: std::ops::RangeInclusive<f64> = 0.0..=100.0;
/// Width of an area of soft tissue.
const AREA_MM: f64 = 6.0;
/// Distance of the slices in which tissue is measured.
const SLICES_MM: f64 = 10.0;
/// The fewest areas whose most frequent value means something.
const AREAS_LEAST: u32 = 100;
/// The largest standard deviation that is counted, in HU.
const NOISE_MOST: usize = 300;

/// The air in the airways.
pub struct AirwayAir {
    pub median_hu: f64,
    pub noise_hu: f64,
}

/// Measures the air in the airways, away from their walls and from the slices that they do not fill: slices of a thickness
/// contain what lies that far above and below. CT numbers end at −1024 in many scans, so the spread is that of the values
/// above the median.
pub fn airway_air(volume: &Volume, airways: &VoxelSet, slice_mm: f64) -> Option<AirwayAir> {
    let [column, row, slice] = volume.spacing;
    let beside = (slice_mm / slice).round().max(1.0);
    let bounds = airways.bounds()?.widened(WALL_MM.max(beside * slice), volume.spacing, volume.size);
    let wall_mm = WALL_MM.max(1.01 * volume.spacing[0].max(volume.spacing[1]));
    let spacing = [column, row, slice.min(0.99 * wall_mm / beside)];
    let lumen = airways.crop(&bounds).erode(&VoxelBall::new(wall_mm, spacing));
    let [_, rows, slices] = lumen.size();
    let mut air = Vec::new();
    for z in 0..slices {
        for y in 0..rows {
            let voxels = volume.row(y + bounds.low[1], z + bounds.low[2]);
            air.extend(lumen.columns(y, z).map(|x| voxels[x + bounds.low[0]]));
        }
    }
    if air.len() < VOXELS_LEAST {
        return None;
    }
    air.sort_unstable();
    let upper = &air[air.len() / 2..];
    let median_hu = f64::from(upper[0]);
    let squares = upper.iter().map(|hu| (f64::from(*hu) - median_hu).powi(2)).sum::<f64>();
    Some(AirwayAir { median_hu, noise_hu: (squares / upper.len() as f64).sqrt() })
}

/// The most frequent standard deviation of small areas of soft tissue, in some slices of the volume.
pub fn tissue_noise_hu(volume: &Volume) -> Option<f64> {
    let step = ((SLICES_MM / volume.spacing[2]).round() as usize).max(1);
    let [width, height] = [0, 1].map(|axis| ((AREA_MM / volume.spacing[axis]).round() as usize).max(3));
    let mut counts = vec![0_u32; NOISE_MOST];
    for z in (0..volume.size[2]).step_by(step) {
        for y in (0..volume.size[1].saturating_sub(height)).step_by(height) {
            for x in (0..volume.size[0].saturating_sub(width)).step_by(width) {
                let rows = (y..y + height).map(|y| &volume.row(y, z)[x..x + width]);
                let [mean, deviation] = moments(rows.flatten().copied());
                if TISSUE_HU.contains(&mean) {
                    counts[(deviation as usize).min(NOISE_MOST - 1)] += 1;
                }
            }
        }
    }
    // Neighbouring bins are joined, so that few areas have one most frequent value, too.
    let joined: Vec<u32> = counts.windows(3).map(|bins| bins.iter().sum()).collect();
    let (most, count) =
        joined.iter().enumerate().max_by_key(|(index, count)| (**count, usize::MAX - index))?;
    (counts.iter().sum::<u32>() >= AREAS_LEAST && *count > 0).then_some(most as f64 + 1.5)
}

/// Mean and standard deviation of the population.
fn moments(values: impl Iterator<Item = i16>) -> [f64; 2] {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for hu in values.map(f64::from) {
        count += 1.0;
        sum += hu;
        squares += hu * hu;
    }
    let mean = sum / count;
    [mean, (squares / count - mean * mean).max(0.0).sqrt()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trachea of 20 mm in slices of 8 mm. Those at its ends contain half of it, as in thick slices.
    #[test]
    fn slices_that_an_airway_fills_in_part_are_no_noise() {
        let size = [40, 40, 8];
        let inside = |index: usize| {
            let [x, y] = [index % 40, index / 40 % 40].map(|at| at as f64 - 19.5);
            x.hypot(y) < 10.0 && (1..7).contains(&(index / 1600))
        };
        let hu = |index: usize| match (inside(index), index / 1600) {
            (true, 1 | 6) => -500,
            (true, _) => -1000 + (index * 8 % 21) as i16 - 10,
            (false, _) => 40,
        };
        let voxels = (0..size.iter().product()).map(hu).collect();
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let volume = Volume { voxels, size, spacing: [1.0, 1.0, 8.0], origin: [0.0; 3], axes };
        let air = airway_air(&volume, &VoxelSet::of(size, inside), 8.0).unwrap();
        assert!((-1001.0..=-999.0).contains(&air.median_hu), "{}", air.median_hu);
        assert!((4.0..=8.0).contains(&air.noise_hu), "{}", air.noise_hu);
        let overlapping = Volume { spacing: [1.0, 1.0, 4.0], ..volume };
        let air = airway_air(&overlapping, &VoxelSet::of(size, inside), 8.0).unwrap();
        assert!((4.0..=8.0).contains(&air.noise_hu), "{}", air.noise_hu);
    }
}
