//! The generated results of `ct-lung`: made by the steps from a small study, then judged by other
//! people's tools. A tool that is not installed is skipped, unless `FLOW_REQUIRE_PEERS=1`.

mod doubts;
mod identity;
mod labels;
mod numbers;
mod overlay;
mod pdf;
pub mod peers;
mod real;
pub mod sample;
mod segmentation;
mod split;
mod stacks;

use std::collections::BTreeMap;
use std::path::Path;

use flow::imaging::{Picture, Pictures};
use flow::step::{Request, ResponseFiles, StepOutcomes, Value, WiredInput};
use peers::{dciodvfy, dsrdump, peer, python, sr_validator};
use sample::{deliver, failed, only, run, study};

#[test]
fn the_report_is_valid_and_reads_back() {
    let folder = deliver(&[study().run("write-report", "files")]);
    let report = folder.path().join("report.dcm");
    dciodvfy(&report);
    dsrdump(&report, &["Imaging Measurement Report", "both lungs", "left lung", "Παπαδόπουλος"]);
    peer("dsr2html", &[path(&report)]);
    sr_validator(&report, "1500");
    python(
        r#"
import sys, highdicom as hd
report = hd.sr.srread(sys.argv[1])
assert len(report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence) == 20
groups = report.content.get_image_measurement_groups()
assert len(groups) == 3, len(groups)
for group, site, volume in zip(groups, ["39607008", "3341006", "44029006"], [66.0, 33.0, 33.0]):
    assert group.finding_sites[0].value.value == site, group.finding_sites
    numbers = {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}
    assert numbers["118565006"] == (volume, "ml"), numbers
    assert numbers["112181"] == (-870.25, "[hnsf'U]"), numbers
    assert numbers["LAA-950"] == (6.25, "%"), numbers
    assert numbers["LAA-950-UPPER"] == numbers["LAA-950-PEEL"] == (3.125, "%"), numbers
    assert numbers["PERC15-GL"] == (94.5, "g/L"), numbers
    assert numbers["PERC15-ADJUSTED"] == (1.0, "g/L"), numbers
    assert numbers["HAA-600-250"] == (1.25, "%"), numbers
    assert numbers["LAA-950-D"] == (1.625, "1"), numbers
    assert len(numbers) == 18, numbers
assert len({group.tracking_uid for group in groups}) == 3
assert groups[0].tracking_identifier == "both lungs"
"#,
        &[&report],
    );
}

#[test]
fn pictures_become_a_capture_series() {
    let pictures = study().run("draw-pictures", "pictures");
    let count = pictures.get::<Pictures>().expect("pictures").0.len();
    assert_eq!(count, 5);
    let captures = run("write-capture", study().request_and("pictures", pictures), "files");
    let folder = deliver(&[captures]);
    for name in ["axial", "coronal", "sagittal", "projection", "histogram"] {
        let capture = folder.path().join(format!("capture/{name}.dcm"));
        dciodvfy(&capture);
        peer("dcm2pnm", &[path(&capture), path(&folder.path().join("picture.ppm"))]);
    }
    python(
        r#"
import sys, pydicom
captures = [pydicom.dcmread(name) for name in sys.argv[1:]]
assert len({c.SeriesInstanceUID for c in captures}) == 1
assert len({c.SOPInstanceUID for c in captures}) == 5
assert {c.StudyInstanceUID for c in captures} == {"1.2.3"}
assert [c.InstanceNumber for c in captures] == [1, 2, 3, 4, 5]
assert str(captures[0].PatientName) == "Παπαδόπουλος^Άννα", captures[0].PatientName
assert captures[0].pixel_array.shape == (captures[0].Rows, captures[0].Columns, 3)
assert captures[0].pixel_array.std() > 10
"#,
        &["axial", "coronal", "sagittal", "projection", "histogram"]
            .map(|name| folder.path().join(format!("capture/{name}.dcm")))
            .each_ref()
            .map(|path| path.as_path()),
    );
}

/// The patient's and the study's attributes are empty here.
#[test]
fn the_results_of_a_real_chest_are_valid() {
    let Some(data) = crate::support::data::Data::unpack("ct-chest-lidc0314") else { return };
    let values = real::calculate(&data.files("")).and("segmentation", "write-segmentation", "reference");
    let pictures = values.run("draw-pictures", "pictures");
    let captures = run("write-capture", values.request_and("pictures", pictures), "files");
    let folder =
        deliver(&[captures, values.run("write-report", "files"), values.run("write-results", "files")]);
    dciodvfy(&folder.path().join("capture/coronal.dcm"));
    let report = folder.path().join("report.dcm");
    dciodvfy(&report);
    dsrdump(&report, &["right lung", "Volume"]);
    python(
        r#"
import sys, json, highdicom as hd
report = hd.sr.srread(sys.argv[1])
results = json.load(open(sys.argv[2]))
assert results["series"]["slices"] == 275
groups = report.content.get_image_measurement_groups() + report.content.get_volumetric_roi_measurement_groups()
for group, region in zip(groups, results["regions"], strict=True):
    numbers = {m.name.value: m.value for m in group.get_measurements()}
    assert abs(numbers["118565006"] - region["volume_ml"]) <= 0.05, numbers
    assert abs(numbers["112181"] - region["mean_hu"]) <= 0.005, numbers
    assert abs(numbers["LAA-950"] - region["below"][0]["percent"]) <= 0.00005, numbers
    shape = {features["lung"]: features["shape"] for features in results["features"]}.get(region["lung"])
    assert shape is None or abs(numbers["QCFX"] - shape["sphericity"]) <= 0.000005, numbers
    assert shape is None or abs(numbers["L0JK"] - shape["maximum_3d_diameter_mm"]) <= 0.005, numbers
    assert abs(numbers["HAA-600-250"] - region["high_attenuation_percent"]) <= 0.00005, numbers
    assert abs(numbers["PERC15-ADJUSTED"] - region["percentile_15_adjusted_g_l"]) <= 0.05, numbers
    assert abs(numbers["LAA-950-D"] - region["low_attenuation_clusters"]["slope"]) <= 0.0005, numbers
    assert abs(numbers["LAA-856-LOWER"] - region["parts"][2]["below"][2]["percent"]) <= 0.00005, numbers
"#,
        &[&report, &folder.path().join("results.json")],
    );
}

#[test]
fn a_failure_is_told_in_a_valid_report_and_on_a_page() {
    let inputs = failed("volume", "slice 12 of 20 is missing between 31.0 and 33.0 mm");
    let pages = run("draw-error", inputs.clone(), "pictures");
    let capture = run("write-capture", study().request_and("pictures", pages.clone()), "files");
    let report = run("write-error-report", inputs, "files");
    let folder = deliver(&[capture, report]);
    let report = folder.path().join("error-report.dcm");
    dciodvfy(&folder.path().join("capture/error.dcm"));
    dciodvfy(&report);
    dsrdump(&report, &["Processing Error Report", "Slice 12 of 20 is missing", "Send the study again"]);
    sr_validator(&report, "");
    let text = std::fs::read(folder.path().join("error.json")).expect("the JSON is there");
    let json: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
    assert_eq!(json["failures"][0]["step"], "volume");
    assert_eq!(json["steps"][1]["because"]["step"], "volume");
    assert_eq!(json["study_instance_uid"], "1.2.3");
    let page = &pages.get::<Pictures>().expect("pictures").0[0];
    assert_eq!((page.width, page.height), (1024, 768));
    let background = &page.rgb[..3];
    assert!(page.rgb.chunks_exact(3).any(|pixel| pixel != background), "the page is empty");
}

#[test]
fn a_request_that_is_no_study_gets_one() {
    let request = Request::new("letters", BTreeMap::new(), Vec::new());
    let uid = request.id.uid();
    let outcomes = StepOutcomes::default();
    let inputs = only("outcomes", Value::new(outcomes)).with("request", WiredInput::One(Value::new(request)));
    let folder = deliver(&[run("write-error-report", inputs, "files")]);
    let report = folder.path().join("error-report.dcm");
    dciodvfy(&report);
    dsrdump(&report, &["1900-01-01"]);
    let text = std::fs::read_to_string(folder.path().join("error.json")).expect("the JSON is there");
    assert!(text.contains(&uid), "{text}");
}

#[test]
fn a_picture_of_odd_size_is_padded() {
    let picture = Picture::new("odd", "3 × 3", [3, 3], (0..27).collect::<Vec<u8>>().into());
    let pictures = Value::new(Pictures(vec![picture]));
    let folder = deliver(&[run("write-capture", study().request_and("pictures", pictures), "files")]);
    let capture = folder.path().join("capture/odd.dcm");
    dciodvfy(&capture);
    python(
        r#"
import sys, pydicom
capture = pydicom.dcmread(sys.argv[1])
assert len(capture.PixelData) == 28
assert capture.pixel_array.flatten().tolist() == list(range(27))
assert capture.ImageComments == "3 × 3"
"#,
        &[&capture],
    );
}

#[test]
fn a_long_failure_takes_several_pages() {
    let reason = "the value of the attribute is not what the standard allows ".repeat(60);
    let pages = run("draw-error", failed("volume", &reason), "pictures");
    let names: Vec<&str> =
        pages.get::<Pictures>().expect("pictures").0.iter().map(|page| page.name.as_str()).collect();
    assert!(names.len() > 1);
    assert_eq!(&names[..2], ["error-1", "error-2"]);
}

#[test]
fn results_name_their_units_and_no_patient() {
    let files = study().run("write-results", "files");
    let file = &files.get::<ResponseFiles>().expect("files").0[0];
    assert_eq!((file.name.as_str(), &*file.media_type), ("results.json", "application/json"));
    let json: serde_json::Value = serde_json::from_slice(&file.bytes).expect("it is JSON");
    assert_eq!(json["series"]["slices"], 20);
    assert_eq!(json["series"]["pixel_spacing_mm"], serde_json::json!([2.0, 2.0]));
    assert_eq!(json["regions"][2]["lung"], "left");
    assert_eq!(json["regions"][1]["volume_ml"], 33.0);
    assert_eq!(json["regions"][0]["below"][0], serde_json::json!({"threshold_hu": -950.0, "percent": 6.25}));
    assert_eq!(json["remarks"], serde_json::json!(["1 duplicate slice dropped", "trachea removed"]));
    assert!(!String::from_utf8_lossy(&file.bytes).contains("Παπαδόπουλος"));
}

#[test]
fn the_same_study_gives_the_same_bytes_on_any_number_of_threads() {
    let all = |threads: usize| -> Vec<Vec<u8>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let pictures = pool.install(|| study().run("draw-pictures", "pictures"));
        let capture = run("write-capture", study().request_and("pictures", pictures.clone()), "files");
        let png = run("write-png", only("pictures", pictures), "files");
        let report = study().run("write-report", "files");
        [capture, png, report].iter().flat_map(bytes).collect()
    };
    assert_eq!(all(1), all(3));
}

fn bytes(files: &Value) -> Vec<Vec<u8>> {
    files.get::<ResponseFiles>().expect("files").0.iter().map(|file| file.bytes.to_vec()).collect()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the temporary folder's name is Unicode")
}
