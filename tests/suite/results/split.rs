//! A stack whose images have a Series Instance UID each: results name all series that were measured.

use flow::imaging::{LungDensities, LungRegion, SortedSeries};
use flow::step::{ResponseFiles, Value};

use super::peers::{dciodvfy, dsrdump, peer, python, sr_validator};
use super::sample::{Values, deliver, series, study};
use crate::schema::validate_results;

/// The sample study with a series for each slice.
fn split() -> Values {
    let mut values = study();
    let slices = series().slices.into_iter().enumerate().map(|(index, mut slice)| {
        slice.series_instance_uid = format!("1.2.3.4.9.{index}");
        slice.series_number = Some(index as i32 + 2);
        slice
    });
    let series = SortedSeries { slices: slices.collect(), ..series() };
    values.0.insert("series", Value::new(series));
    values
}

#[test]
fn the_results_list_the_other_series() {
    let folder = deliver(&[split().run("write-results", "files")]);
    let results = folder.path().join("results.json");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&results).expect("it is there")).expect("it is JSON");
    assert_eq!(json["series"]["series_instance_uid"], "1.2.3.4.9.0");
    let others = json["series"]["other_series"].as_array().expect("a list");
    assert_eq!(others.len(), 19);
    let last = serde_json::json!({"series_instance_uid": "1.2.3.4.9.19", "series_number": 21});
    assert_eq!(others.last(), Some(&last));
    validate_results(&results);
    let one = study().run("write-results", "files");
    let file = &one.get::<ResponseFiles>().expect("files").0[0];
    assert!(!String::from_utf8_lossy(&file.bytes).contains("other_series"));
}

/// A group that refers to a segment may name one series as its source, or several images.
#[test]
fn the_report_names_all_series_and_follows_its_templates() {
    let mut values = split().and("segmentation", "write-segmentation", "reference");
    let mut densities = values.0["densities"].get::<LungDensities>().expect("densities").clone();
    densities.regions.retain(|region| region.lung != LungRegion::Both);
    values.0.insert("densities", Value::new(densities));
    let folder = deliver(&[values.run("write-report", "files"), values.run("write-segmentation", "files")]);
    let report = folder.path().join("report.dcm");
    dciodvfy(&report);
    dciodvfy(&folder.path().join("segmentation.dcm"));
    dsrdump(&report, &["1.2.3.4.9.0", "1.2.3.4.9.19", "Source image for segmentation"]);
    sr_validator(&report, "1500");
    python(
        r#"
import sys, highdicom as hd
report = hd.sr.srread(sys.argv[1])
uids = [i.UID for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "112002"]
assert uids == [f"1.2.3.4.9.{index}" for index in range(20)], uids
for group in report.content.get_volumetric_roi_measurement_groups():
    sources = group.source_images_for_segmentation if hasattr(group, "source_images_for_segmentation") else [
        i for i in group[0].ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "121233"]
    assert len(sources) == 20, len(sources)
evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
assert len(evidence) == 21, len(evidence)
"#,
        &[&report],
    );
}

#[test]
fn the_page_says_how_many_others_there_are() {
    let folder = deliver(&[split().and("pictures", "draw-pictures", "pictures").run("write-pdf", "files")]);
    let pdf = folder.path().join("report.pdf");
    let Some(text) = peer("pdftotext", &["-layout", pdf.to_str().expect("Unicode"), "-"]) else { return };
    assert!(text.contains("Measured series 1.2.3.4.9.0 and 19 others of the same acquisition"), "{text}");
    assert!(text.contains("and 19 others of the same acquisition · 20 slices"), "{text}");
}
