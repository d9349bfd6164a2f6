//! A label map on its own grid, and what it is read for.

use std::collections::BTreeSet;

use super::affine::AffineMap;
use super::error::{LabelError, VOXELS_TO_VOLUME_MOST};
use crate::imaging::bits::WORD;
use crate::imaging::{SortedSeries, Volume, VoxelSet};
use crate::step::ResponseFile;

/// Sets that a label map is read into: right lung, left lung, airways.
pub const SETS: usize = 3;

/// The labels of each set.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelChoice(pub [Vec<f64>; SETS]);

impl LabelChoice {
    /// The sets that a label belongs to, one bit each.
    pub fn sets_of(&self, label: f64) -> u8 {
        let bit = |set: usize| u8::from(self.0[set].contains(&label)) << set;
        (0..SETS).map(bit).sum()
    }
}

/// A label map on its own grid.
#[derive(Debug)]
pub struct LabelMap {
    /// From an index to patient coordinates (x to the left, y to the back, z to the head) in mm.
    pub to_patient: AffineMap,
    pub sets: [VoxelSet; SETS],
    pub labels: FoundLabels,
    pub outside: OutsideMeaning,
    pub remarks: Vec<String>,
}

/// The meaning of a place that a map does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutsideMeaning {
    Unknown,
    /// Nothing is labelled there: a Segmentation leaves out frames without voxels.
    Background,
}

/// The labels that occur, for messages; no more than a few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundLabels(BTreeSet<i64>);

impl FoundLabels {
    const MOST: usize = 24;

    pub fn add(&mut self, label: f64) {
        if label != 0.0 && self.0.len() < FoundLabels::MOST {
            self.0.insert(label as i64);
        }
    }

    /// The labels in words that fit after "it has".
    pub fn words(&self) -> String {
        let numbers: Vec<String> = self.0.iter().map(i64::to_string).collect();
        match numbers.len() {
            0 => "no labels".to_owned(),
            FoundLabels::MOST => format!("the labels {} and others", numbers.join(", ")),
            1 => format!("the label {}", numbers[0]),
            _ => format!("the labels {}", numbers.join(", ")),
        }
    }
}

/// A map of so many voxels is read for any volume.
const VOXELS_FREE: usize = 1 << 20;
/// The longest axis: longer ones are in no format of images.
const AXIS_MOST: u64 = 1 << 16;
/// The most of a set's bits for each voxel that is read: rows are padded to whole words.
const PADDING_MOST: u64 = 2;

/// What a map is read for: the labels that are wanted, the images, and the other files beside it.
#[derive(Clone, Copy)]
pub struct LabelRequest<'a> {
    pub choice: &'a LabelChoice,
    pub series: &'a SortedSeries,
    pub volume: &'a Volume,
    /// Files among which a detached header finds its voxels.
    pub files: &'a [ResponseFile],
}

impl LabelRequest<'_> {
    /// The number of voxels of a size that a file declares.
    pub fn voxel_count(&self, size: [u64; 3]) -> Result<usize, LabelError> {
        let volume_voxels = self.volume.size.iter().product::<usize>();
        let most = volume_voxels.saturating_mul(VOXELS_TO_VOLUME_MOST).max(VOXELS_FREE) as u64;
        let is_short = size.iter().all(|axis| *axis <= AXIS_MOST);
        let product = |size: [u64; 3]| size.into_iter().try_fold(1_u64, u64::checked_mul);
        let bits = |[x, y, z]: [u64; 3]| product([x.next_multiple_of(WORD as u64), y, z]);
        let count = Some(size).filter(|_| is_short).and_then(product);
        let fits = |count: &u64| *count <= most && bits(size).is_some_and(|bits| bits <= PADDING_MOST * most);
        match count.filter(fits) {
            Some(0) => Err(LabelError::Header(format!("its size is {size:?}"))),
            Some(count) => Ok(count as usize),
            None => {
                let [x, y, z] = size;
                Err(LabelError::TooLarge(format!("{x} × {y} × {z} voxels"), volume_voxels))
            }
        }
    }
}
