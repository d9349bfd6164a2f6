//! Label maps that are damaged, hostile or cannot be right are refused by name.

use std::io::Write;

use flow::imaging::Lungs;
use flow::step::{ParameterValue, ResponseFile, ResponseFiles};

use super::{lopsided, nifti, own_labels, taken};
use crate::results::sample::{SIZE, Values, study};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// The reason why a map with this name is refused.
fn refused(values: &Values, name: &str, bytes: Vec<u8>) -> String {
    let map = ResponseFile::new(name, "application/octet-stream", bytes);
    let fault = taken(values, vec![map], &[]).expect_err("it is refused");
    assert!(fault.reason.contains(name), "the file is named: {fault:?}");
    fault.reason
}

#[test]
fn damaged_and_hostile_nifti_files_are_refused_by_name() {
    let values = lopsided();
    let labels = own_labels(&values);
    let whole = nifti(&values, &labels, |_| {});
    let with = |change: &dyn Fn(&mut [u8])| nifti(&values, &labels, change);
    let put = |at: usize, bytes: &'static [u8]| {
        with(&move |header| header[at..at + bytes.len()].copy_from_slice(bytes))
    };
    let bomb = {
        let mut bomb = whole.clone();
        bomb.resize(256 << 20, 0);
        gzip(&bomb)
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty.nii", Vec::new(), "neither NIfTI nor NRRD"),
        ("text.nii", b"right lung: 1, left lung: 2".repeat(40), "neither NIfTI nor NRRD"),
        ("short.nii", whole[..100].to_vec(), "cut off in its header"),
        ("cut.nii", whole[..whole.len() - 1].to_vec(), "it is cut off: its header declares 24000 bytes"),
        ("long.nii", [whole.clone(), vec![0; 9]].concat(), "longer than its header says"),
        ("cut.nii.gz", gzip(&whole)[..200].to_vec(), "cut off"),
        ("bomb.nii.gz", bomb, "longer than its header says"),
        ("magic.nii", put(344, b"n+9\0"), "neither NIfTI nor NRRD"),
        ("pair.nii", put(344, b"ni1\0"), "a pair of files"),
        ("overflow.nii", put(42, &[0xFF, 0x7F, 0xFF, 0x7F, 0xFF, 0x7F]), "32767 × 32767 × 32767 voxels"),
        ("negative.nii", put(42, &[0xFE, 0xFF]), "its dimensions are"),
        ("empty-axis.nii", put(42, &[0, 0]), "its dimensions are"),
        ("count.nii", put(40, &[9, 0]), "its dimensions are"),
        ("time.nii", put(40, &[4, 0, 40, 0, 30, 0, 20, 0, 7, 0]), "a map of 4 dimensions"),
        ("colour.nii", put(70, &[128, 0]), "the NIfTI data type 128"),
        ("placeless.nii", put(254, &[0, 0]), "where it lies"),
        ("flat.nii", put(280, &[0; 12]), "no grid of voxels"),
        ("infinite.nii", put(292, &[0, 0, 0x80, 0x7F]), "no grid of voxels"),
        ("offset.nii", put(108, &[0, 0, 0x80, 0xBF]), "its voxels begin at byte -1"),
        ("nowhere.nii", put(108, &[0, 0, 0xC0, 0x7F]), "its voxels begin at byte NaN"),
        (
            "image.dcm",
            [vec![0; 128], b"DICM".to_vec()].concat(),
            "neither NIfTI nor NRRD nor a DICOM Segmentation",
        ),
    ];
    for (name, bytes, reason) in cases {
        let said = refused(&values, name, bytes);
        assert!(said.contains(reason), "{name}: {said}");
    }
    taken(&values, vec![ResponseFile::new("a.nii", "", whole)], &[]).expect("the plain file is read");
}

#[test]
fn damaged_and_hostile_nrrd_files_are_refused_by_name() {
    let values = lopsided();
    let nrrd = |fields: &str| format!("NRRD0004\n{fields}\n\n").into_bytes();
    let space = "space: lps\nspace directions: (2,0,0) (0,2,0) (0,0,5)\nspace origin: (0,0,0)\n";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "bomb.nrrd",
            nrrd(&format!(
                "type: uchar\ndimension: 3\nsizes: 4000000000 4000000000 4000000000\nencoding: gzip\n{space}"
            )),
            "4000000000 × 4000000000 × 4000000000 voxels",
        ),
        (
            "thin.nrrd",
            nrrd(&format!("type: uchar\ndimension: 3\nsizes: 1 1000 1000\nencoding: raw\n{space}")),
            "1 × 1000 × 1000 voxels",
        ),
        (
            "negative.nrrd",
            nrrd(&format!("type: uchar\ndimension: 3\nsizes: -1 2 3\nencoding: raw\n{space}")),
            "its sizes are \"-1 2 3\"",
        ),
        (
            "layers.nrrd",
            nrrd(&format!("type: uchar\ndimension: 4\nsizes: 2 4 4 4\nencoding: raw\n{space}")),
            "dimension \"4\"",
        ),
        ("placeless.nrrd", nrrd("type: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw"), "where it lies"),
        (
            "bzip2.nrrd",
            nrrd(&format!("type: uchar\ndimension: 3\nsizes: 40 30 20\nencoding: bzip2\n{space}")),
            "the NRRD encoding \"bzip2\"",
        ),
        ("cut.nrrd", b"NRRD0004\ntype: uchar\n".to_vec(), "cut off in its header"),
        (
            "beside.nhdr",
            nrrd(&format!(
                "type: uchar\ndimension: 3\nsizes: 40 30 20\nencoding: raw\n{space}data file: /etc/passwd"
            )),
            "the file \"/etc/passwd\" with its voxels is not there",
        ),
    ];
    for (name, bytes, reason) in cases {
        let said = refused(&values, name, bytes);
        assert!(said.contains(reason), "{name}: {said}");
    }
}

#[test]
fn a_damaged_segmentation_is_refused_by_name() {
    let values = study();
    let object = values.run("write-segmentation", "files");
    let whole = object.get::<ResponseFiles>().expect("files").0[0].bytes.to_vec();
    let said = refused(&values, "cut.dcm", whole[..whole.len() - 200].to_vec());
    assert!(said.contains("cut off"), "{said}");
    let said = refused(&values, "header.dcm", whole[..1000].to_vec());
    assert!(said.contains("header is not valid") || said.contains("not supported"), "{said}");
    let changed = |from: &[u8], to: &[u8]| {
        let mut bytes = whole.clone();
        let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let said = refused(&values, "kind.dcm", changed(b"BINARY", b"FRACTI"));
    assert!(said.contains("a segmentation of type \"FRACTI\""), "{said}");
}

#[test]
fn labels_that_cannot_be_right_are_refused() {
    let values = lopsided();
    let labels = own_labels(&values);
    let swapped = nifti(&values, |at| [0, 2, 1][usize::from(labels(at))], |_| {});
    assert!(refused(&values, "swapped.nii", swapped).contains("has the right lung on the patient's left"));
    // Rows from back to front, without saying so: what is labelled is tissue in part.
    let upside_down = nifti(&values, |[x, y, z]| labels([x, y, SIZE[2] - 1 - z]), |_| {});
    let map = ResponseFile::new("upside-down.nii", "", upside_down);
    let lungs = taken(&values, vec![map], &[]).expect("it is air in part");
    assert!(lungs.reservations.0.iter().any(|one| one.code == "labels_disagree"), "{:?}", lungs.reservations);
    let aside = nifti(&values, |[x, y, z]| u8::from(y > 26 && x < 9 && z > 4), |_| {});
    assert!(refused(&values, "aside.nii", aside).contains("it does not lie on the lung"));
    let others = nifti(&values, |at| labels(at) * 10, |_| {});
    let said = refused(&values, "others.nii", others);
    assert!(said.contains("has no voxels of the labels 1 (right lung) or 2 (left lung)"), "{said}");
    assert!(said.contains("it has the labels 10, 20"), "{said}");
    let probability = nifti(&values, &labels, |header| {
        header[112..120].copy_from_slice(&[0.3_f32.to_le_bytes(), 0_f32.to_le_bytes()].concat());
    });
    assert!(refused(&values, "probability.nii", probability).contains("labels are whole numbers"));
}

#[test]
fn lobes_are_joined_and_the_file_is_chosen_by_name() {
    let values = lopsided();
    let labels = own_labels(&values);
    let lobes = nifti(
        &values,
        |at| [0, 12, 10][usize::from(labels(at))] + u8::from(at[2] > 9 && labels(at) > 0),
        |_| {},
    );
    let map = |name: &str| ResponseFile::new(name, "", lobes.clone());
    let numbers = |name, labels: &[f64]| (name, ParameterValue::Numbers(labels.to_vec()));
    let settings = [numbers("right", &[12.0, 13.0]), numbers("left", &[10.0, 11.0])];
    let lungs = taken(&values, vec![map("a.nii"), map("log.txt")], &settings).expect("one is a label map");
    let own = values.0["lungs"].get::<Lungs>().expect("lungs");
    assert!(lungs.right == own.right && lungs.left == own.left);
    let fault = taken(&values, vec![map("a.nii"), map("b.nii.gz")], &settings).expect_err("two");
    assert_eq!(fault.reason, "several files may be the label map: a.nii, b.nii.gz");
    let named = ("file", ParameterValue::Text("log.txt".to_owned()));
    taken(&values, vec![map("a.nii"), map("log.txt")], &[settings[0].clone(), settings[1].clone(), named])
        .expect("the named file is read");
    let fault = taken(&values, vec![map("log.txt")], &settings).expect_err("none by its name");
    assert_eq!(fault.reason, "no file is a label map by its name: the files are log.txt");
    let twice = [numbers("right", &[1.0, 2.0])];
    let fault = taken(&values, vec![map("a.nii")], &twice).expect_err("2 is left and right");
    assert_eq!(fault.reason, "the label 2 is given twice");
}
