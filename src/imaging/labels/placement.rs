//! Brings a label map into the grid of a volume.
//!
//! If the map has the voxels of the volume, in whatever order and directions of its axes, each label is copied.
//! Otherwise each voxel of the volume gets the label of the map's voxel that is nearest to its centre.

use rayon::prelude::*;

use super::affine::AffineMap;
use super::error::LabelError;
use super::map::{FoundLabels, LabelMap, OutsideMeaning, SETS};
use crate::imaging::bits::{VoxelBounds, WORD};
use crate::imaging::{Volume, VoxelSet};

/// The largest distance, in voxels of the map, between the centres of voxels that are the same.
const SAME_VOXELS: f64 = 0.1;
/// How far a voxel's centre may lie outside the map's voxels, in these.
const BEYOND_VOXELS: f64 = 0.5;

/// A label map in the grid of a volume.
#[derive(Debug)]
pub struct PlacedLabels {
    /// Right lung, left lung, airways.
    pub sets: [VoxelSet; SETS],
    pub labels: FoundLabels,
    pub exactness: PlacementExactness,
    pub remarks: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementExactness {
    /// The map has the voxels of the volume.
    Same,
    /// The map has other voxels: the nearest were taken.
    Nearest,
}

/// Where the voxels of a volume lie.
pub fn volume_to_patient(volume: &Volume) -> AffineMap {
    let steps = [0, 1, 2].map(|axis| volume.axes[axis].map(|along| along * volume.spacing[axis]));
    AffineMap::of_steps(volume.origin, steps)
}

/// # Errors
/// If the map does not cover the volume.
pub fn place(map: LabelMap, volume: &Volume) -> Result<PlacedLabels, LabelError> {
    let LabelMap { to_patient, sets, labels, outside, remarks } = map;
    let to_map = to_patient.inverse().after(&volume_to_patient(volume));
    let (to_map, exactness) = match whole(&to_map, volume.size) {
        Some(whole) => (whole, PlacementExactness::Same),
        None => (to_map, PlacementExactness::Nearest),
    };
    if outside == OutsideMeaning::Unknown {
        check_cover(&to_map, &to_patient, volume.size, sets[0].size())?;
    }
    // Where the map's voxels only cover those of the volume, the outermost reach a little further.
    let reach = match (outside, exactness) {
        (OutsideMeaning::Unknown, PlacementExactness::Nearest) => 1.0,
        (OutsideMeaning::Unknown, PlacementExactness::Same) | (OutsideMeaning::Background, _) => 0.0,
    };
    let sets = match is_identity(&to_map) && sets[0].size() == volume.size {
        true => sets,
        false => sets.map(|set| brought(&set, &to_map, volume.size, reach)),
    };
    Ok(PlacedLabels { sets, labels, exactness, remarks })
}

fn corners(size: [usize; 3]) -> impl Iterator<Item = [f64; 3]> {
    (0..8).map(move |corner| {
        std::array::from_fn(|axis| if corner >> axis & 1 == 1 { (size[axis] - 1) as f64 } else { 0.0 })
    })
}

/// The map in whole numbers, if it takes each voxel of the volume to the centre of one of the map's.
fn whole(to_map: &AffineMap, size: [usize; 3]) -> Option<AffineMap> {
    let whole = AffineMap {
        linear: to_map.linear.map(|row| row.map(f64::round)),
        offset: to_map.offset.map(f64::round),
    };
    let is_one = |line: [f64; 3]| line.iter().map(|one| one.abs()).sum::<f64>() == 1.0;
    let is_permutation =
        whole.linear.iter().all(|row| is_one(*row)) && (0..3).all(|axis| is_one(whole.step(axis)));
    let is_near = |corner: [f64; 3]| {
        let (exact, rounded) = (to_map.apply(corner), whole.apply(corner));
        exact.iter().zip(rounded).all(|(one, other)| (one - other).abs() <= SAME_VOXELS)
    };
    (is_permutation && corners(size).all(is_near)).then_some(whole)
}

fn is_identity(map: &AffineMap) -> bool {
    map.linear == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] && map.offset == [0.0; 3]
}

/// Whether the map's voxels cover those of the volume.
fn check_cover(
    to_map: &AffineMap,
    to_patient: &AffineMap,
    volume_size: [usize; 3],
    size: [usize; 3],
) -> Result<(), LabelError> {
    let mut beyond_mm = 0.0_f64;
    for corner in corners(volume_size) {
        let at = to_map.apply(corner);
        for axis in 0..3 {
            let last = (size[axis] - 1) as f64;
            let beyond = (-at[axis]).max(at[axis] - last) - 0.5;
            if beyond > BEYOND_VOXELS + SAME_VOXELS {
                let side = to_patient.step(axis).iter().map(|one| one * one).sum::<f64>().sqrt();
                beyond_mm = beyond_mm.max(beyond * side);
            }
        }
    }
    if beyond_mm > 0.0 { Err(LabelError::NotCovered(beyond_mm.max(1.0))) } else { Ok(()) }
}

/// The voxels of the volume whose nearest voxel of the map is in a set.
fn brought(set: &VoxelSet, to_map: &AffineMap, volume_size: [usize; 3], reach: f64) -> VoxelSet {
    let mut placed = VoxelSet::empty(volume_size);
    let Some(bounds) = set.bounds() else { return placed };
    let nearest = NearestVoxels { size: set.size(), bounds, reach, step: to_map.step(0) };
    let words_per_row = placed.words_per_row();
    placed.slices_mut().for_each(|(z, slice)| {
        for (y, words) in slice.chunks_exact_mut(words_per_row).enumerate() {
            let first = to_map.apply([0.0, y as f64, z as f64]);
            for x in 0..volume_size[0] {
                if nearest.of(first, x).is_some_and(|at| set.contains(at)) {
                    words[x / WORD] |= 1 << (x % WORD);
                }
            }
        }
    });
    placed
}

/// The voxels of a map along a row of the volume.
struct NearestVoxels {
    size: [usize; 3],
    /// Those that are in the set.
    bounds: VoxelBounds,
    /// How many voxels the outermost reach further.
    reach: f64,
    /// The way in the map from a voxel of the row to the next.
    step: [f64; 3],
}

impl NearestVoxels {
    fn of(&self, first: [f64; 3], x: usize) -> Option<[usize; 3]> {
        let mut at = [0; 3];
        for axis in 0..3 {
            let place = (first[axis] + self.step[axis] * x as f64).round();
            let last = (self.size[axis] - 1) as f64;
            if !(-self.reach..=last + self.reach).contains(&place) {
                return None;
            }
            at[axis] = place.clamp(0.0, last) as usize;
            if !(self.bounds.low[axis]..self.bounds.high[axis]).contains(&at[axis]) {
                return None;
            }
        }
        Some(at)
    }
}
