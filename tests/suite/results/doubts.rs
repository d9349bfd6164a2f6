//! Studies whose results are perhaps wrong, through the calculations of `ct-lung`: each says so, and the unchanged chest
//! does not.

use std::path::{Path, PathBuf};

use flow::step::StepReservations;

use super::peers::python;
use super::real::calculate;
use crate::support::data::{Data, files_below};
use crate::support::scripts::has;

/// Writes a chest with a block of mirrored slices, one with a contrast agent in the heart, which also lies prone and is
/// called supine, one that has lost two slices and has even positions, one with wrapped numbers, and an abdomen whose
/// bowel holds stool.
const CHANGE: &str = r#"
import sys, pathlib, copy, numpy as np, pydicom
source, out = map(pathlib.Path, sys.argv[1:])
slices = sorted((pydicom.dcmread(path) for path in source.iterdir()), key=lambda s: s.ImagePositionPatient[2])
volume = np.stack([s.pixel_array for s in slices])
intercept, kind = int(slices[0].RescaleIntercept), volume.dtype
def write(name, volume):
    (out / name).mkdir()
    for index, (s, image) in enumerate(zip(slices, volume)):
        s = copy.deepcopy(s)
        s.PixelData = np.ascontiguousarray(image.astype(kind)).tobytes()
        s.save_as(out / name / f"{index:03}.dcm")
block = volume.copy()
block[30:38] = block[30:38, :, ::-1]
write("block", block)
bright = volume.astype(int)
heart = bright[:, 16:36, 20:44]
heart[(heart > -intercept - 20) & (heart < -intercept + 110)] += 200
write("prone", bright[:, ::-1, ::-1])
write("contrast", bright)
write("lost", np.concatenate([volume[:37], volume[39:]]))
wrapped = volume.astype(int)
wrapped[(wrapped < -600 - intercept) & (np.random.default_rng(7).random(volume.shape) < 0.003)] = 3071 - intercept
write("wrapped", wrapped)
y, x = (np.mgrid[:64, :64] - 31.5) * float(slices[0].PixelSpacing[0])
blobs = np.random.default_rng(5).normal(-550, 200, (20, 16, 16)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
body = np.where((x / 130) ** 2 + (y / 100) ** 2 < 1, 40, -1000)
abdomen = np.stack([body] * len(slices)) + np.random.default_rng(6).normal(0, 10, volume.shape).astype(int)
for side in (-70, 70):
    loop = ((x - side) / 36) ** 2 + (y / 44) ** 2 < 1
    for z in range(10, 70):
        abdomen[z][loop] = np.clip(blobs[z][loop], -1000, -150)
abdomen[:, x ** 2 + (y - 70) ** 2 < 20 ** 2] = 500
write("abdomen", np.maximum(abdomen, -1020) - intercept)
"#;

/// The codes of the reservations for the study in a folder.
fn codes(folder: &Path) -> Vec<String> {
    let files: Vec<PathBuf> = files_below(folder);
    let reservations = calculate(&files).run("assess-quality", "reservations");
    let reservations: &StepReservations = reservations.get().expect("reservations");
    reservations.0.iter().map(|one| one.code.clone()).collect()
}

#[test]
fn results_that_are_perhaps_wrong_say_so() {
    let Some(data) = Data::unpack("ct-chest-cip64") else { return };
    if has("pydicom").is_none() {
        return;
    }
    let chest = data.path().join("ct-chest-cip64/ct-64Dicom");
    let folder = tempfile::tempdir().expect("a temporary folder");
    python(CHANGE, &[chest.as_path(), folder.path()]);
    let doubts = [
        "foreign_slices",
        "orientation",
        "perhaps_no_lung",
        "contrast_agent",
        "lost_slices",
        "wrapped_numbers",
    ];
    let said = |folder: &Path| -> Vec<String> {
        codes(folder).into_iter().filter(|code| doubts.contains(&code.as_str())).collect()
    };
    assert_eq!(said(&chest), [] as [&str; 0]);
    for (name, code) in ["block", "prone", "abdomen", "contrast", "lost", "wrapped"].into_iter().zip(doubts) {
        let said = said(&folder.path().join(name));
        assert!(said.iter().any(|one| one == code), "{name}: {said:?}");
    }
}
