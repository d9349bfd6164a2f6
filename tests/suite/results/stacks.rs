//! Sagittal and coronal slices of a real chest: they are refused by name, and left out beside axial ones.

use std::path::{Path, PathBuf};

use flow::imaging::steps::sort_series::sort_series;
use flow::imaging::{InstanceHeader, SortedSeries};
use flow::step::Fault;

use super::peers::python;
use crate::support::data::{Data, files_below};
use crate::support::scripts::has;

/// Writes the volume of axial slices as sagittal and as coronal ones, in series of their own.
const RESLICE: &str = r#"
import sys, pathlib, copy, numpy as np, pydicom
source, out = map(pathlib.Path, sys.argv[1:])
slices = sorted((pydicom.dcmread(path) for path in source.iterdir()), key=lambda s: s.ImagePositionPatient[2])
volume = np.stack([s.pixel_array for s in slices])
row, column = slices[0].PixelSpacing
x, y, z = slices[0].ImagePositionPatient
pitch = slices[1].ImagePositionPatient[2] - z
def write(name, number, image, index, place, orientation, spacing, thickness):
    s = copy.deepcopy(slices[0])
    s.SeriesInstanceUID, s.SeriesNumber, s.SeriesDescription = f"1.2.{number}", number, name
    s.SOPInstanceUID = s.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}.{index + 1}"
    s.InstanceNumber, s.ImagePositionPatient, s.ImageOrientationPatient = index + 1, place, orientation
    s.PixelSpacing, s.SliceThickness = spacing, thickness
    s.Rows, s.Columns = image.shape
    s.PixelData = np.ascontiguousarray(image).tobytes()
    (out / name).mkdir(exist_ok=True)
    s.save_as(out / name / f"{index:03}.dcm")
top = z + pitch * (len(slices) - 1)
for index in range(volume.shape[1]):
    place = [x, y + row * index, top]
    write("coronal", 71, volume[::-1, index, :], index, place, [1, 0, 0, 0, 0, -1], [pitch, column], row)
for index in range(volume.shape[2]):
    place = [x + column * index, y, top]
    write("sagittal", 72, volume[::-1, :, index], index, place, [0, 1, 0, 0, 0, -1], [pitch, row], column)
"#;

fn sorted(folders: &[&Path]) -> Result<SortedSeries, Fault> {
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| files_below(folder)).collect();
    let headers = files.iter().map(|path| InstanceHeader::read(&path.display().to_string(), path));
    let headers: Vec<InstanceHeader> = headers.collect::<Result<_, _>>()?;
    sort_series(&headers.iter().collect::<Vec<_>>(), 10)
}

#[test]
fn sagittal_and_coronal_stacks_of_a_real_chest_are_refused_by_name() {
    let Some(data) = Data::unpack("ct-chest-cip64") else { return };
    if has("pydicom").is_none() {
        return;
    }
    let axial = data.path().join("ct-chest-cip64/ct-64Dicom");
    let folder = tempfile::tempdir().expect("a temporary folder");
    python(RESLICE, &[axial.as_path(), folder.path()]);
    let stack = |name: &str| folder.path().join(name);
    for name in ["coronal", "sagittal"] {
        let fault = sorted(&[&stack(name)]).expect_err("it is no axial series");
        assert!(fault.reason.starts_with("the study has no axial CT slices (series 7"), "{fault:?}");
        assert!(fault.reason.contains(&format!("64 instances left out, {name} slices")), "{fault:?}");
        assert_eq!(
            fault.remedy,
            "Send the axial series from which sagittal, coronal and oblique slices are made."
        );
    }
    let series =
        sorted(&[&stack("coronal"), &axial, &stack("sagittal")]).expect("the axial series is chosen");
    assert_eq!(series.slices.len(), 79);
    for name in ["coronal", "sagittal"] {
        let said = format!("64 instances left out, {name} slices");
        assert!(series.remarks.iter().any(|remark| remark.contains(&said)), "{:?}", series.remarks);
    }
}
