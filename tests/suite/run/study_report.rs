//! `study-report`: studies that no other dataflow is for get an answer, too.

use std::fs;

use flow::dataflow::ResponseVerdict;
use serde_json::Value;

use super::Place;
use crate::results::peers::{dciodvfy, dsrdump};
use crate::support::slices::Slice;

#[test]
fn a_study_of_any_kind_is_listed_with_what_was_noticed() {
    let place = Place::new();
    fs::create_dir(place.path("study")).unwrap();
    // The third one is missing; they have no position.
    for number in [1, 2, 4, 5] {
        let name = format!("study/{number}.dcm");
        fs::write(place.path(&name), Slice::new("1.2.3", number).file()).unwrap();
    }
    let ended = place.run(&["run", "study-report", "--input", "study"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (folder, response) = place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::Complete);
    let study: Value = serde_json::from_slice(&fs::read(folder.join("study.json")).unwrap()).unwrap();
    assert_eq!((&study["instances"], &study["patient_id"]), (&4.into(), &"TEST-7".into()));
    let series = &study["series"][0];
    assert_eq!((&series["frames"], &series["columns"], &series["rows"]), (&4.into(), &32.into(), &32.into()));
    assert_eq!(series["classes"][0]["name"], "CT Image Storage");
    assert_eq!(series["findings"], serde_json::json!(["instance numbers are missing: 3"]));
    assert!(folder.join("pictures/series.png").exists());
    let report = folder.join("study-report.dcm");
    dsrdump(&report, &["4 instances of CT Image Storage, 32 × 32 pixels", "instance numbers are missing: 3"]);
    dciodvfy(&report);
    dciodvfy(&folder.join("capture/series.dcm"));
}
