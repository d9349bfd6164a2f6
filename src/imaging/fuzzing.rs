//! Entry point for the target in `fuzz`: a label map of another program.

use std::sync::OnceLock;

use crate::step::ResponseFile;

use super::labels::{LabelChoice, LabelRequest, read_labels};
use super::sample::header;
use super::{SortedSeries, Volume};

/// Columns, rows and slices of the images that the map is for.
const SIZE: [usize; 3] = [4, 3, 4];

/// A NIfTI, NRRD or DICOM Segmentation file. Voxels that a header has elsewhere are found as `voxels.raw`.
pub fn labels(bytes: &[u8]) -> bool {
    static STUDY: OnceLock<(SortedSeries, Volume)> = OnceLock::new();
    let (series, volume) = STUDY.get_or_init(study);
    let file = ResponseFile::new("map", "application/octet-stream", bytes.to_vec());
    let voxels: usize = SIZE.iter().product();
    let beside = ResponseFile::new("voxels.raw", "application/octet-stream", vec![1; voxels]);
    let choice = LabelChoice([vec![1.0, 3.0], vec![2.0], vec![4.0]]);
    let files = [file, beside];
    let request = LabelRequest { choice: &choice, series, volume, files: &files };
    match read_labels(&files[0], &request) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
        Ok(placed) => {
            for set in &placed.sets {
                assert_eq!(set.size(), SIZE, "it has the grid of the volume");
                assert!(set.count() <= voxels as u64, "no voxel lies outside");
            }
            assert!(!placed.labels.words().is_empty());
            true
        }
    }
}

fn study() -> (SortedSeries, Volume) {
    let series = SortedSeries {
        slices: (0..SIZE[2]).map(header).collect(),
        slice_spacing: 1.0,
        shifts: Vec::new(),
        remarks: Vec::new(),
        reservations: Vec::new(),
    };
    let volume = Volume {
        voxels: vec![0; SIZE.iter().product()].into(),
        size: SIZE,
        spacing: [0.5, 0.5, 1.0],
        origin: [-2.0, -1.5, 0.0],
        axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    };
    (series, volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_maps_do_no_harm() {
        crate::fuzzed::check("labels", labels);
    }
}
