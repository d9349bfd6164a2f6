//! The Segmentation object, read back voxel by voxel by highdicom, and the report that refers to it.

use std::fs;
use std::path::PathBuf;

use flow::imaging::{
    LungDensities, LungRegion, Lungs, SegmentKind, SegmentationReference, SortedSeries, VoxelSet,
    read_instance,
};
use flow::step::{ResponseFiles, Value};

use super::peers::{dciodvfy, dsrdump, python, sr_validator};
use super::real;
use super::sample::{SIZE, Values, deliver, series, study};

/// Compares the object with the labels of each slice's pixels, in the order of `slices.txt`: instance and
/// frame of each. A voxel's label is the number of its segment.
const READ_BACK: &str = r#"
import sys, pathlib, numpy as np, highdicom as hd
folder = pathlib.Path(sys.argv[1])
seg = hd.seg.segread(folder / "segmentation.dcm")
slices = [line.split() for line in (folder / "slices.txt").read_text().splitlines()]
labels = np.frombuffer((folder / "labels").read_bytes(), np.uint8).reshape(len(slices), seg.Rows, seg.Columns)
options = dict(combine_segments=True, relabel=False, assert_missing_frames_are_empty=True)
if slices[0][1] == "-":
    read = seg.get_pixels_by_source_instance([uid for uid, _ in slices], **options)
else:
    read = seg.get_pixels_by_source_frame(slices[0][0], [int(frame) for _, frame in slices], **options)
assert (read == labels).all(), [(z, (read[z] != labels[z]).sum()) for z in range(len(slices)) if (read[z] != labels[z]).any()]
assert set(np.unique(labels)) == {0, *seg.segment_numbers}, np.unique(labels)
shown = sum(int((labels[z] == number).any()) for number in seg.segment_numbers for z in range(len(slices)))
assert seg.NumberOfFrames == shown, "frames without voxels are left out"
for number in seg.segment_numbers:
    segment = seg.get_segment_description(number)
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "flow find-lungs"
    print(number, segment.segment_label, segment.segmented_property_type.meaning)
"#;

/// Writes the labels that the lungs have in the pixels of the series, beside the object.
fn read_back(values: &Values, files: &[Value]) -> tempfile::TempDir {
    let folder = deliver(files);
    let series = values.0["series"].get::<SortedSeries>().expect("a series");
    let lungs = values.0["lungs"].get::<Lungs>().expect("lungs");
    let least = |axis: usize| series.shifts.iter().map(|shift| shift[axis]).min().unwrap_or(0).min(0);
    let sets: Vec<&VoxelSet> = [&lungs.right, &lungs.left, &lungs.airways, &lungs.gas]
        .into_iter()
        .filter(|set| set.count() > 0)
        .collect();
    let (mut labels, mut slices) = (Vec::new(), String::new());
    for (z, slice) in series.slices.iter().enumerate() {
        let shift = series.shifts.get(z).copied().unwrap_or_default();
        let [left, top] = [0, 1].map(|axis| (shift[axis] - least(axis)) as usize);
        for (y, x) in
            (0..usize::from(slice.rows)).flat_map(|y| (0..usize::from(slice.columns)).map(move |x| (y, x)))
        {
            let segment = sets.iter().position(|set| set.contains([left + x, top + y, z]));
            labels.push(segment.map_or(0, |index| index as u8 + 1));
        }
        let frame = slice.frame.map_or("-".to_owned(), |frame| (frame + 1).to_string());
        slices += &format!("{} {frame}\n", slice.sop_instance_uid);
    }
    fs::write(folder.path().join("labels"), labels).expect("it is written");
    fs::write(folder.path().join("slices.txt"), slices).expect("it is written");
    dciodvfy(&folder.path().join("segmentation.dcm"));
    python(READ_BACK, &[folder.path()]);
    folder
}

fn object(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("segmentation.dcm")
}

/// The sample study with airways and gas, its series changed.
fn changed(size: [usize; 3], change: impl FnOnce(&mut SortedSeries)) -> Values {
    let mut values = study();
    let mut changed = series();
    change(&mut changed);
    let label = |index: usize| {
        let [x, y, z] = [index % size[0], index / size[0] % size[1], index / size[0] / size[1]];
        match (x, y) {
            _ if !(3..17).contains(&z) => 0,
            (6..16, 8..22) => {
                if (x + 3 * y + z) % 11 == 0 {
                    4
                } else {
                    1
                }
            }
            (24..34, 8..23) => 2,
            (18..22, 10..14) if z > 9 => 3,
            _ => 0,
        }
    };
    let [right, left, airways, gas] =
        [1, 2, 3, 4].map(|wanted| VoxelSet::of(size, |index| label(index) == wanted));
    let lungs = Lungs { airways, gas, ..Lungs::of(right, left) };
    values.0.insert("series", Value::new(changed));
    values.0.insert("lungs", Value::new(lungs));
    values
}

#[test]
fn every_voxel_reads_back_and_the_place_is_right() {
    let values = changed(SIZE, |_| {});
    let folder = read_back(&values, &[values.run("write-segmentation", "files")]);
    python(
        r#"
import sys, numpy as np, highdicom as hd
seg = hd.seg.segread(sys.argv[1])
assert seg.segment_numbers == range(1, 5) or list(seg.segment_numbers) == [1, 2, 3, 4], seg.segment_numbers
right, left = (seg.get_segment_description(number) for number in (1, 2))
assert [d.segmented_property_type.value for d in (right, left)] == ["39607008"] * 2
assert right.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
volume = seg.get_volume(segment_numbers=[1], combine_segments=True)
assert volume.spatial_shape == (14, 30, 40), volume.spatial_shape
assert volume.spacing == (5.0, 2.0, 2.0), volume.spacing
assert volume.frame_of_reference_uid == "1.2.3.5"
lowest = min(volume.map_indices_to_reference(np.array([[0, 0, 0], [13, 0, 0]]))[:, 2])
assert lowest == 15.0, lowest
assert str(seg.PatientName) == "Παπαδόπουλος^Άννα"
"#,
        &[&object(&folder)],
    );
}

#[test]
fn slices_of_a_tilted_gantry_get_their_own_pixels_back() {
    // The volume is larger than a slice: 3 columns aside, and 9 rows from the first slice to the last.
    let shifts: Vec<[i32; 2]> = (0..SIZE[2] as i32).map(|z| [-(z % 4), z / 2]).collect();
    let values = changed([SIZE[0] + 3, SIZE[1] + 9, SIZE[2]], |series| {
        for (slice, [x, y]) in series.slices.iter_mut().zip(&shifts) {
            let z = slice.position.expect("a position")[2];
            slice.position = Some([2.0 * f64::from(*x), 2.0 * f64::from(*y), z]);
        }
        series.shifts = shifts;
    });
    read_back(&values, &[values.run("write-segmentation", "files")]);
}

#[test]
fn oblique_slices_keep_their_orientation() {
    let (sine, cosine) = 0.3_f64.sin_cos();
    let orientation = [1.0, 0.0, 0.0, 0.0, cosine, sine];
    let values = changed(SIZE, |series| {
        for (z, slice) in series.slices.iter_mut().enumerate() {
            let along = 5.0 * z as f64;
            slice.position = Some([1.0 / 3.0, -along * sine, along * cosine]);
            slice.orientation = Some(orientation);
        }
    });
    let folder = read_back(&values, &[values.run("write-segmentation", "files")]);
    python(
        r#"
import sys, numpy as np, highdicom as hd
seg = hd.seg.segread(sys.argv[1])
volume = seg.get_volume(segment_numbers=[2], combine_segments=True)
assert np.allclose(volume.spacing, (5.0, 2.0, 2.0)), volume.spacing
column = np.array(seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient[3:])
assert np.allclose(column, [0, np.cos(0.3), np.sin(0.3)], atol=1e-13), column
"#,
        &[&object(&folder)],
    );
}

#[test]
fn frames_of_an_enhanced_object_are_referred_to_by_number() {
    let values = changed(SIZE, |series| {
        for (z, slice) in series.slices.iter_mut().enumerate() {
            slice.sop_class_uid = "1.2.840.10008.5.1.4.1.1.2.1".to_owned();
            slice.sop_instance_uid = "1.2.3.4.1".to_owned();
            // The object holds its frames from the last place to the first.
            slice.frame = Some(SIZE[2] - 1 - z);
        }
    });
    let folder = read_back(&values, &[values.run("write-segmentation", "files")]);
    python(
        r#"
import sys, pydicom
seg = pydicom.dcmread(sys.argv[1])
instances = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
assert [i.ReferencedSOPInstanceUID for i in instances] == ["1.2.3.4.1"]
"#,
        &[&object(&folder)],
    );
}

#[test]
fn segments_are_those_that_have_voxels() {
    let values = study();
    let reference = values.run("write-segmentation", "reference");
    let reference = reference.get::<SegmentationReference>().expect("a reference");
    assert_eq!(reference.segments, [SegmentKind::RightLung, SegmentKind::LeftLung]);
    assert_eq!(reference.number(SegmentKind::LeftLung), Some(2));
    assert_eq!(reference.number(SegmentKind::Airways), None);
    let files = values.run("write-segmentation", "files");
    let bytes = &files.get::<ResponseFiles>().expect("files").0[0].bytes;
    let (header, _) = read_instance("segmentation", "segmentation.dcm".as_ref(), bytes).expect("it is DICOM");
    assert!(header.is_own_result, "flow takes it for no image of the study");
    let mut nothing = study();
    let none = VoxelSet::empty(SIZE);
    nothing.0.insert("lungs", Value::new(Lungs::of(none.clone(), none)));
    let files = nothing.run("write-segmentation", "files");
    assert_eq!(files.get::<ResponseFiles>().expect("files").0.len(), 0);
}

#[test]
fn the_report_refers_to_the_segments() {
    let values = study().and("segmentation", "write-segmentation", "reference");
    let folder = deliver(&[values.run("write-report", "files"), values.run("write-segmentation", "files")]);
    let report = folder.path().join("report.dcm");
    dciodvfy(&report);
    dsrdump(&report, &["Referenced Segment", "Source series for segmentation", "left lung"]);
    python(
        r#"
import sys, highdicom as hd
report, seg = hd.sr.srread(sys.argv[1]), hd.seg.segread(sys.argv[2])
both, = report.content.get_image_measurement_groups()
assert both.tracking_identifier == "both lungs"
groups = report.content.get_volumetric_roi_measurement_groups()
assert [g.tracking_identifier for g in groups] == ["right lung", "left lung"]
for number, group in enumerate(groups, 1):
    segment, = [i for i in group[0].ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "121191"]
    item = segment.ReferencedSOPSequence[0]
    assert item.ReferencedSOPInstanceUID == seg.SOPInstanceUID
    assert item.ReferencedSegmentNumber == number
    assert seg.get_segment_description(number).segment_label == group.tracking_identifier
    assert len(group.get_measurements()) == 18
evidence = [i.ReferencedSOPInstanceUID for s in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence for i in s.ReferencedSOPSequence]
assert seg.SOPInstanceUID in evidence and len(evidence) == 21
"#,
        &[&report, &object(&folder)],
    );
}

/// PixelMed judges all groups of a report by one template, so that here are only those that refer to segments.
#[test]
fn groups_that_refer_to_segments_follow_their_template() {
    let mut values = study().and("segmentation", "write-segmentation", "reference");
    let mut densities = values.0["densities"].get::<LungDensities>().expect("densities").clone();
    densities.regions.retain(|region| region.lung != LungRegion::Both);
    values.0.insert("densities", Value::new(densities));
    let folder = deliver(&[values.run("write-report", "files")]);
    sr_validator(&folder.path().join("report.dcm"), "1500");
}

/// The object of a real chest has the voxels that the lungs have, and belongs to the study of the images.
#[test]
fn the_segments_of_a_real_chest_read_back() {
    let Some(data) = crate::support::data::Data::unpack("ct-chest-lidc0314") else { return };
    let files = data.files("");
    let values = real::calculate(&files);
    let lungs = values.0["lungs"].get::<Lungs>().expect("lungs");
    let sets = [&lungs.right, &lungs.left, &lungs.airways, &lungs.gas];
    let mut all = sets[0].clone();
    sets[1..].iter().for_each(|set| all.add(set));
    assert_eq!(all.count(), sets.map(VoxelSet::count).iter().sum::<u64>(), "segments do not overlap");
    read_back(&values, &[values.run("write-segmentation", "files")]);
}
