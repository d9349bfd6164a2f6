//! Shapes that tell of the state of the lungs: the cross section of the trachea, and dense tissue that a lung
//! surrounds.

use super::bits::{VoxelBall, VoxelBounds, VoxelSet};
use super::coarse::CoarseGrid;
use super::{Lungs, Volume};

/// Pixels for which the cross section of a trachea is too small to have a shape.
const PIXEL_MM_MOST: f64 = 1.0;
/// The part of the trachea below the upper end of what is known of it, above the carina.
const TRACHEA_MM: std::ops::Range<f64> = 5.0..40.0;
/// A wider cross section is the carina.
const WIDTH_MM_MOST: f64 = 30.0;
/// The fewest cross sections whose median means something.
const SECTIONS_LEAST: usize = 5;
/// Half the width of a bay in the surface of a lung that counts as surrounded.
const BAY_MM: f64 = 24.0;
/// Dense tissue: consolidated lung, fluid and masses, without bone.
const DENSE_HU: std::ops::RangeInclusive<i16> = -250..=150;

/// The median share of its convex hull that the trachea fills in cross section.
pub fn trachea_solidity(volume: &Volume, airways: &VoxelSet) -> Option<f64> {
    if volume.spacing[0].max(volume.spacing[1]) > PIXEL_MM_MOST {
        return None;
    }
    let bounds = airways.bounds()?;
    let head_last = volume.axes[2][2] >= 0.0;
    let mut shares: Vec<f64> = (bounds.low[2]..bounds.high[2])
        .filter(|z| {
            let slices = if head_last { bounds.high[2] - 1 - z } else { z - bounds.low[2] };
            TRACHEA_MM.contains(&(slices as f64 * volume.spacing[2]))
        })
        .filter_map(|z| section_solidity(volume, airways, &bounds, z))
        .collect();
    if shares.len() < SECTIONS_LEAST {
        return None;
    }
    shares.sort_unstable_by(f64::total_cmp);
    Some(shares[shares.len() / 2])
}

fn section_solidity(volume: &Volume, airways: &VoxelSet, bounds: &VoxelBounds, z: usize) -> Option<f64> {
    let (mut pixels, mut corners) = (0, Vec::new());
    for y in bounds.low[1]..bounds.high[1] {
        let row: Vec<usize> =
            (bounds.low[0]..bounds.high[0]).filter(|x| airways.contains([*x, y, z])).collect();
        let (Some(first), Some(last)) = (row.first(), row.last()) else { continue };
        pixels += row.len();
        for y in [y as f64, y as f64 + 1.0] {
            corners.extend([[*first as f64, y], [*last as f64 + 1.0, y]]);
        }
    }
    let xs = corners.iter().map(|[x, _]| *x);
    let width = xs.clone().fold(f64::MIN, f64::max) - xs.fold(f64::MAX, f64::min);
    if pixels == 0 || width * volume.spacing[0] > WIDTH_MM_MOST {
        return None;
    }
    Some(pixels as f64 / hull_area(corners))
}

/// The area of the convex hull of points (Andrew 1979, Inf Process Lett 9:216).
fn hull_area(mut points: Vec<[f64; 2]>) -> f64 {
    points.sort_unstable_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let turn =
        |o: [f64; 2], a: [f64; 2], b: [f64; 2]| (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
    let chain = |points: &mut dyn Iterator<Item = [f64; 2]>| {
        let mut chain: Vec<[f64; 2]> = Vec::new();
        for point in points {
            while let [.., before, last] = chain[..]
                && turn(before, last, point) <= 0.0
            {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = chain(&mut points.iter().copied());
    hull.extend(chain(&mut points.iter().rev().copied()));
    let next = hull.iter().cycle().skip(1);
    hull.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<f64>().abs() / 2.0
}

/// The dense tissue that each lung surrounds, in percent of lung and tissue together: right, left.
pub fn enclosed_percent(grid: &CoarseGrid, lungs: &Lungs) -> [Option<f64>; 2] {
    let (right, left) = (grid.cells_of(&lungs.right), grid.cells_of(&lungs.left));
    let dense = grid.set(|cell| DENSE_HU.contains(&grid.means[cell]));
    let percent = |lung: &VoxelSet, other: &VoxelSet| {
        let bounds = lung.bounds()?.widened(BAY_MM, grid.spacing, grid.size);
        let inner = lung.crop(&bounds);
        let mut tissue = inner.close(&VoxelBall::new(BAY_MM, grid.spacing));
        tissue.keep(&dense.crop(&bounds));
        tissue.remove(&inner);
        tissue.remove(&other.crop(&bounds));
        let (tissue, lung) = (tissue.count() as f64, inner.count() as f64);
        Some(100.0 * tissue / (tissue + lung))
    };
    [percent(&right, &left), percent(&left, &right)]
}
