//! The largest distance between two corners of the mesh of a set of voxels.
//!
//! Corners lie in the middles between a voxel inside and a neighbour outside. In units of half a voxel all of them
//! lie in planes of whole z, and only the corners of each plane's convex hull can be the farthest ones. Some planes
//! give a distance to begin with; planes, and then corners, that are nearer than that to all boxes are passed over.

use rayon::prelude::*;

use crate::imaging::VoxelSet;
use crate::imaging::bits::WORD;

/// x and y in half voxels.
type PlanePoint = [i64; 2];

/// Of so many planes, one gives the distance to begin with. Both kinds of planes are among them.
const SAMPLE_STEP: usize = 9;

/// The box of the mesh's corners in one plane, or a larger one.
#[derive(Clone, Copy)]
struct PlaneBox {
    /// In half voxels.
    z: i64,
    low: PlanePoint,
    high: PlanePoint,
}

/// The convex hull of the mesh's corners in one plane.
struct HullPlane {
    bounds: PlaneBox,
    corners: Vec<PlanePoint>,
}

/// The diameter in mm; 0 without voxels.
pub fn diameter_mm(set: &VoxelSet, spacing: [f64; 3]) -> f64 {
    let half = spacing.map(|mm| mm / 2.0);
    let boxes = boxes(set);
    let hulls = |boxes: Vec<&PlaneBox>| -> Vec<HullPlane> {
        boxes.into_par_iter().filter_map(|bounds| HullPlane::of(set, bounds.z)).collect()
    };
    let sample = hulls(boxes.iter().step_by(SAMPLE_STEP).collect());
    let most = farthest(&sample, half, first_guess(&sample, half));
    let far = boxes.iter().filter(|one| boxes.iter().rev().any(|other| one.reach(other, half) > most));
    let mut planes = hulls(far.collect());
    let blocks: Vec<[PlaneBox; 2]> = boxes.chunks(BLOCK_PLANES).map(around).collect();
    for plane in &mut planes {
        let z = plane.bounds.z;
        plane.corners.retain(|[x, y]| blocks.iter().any(|block| reach_of(block, [*x, *y, z], half) > most));
    }
    farthest(&planes, half, most).sqrt()
}

/// Planes whose boxes are looked at together.
const BLOCK_PLANES: usize = 16;

/// The box around the boxes of some planes, at the first and at the last of them.
fn around(planes: &[PlaneBox]) -> [PlaneBox; 2] {
    let [first, last] = [planes[0], planes[planes.len() - 1]];
    let extreme = |of: fn(i64, i64) -> i64, corner: fn(&PlaneBox) -> PlanePoint| {
        let corners = planes.iter().map(corner);
        corners.fold(corner(&first), |all, one| [of(all[0], one[0]), of(all[1], one[1])])
    };
    let (low, high) = (extreme(i64::min, |plane| plane.low), extreme(i64::max, |plane| plane.high));
    [first.z, last.z].map(|z| PlaneBox { z, low, high })
}

/// The squared distance from a point that nothing in a box exceeds: it is farthest at one of the box's ends.
fn reach_of([first, last]: &[PlaneBox; 2], point: [i64; 3], half: [f64; 3]) -> f64 {
    first.reach_from(point, half).max(last.reach_from(point, half))
}

/// A box for each plane between the first and the last that has corners.
fn boxes(set: &VoxelSet) -> Vec<PlaneBox> {
    let slices = set.size()[2];
    let bounds: Vec<_> = (0..slices).into_par_iter().map(|z| set.slice_bounds(z)).collect();
    let slice = |z: i64| usize::try_from(z).ok().and_then(|z| bounds.get(z).copied().flatten());
    let of_plane = |z: i64| {
        if z % 2 == 0 {
            let (low, high) = slice(z / 2)?;
            let [low, high] = [low.map(|at| 2 * at as i64 - 1), high.map(|at| 2 * at as i64 - 1)];
            return Some(PlaneBox { z, low, high });
        }
        let beside = [(z - 1) / 2, (z + 1) / 2].into_iter().filter(|z| *z >= 0).filter_map(slice);
        beside.fold(None, |all: Option<PlaneBox>, (low, high)| {
            let [low, high] = [low.map(|at| 2 * at as i64), high.map(|at| 2 * at as i64 - 2)];
            let PlaneBox { low: least, high: most, .. } = all.unwrap_or(PlaneBox { z, low, high });
            let low = [0, 1].map(|axis| low[axis].min(least[axis]));
            Some(PlaneBox { z, low, high: [0, 1].map(|axis| high[axis].max(most[axis])) })
        })
    };
    (-1..2 * slices as i64).filter_map(of_plane).collect()
}

/// The largest squared distance of two corners, if it is more than another one.
fn farthest(planes: &[HullPlane], half: [f64; 3], mut most: f64) -> f64 {
    for (index, one) in planes.iter().enumerate() {
        for other in planes[index..].iter().rev() {
            if one.bounds.reach(&other.bounds, half) <= most {
                continue;
            }
            for a in one.corners.iter().map(|corner| [corner[0], corner[1], one.bounds.z]) {
                if other.bounds.reach_from(a, half) > most {
                    let z = other.bounds.z;
                    let distances = other.corners.iter().map(|b| squared(a, [b[0], b[1], z], half));
                    most = distances.fold(most, f64::max);
                }
            }
        }
    }
    most
}

/// The squared distance in mm².
fn squared(a: [i64; 3], b: [i64; 3], half: [f64; 3]) -> f64 {
    (0..3).map(|axis| ((a[axis] - b[axis]) as f64 * half[axis]).powi(2)).sum()
}

/// A large distance, by going twice from a corner to the farthest one.
fn first_guess(planes: &[HullPlane], half: [f64; 3]) -> f64 {
    let corners =
        || planes.iter().flat_map(|plane| plane.corners.iter().map(|[x, y]| [*x, *y, plane.bounds.z]));
    let Some(mut from) = corners().next() else { return 0.0 };
    let mut most = 0.0;
    for _ in 0..3 {
        let farthest = corners().map(|corner| (squared(from, corner, half), corner));
        (most, from) = farthest.fold((0.0, from), |best, other| if other.0 > best.0 { other } else { best });
    }
    most
}

/// The ends of rows along x, and the edges between rows along y, in a slice; by y, then by x.
fn in_slice(set: &VoxelSet, z: i64) -> Vec<PlanePoint> {
    let (z, rows) = (z as usize, set.size()[1]);
    let empty = vec![0; set.words_per_row()];
    let mut points = Vec::new();
    let mut before = &empty[..];
    for y in 0..=rows {
        let row = if y < rows { set.row(y, z) } else { &empty };
        let edges = ends(row.iter().zip(before).map(|(row, before)| row ^ before));
        points.extend(edges.into_iter().flatten().map(|x| [2 * x, 2 * y as i64 - 1]));
        if let Some([first, last]) = ends(row.iter().copied()) {
            points.extend([[2 * first - 1, 2 * y as i64], [2 * last + 1, 2 * y as i64]]);
        }
        before = row;
    }
    points
}

/// The edges between the slices on both sides of an odd z, by y, then by x.
fn between(set: &VoxelSet, z: i64) -> Vec<PlanePoint> {
    let [_, rows, slices] = set.size();
    let empty = vec![0; set.words_per_row()];
    let row = |y: usize, z: i64| match usize::try_from(z) {
        Ok(z) if z < slices => set.row(y, z),
        _ => &empty,
    };
    let (below, above) = ((z - 1) / 2, (z + 1) / 2);
    let of_row = |y: usize| {
        let edges = ends(row(y, below).iter().zip(row(y, above)).map(|(one, other)| one ^ other));
        edges.into_iter().flatten().map(move |x| [2 * x, 2 * y as i64])
    };
    (0..rows).flat_map(of_row).collect()
}

/// The first and the last bit of a row.
fn ends(words: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + Clone) -> Option<[i64; 2]> {
    let (first, word) = words.clone().enumerate().find(|(_, word)| *word != 0)?;
    let low = first * WORD + word.trailing_zeros() as usize;
    let (last, word) = words.enumerate().rev().find(|(_, word)| *word != 0)?;
    let high = last * WORD + WORD - 1 - word.leading_zeros() as usize;
    Some([low as i64, high as i64])
}

impl HullPlane {
    fn of(set: &VoxelSet, z: i64) -> Option<HullPlane> {
        let corners = hull(if z % 2 == 0 { in_slice(set, z / 2) } else { between(set, z) });
        let first = *corners.first()?;
        let extreme = |of: fn(i64, i64) -> i64| {
            corners.iter().fold(first, |all, corner| [of(all[0], corner[0]), of(all[1], corner[1])])
        };
        let bounds = PlaneBox { z, low: extreme(i64::min), high: extreme(i64::max) };
        Some(HullPlane { bounds, corners })
    }
}

impl PlaneBox {
    /// The squared distance that no pair of corners exceeds, in mm².
    fn reach(&self, other: &PlaneBox, half: [f64; 3]) -> f64 {
        let across = |axis: usize| (self.high[axis] - other.low[axis]).max(other.high[axis] - self.low[axis]);
        squared([across(0), across(1), self.z], [0, 0, other.z], half)
    }

    /// The squared distance from a point that no corner exceeds, in mm².
    fn reach_from(&self, point: [i64; 3], half: [f64; 3]) -> f64 {
        let across = |axis: usize| (point[axis] - self.low[axis]).max(self.high[axis] - point[axis]);
        squared([across(0), across(1), point[2]], [0, 0, self.z], half)
    }
}

/// The corners of the convex hull by Andrew's monotone chain, from points by y, then by x.
fn hull(mut points: Vec<PlanePoint>) -> Vec<PlanePoint> {
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let chain = |points: &mut dyn Iterator<Item = PlanePoint>| {
        let mut chain: Vec<PlanePoint> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..]
                && turn(a, b, point) >= 0
            {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut corners = chain(&mut points.iter().copied());
    corners.extend(chain(&mut points.iter().rev().copied()));
    corners
}

/// Positive where the way from a over b to c turns left.
fn turn(a: PlanePoint, b: PlanePoint, c: PlanePoint) -> i64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All corners of the mesh, voxel by voxel.
    fn plain(set: &VoxelSet, spacing: [f64; 3]) -> f64 {
        let size = set.size();
        let mut corners = Vec::new();
        for index in 0..size.iter().product::<usize>() {
            let at = [index % size[0], index / size[0] % size[1], index / size[0] / size[1]];
            if !set.contains(at) {
                continue;
            }
            for (axis, step) in (0..3).flat_map(|axis| [(axis, -1), (axis, 1)]) {
                let mut next = at.map(|place| place as i64);
                next[axis] += step;
                let is_inside = (0..3).all(|axis| (0..size[axis] as i64).contains(&next[axis]))
                    && set.contains(next.map(|place| place as usize));
                if !is_inside {
                    let mut corner = at.map(|place| 2 * place as i64);
                    corner[axis] += step;
                    corners.push(corner);
                }
            }
        }
        let half = spacing.map(|mm| mm / 2.0);
        let pairs = corners.iter().flat_map(|a| corners.iter().map(move |b| squared(*a, *b, half)));
        pairs.fold(0.0, f64::max).sqrt()
    }

    #[test]
    fn the_hulls_have_the_farthest_corners() {
        let mut state = 7_u32;
        for (size, share) in [([70, 9, 6], 3), ([5, 4, 4], 60), ([3, 12, 8], 20), ([66, 3, 1], 5)] {
            for spacing in [[1.0, 1.0, 1.0], [0.3, 2.0, 3.0], [0.1, 0.1, 9.0]] {
                let mut set = VoxelSet::empty(size);
                for index in 0..size.iter().product::<usize>() {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if state >> 24 < share {
                        set.insert([index % size[0], index / size[0] % size[1], index / size[0] / size[1]]);
                    }
                }
                assert_eq!(diameter_mm(&set, spacing), plain(&set, spacing), "{size:?} {spacing:?}");
            }
        }
        assert_eq!(diameter_mm(&VoxelSet::empty([9, 9, 9]), [1.0; 3]), 0.0);
    }
}
