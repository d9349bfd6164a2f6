//! The overlay series: pixel by pixel where the source's slices lie, for viewers that scroll both together.

use std::path::PathBuf;

use flow::dicom::{DicomObject, send};
use flow::imaging::{InstanceHeader, SortedSeries};
use flow::step::Value;
use serde_json::json;

use super::peers::{dciodvfy, python};
use super::sample::{SIZE, deliver, series, study};
use crate::support::data::files_below;
use crate::support::orthanc::Orthanc;

/// Slices 4 to 17 of the sample study show the lungs.
fn overlay(series: Option<SortedSeries>) -> (tempfile::TempDir, Vec<PathBuf>) {
    let mut values = study();
    if let Some(series) = series {
        values.0.insert("series", Value::new(series));
    }
    let folder = deliver(&[values.run("write-overlay", "files")]);
    let files = files_below(&folder.path().join("overlay"));
    (folder, files)
}

#[test]
fn the_slices_in_colour_lie_on_those_of_the_source() {
    let (folder, files) = overlay(None);
    assert_eq!(files.len(), 14);
    files.iter().for_each(|file| dciodvfy(file));
    python(
        r#"
import sys, pathlib, pydicom, numpy as np
files = [pydicom.dcmread(path) for path in sorted(pathlib.Path(sys.argv[1]).iterdir())]
assert len({f.SeriesInstanceUID for f in files}) == 1 and len({f.SOPInstanceUID for f in files}) == 14
assert {f.FrameOfReferenceUID for f in files} == {"1.2.3.5"} and {f.StudyInstanceUID for f in files} == {"1.2.3"}
for z, f in enumerate(files, 3):
    assert f.InstanceNumber == z + 1
    assert list(f.ImagePositionPatient) == [0, 0, 5 * z] and list(f.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert list(f.PixelSpacing) == [2, 2] and f.SliceThickness == 5
    source, = f.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == f"1.2.3.4.{z + 1}"
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    rgb = f.pixel_array
    assert rgb.shape == (30, 40, 3)
    grey = (rgb == rgb[:, :, :1]).all(2)
    assert grey[:, :5].all() and grey[:8].all(), "what is no lung is grey"
    assert not grey[8:22, 6:16].any() and not grey[8:22, 24:34].any(), "both lungs are in colour"
    right, left, outline = rgb[12, 11].astype(int), rgb[12, 29].astype(int), rgb[8, 10].astype(int)
    assert right[0] > right[2] and left[2] > left[0], (right, left)
    assert outline[0] > 200, outline
# One voxel in 16 has −970 HU.
low = sum(int((f.pixel_array[9:21, 7:15, 0].astype(int) - f.pixel_array[9:21, 7:15, 1] > 40).sum()) for f in files)
assert low == 14 * 12 * 8 // 16, low
"#,
        &[&folder.path().join("overlay")],
    );
    let header = InstanceHeader::read("overlay", &files[0]).expect("it is DICOM");
    assert!(header.is_own_result && !header.is_ct_image(), "it is not taken for a source");
}

#[test]
fn slices_that_lie_aside_keep_their_own_place() {
    let mut tilted = series();
    // The volume holds the slices where they lie; here only the positions differ.
    for (z, slice) in tilted.slices.iter_mut().enumerate() {
        slice.position = Some([0.25, 1.0 / 3.0 + z as f64, 5.0 * z as f64]);
        slice.frame_of_reference_uid.clear();
        slice.sop_class_uid = "1.2.840.10008.5.1.4.1.1.2.1".to_owned();
        slice.frame = Some(z);
    }
    let (folder, files) = overlay(Some(tilted));
    assert_eq!(files.len(), SIZE[2] - 6);
    dciodvfy(&files[0]);
    python(
        r#"
import sys, pathlib, pydicom
files = [pydicom.dcmread(path) for path in sorted(pathlib.Path(sys.argv[1]).iterdir())]
assert len({f.FrameOfReferenceUID for f in files}) == 1, "an own frame of reference where the source has none"
for z, f in enumerate(files, 3):
    assert abs(f.ImagePositionPatient[1] - (1 / 3 + z)) < 1e-12, f.ImagePositionPatient
    assert f.SourceImageSequence[0].ReferencedFrameNumber == z + 1
"#,
        &[&folder.path().join("overlay")],
    );
}

#[test]
fn orthanc_takes_the_series_and_sorts_it_by_place() {
    let Some(orthanc) = Orthanc::with(json!({})) else { return };
    let (_folder, files) = overlay(None);
    let read = |path: &PathBuf| std::fs::read(path).expect("the file is there");
    let objects = files.iter().map(|path| DicomObject::read(path.display().to_string(), read(path).into()));
    let objects: Vec<DicomObject> = objects.collect::<Result<_, _>>().expect("they are DICOM");
    let sent = send(&orthanc.node, &objects).expect("Orthanc takes them");
    assert!(sent.iter().all(|one| one.outcome.is_stored()), "{sent:?}");
    let series = orthanc.get("/series");
    let id = series[0].as_str().expect("a series");
    let sorted = orthanc.get(&format!("/series/{id}/ordered-slices"));
    assert_eq!(sorted["Type"], "Volume", "{sorted}");
    assert_eq!(sorted["Dicom"].as_array().map(Vec::len), Some(files.len()), "{sorted}");
    let instances = orthanc.get("/instances");
    let id = instances[0].as_str().expect("an instance");
    assert!(orthanc.bytes(&format!("/instances/{id}/preview")).starts_with(b"\x89PNG"), "it is rendered");
}

/// A picture of a slice, for people to look at: with `FLOW_PICTURES=FOLDER` it is kept there.
#[test]
fn the_overlay_of_a_real_chest_can_be_looked_at() {
    let Some(kept) = std::env::var_os("FLOW_PICTURES") else { return };
    let Some(data) = crate::support::data::Data::unpack("ct-chest-lidc0314") else { return };
    let values = super::real::calculate(&data.files(""));
    let folder = deliver(&[values.run("write-overlay", "files")]);
    let files = files_below(&folder.path().join("overlay"));
    dciodvfy(&files[files.len() / 2]);
    let script = r#"
import sys, pathlib, pydicom
from PIL import Image
files = sorted(pathlib.Path(sys.argv[1]).iterdir())
for share in (0.3, 0.55, 0.8):
    path = files[int(share * len(files))]
    Image.fromarray(pydicom.dcmread(path).pixel_array).save(pathlib.Path(sys.argv[2]) / f"{path.stem}.png")
"#;
    python(script, &[&folder.path().join("overlay"), &PathBuf::from(kept)]);
}
