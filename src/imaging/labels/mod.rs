//! Label maps of other programs: which voxels are lung, as NIfTI, NRRD or DICOM Segmentation.
//!
//! A map is read as sets of voxels on its own grid, and then brought into the grid of a volume. Every size that
//! a file declares is bounded by the size of the volume before memory is taken for it, and compressed data are
//! read as a stream: a hostile file costs no more than that.
//!
//! | module | contents |
//! |---|---|
//! | `map`, `error` | a map as it was read, and why one cannot be read |
//! | `voxels` | the values of a map, read one after the other |
//! | `nifti`, `nrrd`, `segmentation` | the formats |
//! | `affine`, `placement` | where a map lies in the patient, and in a volume |

mod affine;
mod error;
mod map;
mod nifti;
mod nrrd;
mod placement;
mod segmentation;
mod voxels;

use crate::step::ResponseFile;

pub use self::error::LabelError;
pub use self::map::{LabelChoice, LabelRequest};
pub use self::placement::{PlacedLabels, PlacementExactness};

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
