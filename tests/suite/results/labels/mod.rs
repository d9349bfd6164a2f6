//! `lungs-from-labels`: label maps that other people's libraries write from flow's own lungs, in many forms and
//! orientations, give the same lungs to the voxel; and files that are no label maps are refused by name.

mod refused;

use std::path::Path;

use flow::imaging::{Lungs, SortedSeries, Volume, VoxelSet};
use flow::step::{
    Call, CancelToken, Digest, Fault, ParameterValue, ResponseFile, ResponseFiles, ResultIdentity,
    StepInputs, StepParameters, StepTable, UnrecordedCalls, Value, WiredInput,
};

use super::peers::{dciodvfy, python};
use super::real;
use super::sample::{SIZE, Values, deliver, series, study};
use crate::support::data::files_below;
use crate::support::scripts::has;

/// Two lungs of other shapes in every direction, airways between them, and air where they are.
fn lopsided() -> Values {
    let label = |[x, y, z]: [usize; 3]| match (x, y, z) {
        (5..=16, 6..=23, 3..=16) if x + y > 14 && 2 * z > x => 1,
        (18..=20, 5..=7, 6..=18) => 3,
        (23..=35, 4..=21, 2..=14) if y + 2 * z > x - 15 => 2,
        _ => 0,
    };
    let at = |index: usize| [index % SIZE[0], index / SIZE[0] % SIZE[1], index / SIZE[0] / SIZE[1]];
    let labels: Vec<u8> = (0..SIZE.iter().product()).map(|index| label(at(index))).collect();
    let set = |wanted: u8| VoxelSet::of(SIZE, |index| labels[index] == wanted);
    let mut values = study();
    let volume = values.0["volume"].get::<Volume>().expect("a volume").clone();
    let hu = |label: &u8| if *label == 0 { 40 } else { -860 };
    let voxels = labels.iter().map(hu).collect();
    values.0.insert("volume", Value::new(Volume { voxels, ..volume }));
    values.0.insert("lungs", Value::new(Lungs { airways: set(3), ..Lungs::of(set(1), set(2)) }));
    values
}

/// The same, its slices turned about the patient's x axis and beginning elsewhere.
fn oblique() -> Values {
    let mut values = lopsided();
    let (sine, cosine) = 0.3_f64.sin_cos();
    let axes = [[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]];
    let origin = [-37.25, 11.5, -803.125];
    let mut turned = series();
    for (z, slice) in turned.slices.iter_mut().enumerate() {
        let along = 5.0 * z as f64;
        slice.position = Some(std::array::from_fn(|axis| origin[axis] + along * axes[2][axis]));
        slice.orientation = Some([1.0, 0.0, 0.0, 0.0, cosine, sine]);
    }
    let volume = values.0["volume"].get::<Volume>().expect("a volume").clone();
    values.0.insert("volume", Value::new(Volume { origin, axes, ..volume }));
    values.0.insert("series", Value::new(turned));
    values
}

/// What the scripts read: the labels of the volume's voxels, and where they lie.
fn lay_out(values: &Values, folder: &Path) {
    let get = |name: &str| &values.0[name];
    let volume = get("volume").get::<Volume>().expect("a volume");
    let lungs = get("lungs").get::<Lungs>().expect("lungs");
    let series = get("series").get::<SortedSeries>().expect("a series");
    let [columns, rows, slices] = volume.size;
    let mut labels = Vec::with_capacity(columns * rows * slices);
    for (y, z) in (0..slices).flat_map(|z| (0..rows).map(move |y| (y, z))) {
        labels.extend((0..columns).map(|x| {
            let airway = lungs.airways.contains([x, y, z]);
            if airway { 3 } else { lungs.label([x, y, z]) }
        }));
    }
    let grid = serde_json::json!({
        "size": volume.size, "spacing": volume.spacing, "origin": volume.origin, "axes": volume.axes,
        "instances": series.slices.iter().map(|slice| &slice.sop_instance_uid).collect::<Vec<_>>(),
        "positions": series.slices.iter().map(|slice| slice.position).collect::<Vec<_>>(),
        "frame_of_reference": series.slices[0].frame_of_reference_uid,
    });
    std::fs::write(folder.join("labels"), labels).expect("it is written");
    std::fs::write(folder.join("grid.json"), grid.to_string()).expect("it is written");
}

/// Begins every script: `labels[x, y, z]`, and `affine` from indexes to left-posterior-superior.
const BEGIN: &str = r#"
import sys, json, pathlib, itertools, numpy as np
folder = pathlib.Path(sys.argv[1])
out = folder / "out"
out.mkdir(exist_ok=True)
grid = json.loads((folder / "grid.json").read_text())
size, spacing, origin = grid["size"], np.array(grid["spacing"]), np.array(grid["origin"])
axes = np.array(grid["axes"])
labels = np.frombuffer((folder / "labels").read_bytes(), np.uint8).reshape(size[::-1]).transpose(2, 1, 0)
affine = np.eye(4)
affine[:3, :3] = (axes * spacing[:, None]).T
affine[:3, 3] = origin
to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
"#;

const NIFTI: &str = r#"
import nibabel as nib
from nibabel.orientations import apply_orientation, inv_ornt_aff
def turned(order, flips):
    ornt = np.array([[axis, flip] for axis, flip in zip(order, flips)])
    return apply_orientation(labels, ornt), to_ras @ affine @ inv_ornt_aff(ornt, labels.shape)
for order in itertools.permutations(range(3)):
    for flips in itertools.product([1, -1], repeat=3):
        array, place = turned(order, flips)
        name = "".join("xyz"[a] for a in order) + "".join("+-"[f < 0] for f in flips)
        nib.save(nib.Nifti1Image(array, place), out / f"{name}.nii.gz")
array, place = turned((1, 2, 0), (-1, 1, -1))
for kind in "uint8 int8 int16 uint16 int32 uint32 int64 uint64 float32 float64".split():
    nib.save(nib.Nifti1Image(array.astype(kind), place, dtype=kind), out / f"{kind}.nii")
nib.save(nib.Nifti2Image(array.astype("int16"), place), out / "second.nii.gz")
for image in (nib.Nifti1Image, nib.Nifti2Image):
    header = image.header_class(endianness=">")
    header.set_data_dtype(">i2")
    nib.save(image(array.astype(">i2"), place, header), out / f"big-endian-{image.__name__}.nii")
nib.save(nib.Nifti1Image(array[..., None], place), out / "four-dimensions.nii")
image = nib.Nifti1Image(array, place)
image.set_sform(None, code=0)
image.set_qform(place, code=1)
nib.save(image, out / "qform.nii")
image = nib.Nifti1Image(array, np.diag([1e-3, 1e-3, 1e-3, 1]) @ place)
image.header.set_xyzt_units("meter")
nib.save(image, out / "metres.nii")
image = nib.Nifti1Image((array.astype(np.int16) * 2 + 10), place)
image.header.set_slope_inter(0.5, -5)
stored = image.to_bytes()
(out / "slope.nii").write_bytes(nib.Nifti1Image(array.astype(np.int16), place).to_bytes())
data = bytearray((out / "slope.nii").read_bytes())
data[112:120] = np.array([0.5, -5], "<f4").tobytes()
data[352:] = (array.astype("<i2") * 2 + 10).tobytes(order="F")
(out / "slope.nii").write_bytes(data)
image = nib.Nifti1Image(array, place)
image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"made by a test"))
nib.save(image, out / "extension.nii.gz")
# A larger map, of which the series is a part.
padded = np.pad(array, [(3, 2), (0, 5), (1, 1)])
shifted = place.copy()
shifted[:3, 3] -= place[:3, :3] @ [3, 0, 1]
nib.save(nib.Nifti1Image(padded, shifted), out / "padded.nii.gz")
"#;

const NRRD: &str = r#"
import nrrd
def write(name, array, place, space="left-posterior-superior", **more):
    options = {k: more.pop(k) for k in ("detached_header",) if k in more}
    header = {"space": space, "space directions": place[:3, :3].T, "space origin": place[:3, 3], "encoding": "gzip", **more}
    nrrd.write(str(out / name), array, header, **options)
write("plain.nrrd", labels, affine)
write("raw.nrrd", labels, affine, encoding="raw")
write("ras.nrrd", labels, to_ras @ affine, "right-anterior-superior")
write("las.nrrd", labels, np.diag([1, -1, 1, 1.0]) @ affine, "left-anterior-superior")
flip = np.array([[0, 0, -1, size[0] - 1], [1, 0, 0, 0], [0, -1, 0, size[2] - 1], [0, 0, 0, 1.0]])
write("turned.nrrd", labels.transpose(1, 2, 0)[:, ::-1, ::-1], affine @ flip)
for kind in "int16 uint16 int32 float32 float64 int64 >i2".split():
    write(f"{kind.strip('>')}-{kind[0] == '>'}.nrrd", labels.astype(kind), affine)
write("detached.nhdr", labels, affine, detached_header=True)
"#;

const SEGMENTATION: &str = r#"
import pydicom, highdicom as hd
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
def slice_of(z):
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = pydicom.uid.CTImageStorage, grid["instances"][z]
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.FrameOfReferenceUID = grid["frame_of_reference"]
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "P1", "A", "", ""
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "", "", "", "", ""
    ds.Modality, ds.Rows, ds.Columns, ds.InstanceNumber = "CT", size[1], size[0], z + 1
    ds.PixelSpacing, ds.SliceThickness = [spacing[1], spacing[0]], spacing[2]
    ds.ImagePositionPatient = [f"{one:.12g}" for one in grid["positions"][z]]
    ds.ImageOrientationPatient = [f"{one:.12f}"[:16] for one in [*axes[0], *axes[1]]]
    return ds
def segment(number, label):
    return hd.seg.SegmentDescription(number, label, codes.SCT.Organ, codes.SCT.Lung, hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        hd.AlgorithmIdentificationSequence("test", codes.cid7162.ArtificialIntelligence, "1"))
names = ["right lung", "left lung", "airways"]
def write(name, source, array, kind="BINARY", **more):
    seg = hd.seg.Segmentation(source, array, kind, [segment(n, name) for n, name in enumerate(names, 1)],
        series_instance_uid=hd.UID(), series_number=9, sop_instance_uid=hd.UID(), instance_number=1,
        manufacturer="test", manufacturer_model_name="test", software_versions="1", device_serial_number="1", **more)
    seg.save_as(out / name)
slices = [slice_of(z) for z in range(size[2])]
frames = labels.transpose(2, 1, 0)
write("plain.dcm", slices, frames)
write("backwards.dcm", slices[::-1], frames[::-1])
write("with-empty-frames.dcm", slices, frames, omit_empty_frames=False)
write("labelmap.dcm", slices, frames, "LABELMAP")
# Coronal frames of the same voxels: a volume whose slices run along y.
def volume(array, place):
    return hd.Volume(array, place, "PATIENT", frame_of_reference_uid=grid["frame_of_reference"])
order = affine[:, [1, 2, 0, 3]]
write("coronal.dcm", slices, volume(np.ascontiguousarray(labels.transpose(1, 2, 0)), order))
"#;

/// Runs the step with settings.
fn taken(
    values: &Values,
    files: Vec<ResponseFile>,
    settings: &[(&'static str, ParameterValue)],
) -> Result<Lungs, Fault> {
    let table = StepTable::built_in();
    let step = table.get("lungs-from-labels").expect("the step is built in");
    let mut parameters = StepParameters::defaults(&step.declaration.parameters);
    parameters.set("airways", ParameterValue::Numbers(vec![3.0]));
    settings.iter().for_each(|(name, value)| parameters.set(name, value.clone()));
    let one = |name: &str| WiredInput::One(values.0[name].clone());
    let inputs = StepInputs::default()
        .with("labels", WiredInput::One(Value::new(ResponseFiles(files))))
        .with("series", one("series"))
        .with("volume", one("volume"))
        .with("lungs", one("lungs"));
    let identity = ResultIdentity {
        request: Digest::of(b"request"),
        dataflow: Digest::of(b"dataflow"),
        step: "labels".into(),
        edition: 0,
    };
    let (token, environment) = (CancelToken::default(), UnrecordedCalls::shared());
    let (inputs, parameters, identity) = (&inputs, &parameters, &identity);
    let call = Call { inputs, parameters, identity, token: &token, environment: &environment };
    let outputs = step.call(&call)?;
    Ok(outputs.get("lungs").and_then(|lungs| lungs.get::<Lungs>()).expect("lungs").clone())
}

fn file(path: &Path) -> ResponseFile {
    let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    ResponseFile::new(name, "application/octet-stream", std::fs::read(path).expect("the file is there"))
}

/// Every map that a script writes gives the lungs that it was made from.
fn come_back(values: &Values, script: &str, modules: &str, count: usize) {
    if has(modules).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    lay_out(values, folder.path());
    python(&format!("{BEGIN}{script}"), &[folder.path()]);
    let written = files_below(&folder.path().join("out"));
    let maps: Vec<&std::path::PathBuf> =
        written.iter().filter(|path| !path.to_string_lossy().ends_with(".raw.gz")).collect();
    assert_eq!(maps.len(), count, "{maps:?}");
    let own = values.0["lungs"].get::<Lungs>().expect("lungs");
    for path in maps {
        let name = path.display();
        let files = match path.extension().is_some_and(|end| end == "nhdr") {
            true => written.iter().map(|path| file(path)).collect(),
            false => vec![file(path)],
        };
        let name_setting = ("file", ParameterValue::Text(file(path).name));
        let lungs = taken(values, files, &[name_setting]).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        let same = [(&lungs.right, &own.right), (&lungs.left, &own.left), (&lungs.airways, &own.airways)];
        for (index, (read, own)) in same.into_iter().enumerate() {
            let counts = (read.count(), own.count());
            assert!(read == own, "{name}: set {index} has {counts:?} voxels: {:?}", lungs.remarks);
        }
        let said = lungs.remarks.join("; ");
        assert!(said.contains("Dice 1.000") && !said.contains("nearest"), "{name}: {said}");
        assert!(lungs.reservations.0.is_empty(), "{name}: {:?}", lungs.reservations);
    }
}

#[test]
fn nifti_in_every_orientation_and_type_is_equal_to_the_voxel() {
    for values in [lopsided(), oblique()] {
        come_back(&values, NIFTI, "nibabel", 48 + 10 + 1 + 2 + 1 + 1 + 1 + 1 + 1 + 1);
    }
}

#[test]
fn nrrd_in_every_space_and_encoding_is_equal_to_the_voxel() {
    for values in [lopsided(), oblique()] {
        come_back(&values, NRRD, "nrrd", 5 + 7 + 1);
    }
}

#[test]
fn segmentation_objects_are_equal_to_the_voxel() {
    for values in [lopsided(), oblique()] {
        come_back(&values, SEGMENTATION, "highdicom", 5);
    }
}

/// flow's own object of a tilted series, whose frames lie aside of each other.
#[test]
fn an_object_of_a_tilted_series_goes_back_to_where_its_slices_lie() {
    let shifts: Vec<[i32; 2]> = (0..SIZE[2] as i32).map(|z| [-(z % 4), z / 2]).collect();
    let size = [SIZE[0] + 3, SIZE[1] + 9, SIZE[2]];
    let mut values = study();
    let mut tilted = series();
    for (slice, [x, y]) in tilted.slices.iter_mut().zip(&shifts) {
        let z = slice.position.expect("a position")[2];
        slice.position = Some([2.0 * f64::from(*x), 2.0 * f64::from(*y), z]);
    }
    tilted.shifts = shifts;
    let at = |index: usize| [index % size[0], index / size[0] % size[1], index / size[0] / size[1]];
    let within = |index: usize, columns: std::ops::Range<usize>| {
        let [x, y, z] = at(index);
        columns.contains(&x) && (13..24).contains(&y) && (4..16).contains(&z)
    };
    let right = VoxelSet::of(size, |index| within(index, 6..16));
    let left = VoxelSet::of(size, |index| within(index, 22..34));
    let volume = values.0["volume"].get::<Volume>().expect("a volume").clone();
    let hu = |index: usize| if within(index, 6..34) { -850 } else { 40 };
    let voxels = (0..size.iter().product()).map(hu).collect();
    let origin = [-6.0, 0.0, 0.0];
    values.0.insert("volume", Value::new(Volume { voxels, size, origin, ..volume }));
    values.0.insert("series", Value::new(tilted));
    values.0.insert("lungs", Value::new(Lungs::of(right.clone(), left.clone())));
    let object = values.run("write-segmentation", "files");
    let files = object.get::<ResponseFiles>().expect("files").0.clone();
    let lungs = taken(&values, files, &[]).expect("flow reads what it has written");
    assert!(lungs.right == right && lungs.left == left, "{:?}", lungs.remarks);
}

/// A map of the lungs of a real chest, on coarser and on finer voxels.
#[test]
fn another_grid_is_sampled_at_the_nearest_voxel() {
    if has("nibabel").is_none() {
        return;
    }
    let values = lopsided();
    let folder = tempfile::tempdir().expect("a temporary folder");
    lay_out(&values, folder.path());
    let script = r#"
import nibabel as nib
def save(name, array, steps, begin):
    place = affine @ np.diag([*steps, 1.0])
    place[:3, 3] = (affine @ [*begin, 1.0])[:3]
    nib.save(nib.Nifti1Image(array, to_ras @ place), out / name)
save("finer.nii", labels.repeat(2, 0).repeat(2, 1).repeat(5, 2), [0.5, 0.5, 0.2], [-0.25, -0.25, -0.4])
save("coarser.nii", labels[1::2, 1::2], [2, 2, 1], [1, 1, 0])
save("cropped.nii", labels[:, :, 2:], [1, 1, 1], [0, 0, 2])
save("elsewhere.nii", labels, [1, 1, 1], [0, 0, 100])
"#;
    python(&format!("{BEGIN}{script}"), &[folder.path()]);
    let map = |name: &str| vec![file(&folder.path().join("out").join(name))];
    let own = values.0["lungs"].get::<Lungs>().expect("lungs");
    let finer = taken(&values, map("finer.nii"), &[]).expect("a finer map is sampled");
    assert!(finer.right == own.right && finer.left == own.left);
    assert!(finer.remarks.iter().any(|remark| remark.contains("nearest")), "{:?}", finer.remarks);
    let coarser = taken(&values, map("coarser.nii"), &[]).expect("a coarser map is sampled");
    let [disagrees] = &coarser.reservations.0[..] else { panic!("{:?}", coarser.reservations) };
    assert_eq!(disagrees.code, "labels_disagree");
    let expected =
        "the right lung of the label map and that of find-lungs agree with Dice 0.920 (46 and 45 mL)";
    assert!(disagrees.text.starts_with(expected), "{disagrees:?}");
    for (name, mm) in [("cropped.nii", "8 mm"), ("elsewhere.nii", "498 mm")] {
        let fault = taken(&values, map(name), &[]).expect_err("it does not cover the series");
        assert!(
            fault.reason.contains(name) && fault.reason.contains("does not cover the series"),
            "{fault:?}"
        );
        assert!(fault.reason.contains(mm), "{fault:?}");
    }
}

/// A NIfTI file of the volume's grid, from the labels of the lungs; the header may be changed.
fn nifti(values: &Values, label: impl Fn([usize; 3]) -> u8, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let volume = values.0["volume"].get::<Volume>().expect("a volume");
    let mut header = vec![0; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    let [x, y, z] = volume.size.map(|size| size as i16);
    for (index, dimension) in [3, x, y, z, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * index, &dimension.to_le_bytes());
    }
    put(70, &2_i16.to_le_bytes());
    put(72, &8_i16.to_le_bytes());
    put(108, &352_f32.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    for row in 0..3 {
        let sign = if row < 2 { -1.0 } else { 1.0 };
        for axis in 0..3 {
            let step = sign * volume.axes[axis][row] * volume.spacing[axis];
            put(280 + 16 * row + 4 * axis, &(step as f32).to_le_bytes());
        }
        put(280 + 16 * row + 12, &((sign * volume.origin[row]) as f32).to_le_bytes());
    }
    put(344, b"n+1\0");
    change(&mut header);
    let [columns, rows, slices] = volume.size;
    let places = (0..slices).flat_map(|z| (0..rows).flat_map(move |y| (0..columns).map(move |x| [x, y, z])));
    header.extend(places.map(label));
    header
}

fn own_labels(values: &Values) -> impl Fn([usize; 3]) -> u8 + '_ {
    let lungs = values.0["lungs"].get::<Lungs>().expect("lungs");
    |at| lungs.label(at)
}

/// Later steps run on the lungs, and the object names what made them.
#[test]
fn later_steps_take_the_lungs_and_name_their_maker() {
    let mut values = lopsided();
    let map = ResponseFile::new("map.nii", "", nifti(&values, own_labels(&values), |_| {}));
    let name = ("made_by", ParameterValue::Text("lungmask 0.2.20".to_owned()));
    let lungs = taken(&values, vec![map], &[name]).expect("the map is read");
    values.0.insert("lungs", Value::new(lungs));
    let values = values.and("densities", "measure-densities", "densities");
    let values = values.and("segmentation", "write-segmentation", "reference");
    let files = ["write-segmentation", "write-report", "write-results"].map(|step| values.run(step, "files"));
    let folder = deliver(&files);
    dciodvfy(&folder.path().join("segmentation.dcm"));
    python(
        r#"
import sys, json, pathlib, highdicom as hd
folder = pathlib.Path(sys.argv[1])
seg = hd.seg.segread(folder / "segmentation.dcm")
assert [seg.get_segment_description(n).SegmentAlgorithmName for n in (1, 2)] == ["lungmask 0.2.20"] * 2
remarks = json.load(open(folder / "results.json"))["remarks"]
assert "the lungs are those of lungmask 0.2.20, from the label map map.nii" in remarks, remarks
"#,
        &[folder.path()],
    );
}

/// NIfTI, NRRD and Segmentation of a real chest.
#[test]
fn label_maps_of_a_real_chest_are_equal_to_the_voxel() {
    let Some(data) = crate::support::data::Data::unpack("ct-chest-cip64") else { return };
    let values = real::calculate(&data.files("ct-chest-cip64/ct-64Dicom"));
    let few = r#"
import nibabel as nib
from nibabel.orientations import apply_orientation, inv_ornt_aff
for number, ornt in enumerate(([[0, 1], [1, 1], [2, 1]], [[2, -1], [0, 1], [1, -1]], [[1, -1], [0, -1], [2, -1]])):
    place = to_ras @ affine @ inv_ornt_aff(np.array(ornt), labels.shape)
    nib.save(nib.Nifti1Image(apply_orientation(labels, np.array(ornt)), place), out / f"{number}.nii.gz")
"#;
    come_back(&values, few, "nibabel", 3);
    come_back(&values, NRRD, "nrrd", 13);
    come_back(&values, SEGMENTATION, "highdicom", 5);
}

/// Stands in for lungmask in the dataflow of the book: a threshold, and the two largest pieces.
const STAND_IN: &str = r#"
import sys, json, pathlib, numpy as np, pydicom, nibabel as nib
from scipy import ndimage
slices = sorted((pydicom.dcmread(path) for path in pathlib.Path("items").iterdir()), key=lambda s: -s.ImagePositionPatient[2])
hu = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices])
pieces, count = ndimage.label(hu < -400)
border = set(np.unique(pieces[:, [0, -1]])) | set(np.unique(pieces[:, :, [0, -1]]))
sizes = {n: (pieces == n).sum() for n in range(1, count + 1) if n not in border}
lungs = np.isin(pieces, sorted(sizes, key=sizes.get)[-2:])
half = np.arange(hu.shape[2])[None, None, :] < hu.shape[2] // 2
labels = np.where(lungs, np.where(half, 1, 2), 0).astype(np.uint8)
(row, column), first = map(float, slices[0].PixelSpacing), list(map(float, slices[0].ImagePositionPatient))
pitch = first[2] - float(slices[1].ImagePositionPatient[2])
affine = np.array([[-column, 0, 0, -first[0]], [0, -row, 0, -first[1]], [0, 0, -pitch, first[2]], [0, 0, 0, 1.0]])
nib.save(nib.Nifti1Image(labels.transpose(2, 1, 0), affine), sys.argv[1])
json.dump([{"code": "stand_in", "text": "the lungs were parted at the middle of the images."}], open("out/reservations.json", "w"))
"#;

/// The dataflow of the book, with another program in the place of lungmask, on a real chest.
#[test]
fn a_program_makes_the_lungs_of_a_dataflow() {
    let Some(data) = crate::support::data::Data::unpack("ct-chest-cip64") else { return };
    if has("nibabel, pydicom, scipy").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("stand-in.py");
    std::fs::write(&script, STAND_IN).expect("it is written");
    let python =
        std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let python = String::from_utf8(python.expect("python3 is there").stdout).expect("it is text");
    let installation = Path::new(python.trim()).ancestors().nth(2).and_then(Path::to_str).expect("a folder");
    let page = std::fs::read_to_string("docs/src/how-to/label-maps.md").expect("the book has the page");
    let text = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a dataflow");
    let arguments = text.split("arguments: ").nth(1).and_then(|rest| rest.lines().next()).expect("arguments");
    let text = text
        .replace(arguments, &format!("[{}, out/lungs.nii.gz]", script.display()))
        .replace("/opt/lungmask/bin/lungmask", python.trim())
        .replace("/opt/lungmask", installation);
    let dataflow = flow::dataflow::Dataflow::parse("label-maps.yaml", &text, &StepTable::built_in());
    let dataflow = dataflow.unwrap_or_else(|problems| panic!("{problems}"));
    let items = data.files("ct-chest-cip64/ct-64Dicom");
    let items = items.iter().map(|path| real::item(path)).collect();
    let request = flow::step::Request::new("chest", std::collections::BTreeMap::new(), items);
    let (response, files) = dataflow.interpret(&std::sync::Arc::new(request));
    let faults: Vec<_> = response.faults().collect();
    assert!(response.verdict.is_complete(), "{faults:?}");
    let results = files.iter().find(|file| file.name == "results.json").expect("the results");
    let results: serde_json::Value = serde_json::from_slice(&results.bytes).expect("it is JSON");
    let remarks = results["remarks"].to_string();
    assert!(remarks.contains("lungmask 0.2.20 R231, from the label map lungs.nii.gz"), "{remarks}");
    for side in ["right", "left"] {
        let said = format!("the {side} lung of the label map and that of find-lungs agree with Dice 0.9");
        assert!(remarks.contains(&said), "{remarks}");
    }
    let said: Vec<&str> = response.reservations.iter().map(|one| one.code.as_str()).collect();
    assert!(said.contains(&"stand_in"), "{said:?}");
}
