//! Label maps of other programs: which voxels are lung, as NIfTI, NRRD or DICOM Segmentation.
//!
//! A map is read as sets of voxels on its own grid, and then brought into the grid of a volume. Every size that
//! a file declares is bounded by the size of the volume before memory is taken for it, and compressed data are
//! read as a stream: a hostile file costs no more than that.
//!
//! | module | contents |
//! |---|---|
//! | `voxels` | the values of a map, read one after the other |
//! | `nifti`, `nrrd`, `segmentation` | the formats |
//! | `affine`, `placement` | where a map lies in the patient, and in a volume |

mod affine;
mod nifti;
mod nrrd;
mod placement;
mod segmentation;
mod voxels;

use std::collections::BTreeSet;

use crate::step::ResponseFile;

use self::affine::AffineMap;
use super::bits::WORD;
use super::{SortedSeries, Volume, VoxelSet};

pub use self::placement::{PlacedLabels, PlacementExactness};

/// Sets that a label map is read into: right lung, left lung, airways.
pub const SETS: usize = 3;

/// The labels of each set.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelChoice(pub [Vec<f64>; SETS]);

impl LabelChoice {
    /// The sets that a label belongs to, one bit each.
    fn sets_of(&self, label: f64) -> u8 {
        let bit = |set: usize| u8::from(self.0[set].contains(&label)) << set;
        (0..SETS).map(bit).sum()
    }
}

/// A label map on its own grid.
#[derive(Debug)]
struct LabelMap {
    /// From an index to patient coordinates (x to the left, y to the back, z to the head) in mm.
    to_patient: AffineMap,
    sets: [VoxelSet; SETS],
    labels: FoundLabels,
    outside: OutsideMeaning,
    remarks: Vec<String>,
}

/// The meaning of a place that a map does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutsideMeaning {
    Unknown,
    /// Nothing is labelled there: a Segmentation leaves out frames without voxels.
    Background,
}

/// The labels that occur, for messages; no more than a few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundLabels(BTreeSet<i64>);

impl FoundLabels {
    const MOST: usize = 24;

    fn add(&mut self, label: f64) {
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

#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    #[error("it is neither NIfTI nor NRRD nor a DICOM Segmentation object")]
    UnknownFormat,
    #[error("it is cut off in its header")]
    HeaderCutOff,
    #[error("it is cut off: its header declares {declared} bytes of voxels")]
    CutOff { declared: u64 },
    #[error("its compressed data are damaged: {0}")]
    Compression(std::io::Error),
    #[error("it is longer than its header says")]
    TooLong,
    #[error("it declares {0}, and the series has {1} voxels: a map of at most {most} times as many is read", most = VOXELS_TO_VOLUME_MOST)]
    TooLarge(String, usize),
    #[error("its header is not valid: {0}")]
    Header(String),
    #[error("{0} is not supported")]
    Unsupported(String),
    #[error("it does not say where it lies in the patient: {0}")]
    NoPlace(&'static str),
    #[error("it has the value {0}, and labels are whole numbers: a map of probabilities is no label map")]
    NotWhole(f64),
    #[error("it does not cover the series: {0:.0} mm of the images lie outside of it")]
    NotCovered(f64),
    #[error("it belongs to another frame of reference than the series, and lies on none of its slices")]
    OtherFrameOfReference,
    #[error("the file {0:?} with its voxels is not there")]
    NoData(String),
}

/// The most voxels of a map for each voxel of the volume: thin slices of a map for thick ones of a series.
const VOXELS_TO_VOLUME_MOST: usize = 8;
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
    fn voxel_count(&self, size: [u64; 3]) -> Result<usize, LabelError> {
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

/// Whether a file has the name of a label map.
pub fn is_label_map_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".nii", ".nii.gz", ".nrrd", ".nhdr", ".dcm"].iter().any(|end| name.ends_with(end))
}

/// Reads a label map and brings it into the grid of the volume.
///
/// # Errors
/// If it is no label map, is damaged, or does not cover the volume.
pub fn read_labels(file: &ResponseFile, request: &LabelRequest) -> Result<PlacedLabels, LabelError> {
    let bytes = &file.bytes[..];
    if bytes.starts_with(b"NRRD") {
        return placement::place(nrrd::read(file, request)?, request.volume);
    }
    if bytes.get(128..132) == Some(b"DICM") {
        return segmentation::read(bytes, request);
    }
    placement::place(nifti::read(bytes, request)?, request.volume)
}
