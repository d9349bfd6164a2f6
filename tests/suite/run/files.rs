//! Studies in files, and what a person is told.

use std::fs;
use std::process::Command;

use flow::dataflow::ResponseVerdict;
use flow::step::Outcome;

use super::Place;
use crate::support::data::files_below;
use crate::support::peers::tool;

#[test]
fn without_anything_a_sample_is_run_and_compared_with_the_truth() {
    let place = Place::new();
    let ended = place.run(&["run", "--keep-days", "0"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for line in ["right lung", "left lung", "mean density", "below -950 HU", "The results lie in"] {
        assert!(ended.out.contains(line), "{line:?} in {}", ended.out);
    }
    let (folder, response) = place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations);
    for file in [
        "results.json",
        "report.dcm",
        "segmentation.dcm",
        "report.pdf",
        "pictures/coronal.png",
        "capture/axial.dcm",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let left: Vec<_> = fs::read_dir(place.path("flow-state/store")).unwrap().collect();
    assert!(left.is_empty(), "what is not to be kept leaves nothing in the state: {left:?}");
}

#[test]
fn after_a_retry_what_was_asked_for_runs_and_no_sample() {
    let place = Place::new();
    let work =
        "dataflow: work\nsteps:\n  one: {step: run-program, with: {program: 'false'}}\nresponse: [one]\n";
    fs::write(place.path("work.yaml"), work).unwrap();
    fs::write(place.path("item"), "it").unwrap();
    assert_eq!(place.run(&["run", "work.yaml", "--files", "item"]).code, 1);
    assert_eq!(place.run(&["retry", "item"]).code, 0);
    let again = place.run(&["run", "work.yaml"]);
    assert_eq!(again.code, 1, "{}", again.err);
    let others = again.err.lines().filter(|line| line.contains("accepted  ") && !line.contains("item_"));
    assert_eq!(others.count(), 0, "{}", again.err);
    assert!(again.err.contains("ERROR RESPONSE"), "{}", again.err);
}

#[test]
fn no_sample_is_run_beside_a_site() {
    let place = Place::new();
    let site = "nodes:\n  pacs: {address: 'PACS@127.0.0.1:9'}\nto: [pacs]\n";
    fs::write(place.path("site.yaml"), site).unwrap();
    let ended = place.run(&["run", "--site", "site.yaml"]);
    assert!(!ended.err.contains("accepted  ") && place.responses("flow-output").is_empty(), "{}", ended.err);
}

#[test]
fn one_study_in_two_compressions_is_one_request_and_one_instance_in_two_is_one_instance() {
    let Some(gdcmconv) = tool("/usr/bin/gdcmconv") else { return };
    let place = Place::new();
    place.study("plain", 1);
    fs::create_dir(place.path("compressed")).unwrap();
    for (number, file) in files_below(&place.path("plain")).iter().enumerate() {
        let to = place.path("compressed").join(format!("{number}.dcm"));
        let said = Command::new(gdcmconv).arg("--rle").arg(file).arg(&to).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    assert_eq!(place.run(&["run", "--input", "compressed"]).code, 0);
    let known = place.run(&["run", "--input", "plain"]);
    assert_eq!(known.code, 0, "{}", known.err);
    assert!(known.err.contains("known") && !known.err.contains("accepted  "), "{}", known.err);

    fs::rename(place.path("compressed/0.dcm"), place.path("plain/copy.dcm")).unwrap();
    let with_copy = place.run(&["run", "--input", "plain", "--state", "other", "--output", "other-output"]);
    assert_eq!(with_copy.code, 0, "{}", with_copy.err);
}

#[test]
fn every_study_in_any_nesting_is_answered_and_other_files_are_named() {
    let place = Place::new();
    place.study("in/a/b/one", 1);
    place.study("in/two", 2);
    fs::write(place.path("in/a/notes.txt"), "not an image").unwrap();
    fs::write(place.path("in/two/empty.dcm"), "").unwrap();
    let ended = place.run(&["run", "--input", "in", "--json"]);
    assert_eq!(ended.code, 1, "an empty file may be part of a study: {}", ended.err);
    assert!(ended.err.contains("notes.txt: it is not a DICOM file"), "{}", ended.err);
    assert!(ended.err.contains("empty.dcm"), "{}", ended.err);
    assert_eq!(place.responses("flow-output").len(), 2);
    let lines: Vec<serde_json::Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["verdict"] == "complete_with_reservations"), "{}", ended.out);
}

#[test]
fn a_missing_slice_and_a_damaged_one_are_told_with_place_and_remedy() {
    let place = Place::new();
    let files = place.study("gap", 1);
    fs::remove_file(&files[20]).unwrap();
    let files = place.study("cut", 2);
    let bytes = fs::read(&files[20]).unwrap();
    fs::write(&files[20], &bytes[..bytes.len() / 2]).unwrap();
    place.study("good", 3);
    let ended = place.run(&["run", "--input", "gap", "cut", "good", "--output", "out"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("series failed: ") && ended.err.contains("is missing"), "{}", ended.err);
    assert!(ended.err.contains("volume failed: slice 21 of 40"), "{}", ended.err);
    assert!(ended.err.contains("hint: "), "{}", ended.err);
    assert!(
        ended.err.contains("3 answered: 0 complete, 1 with reservations, 2 with an error response"),
        "{}",
        ended.err
    );
    let responses = place.responses("out");
    let failed: Vec<_> =
        responses.iter().filter(|(_, response)| response.verdict == ResponseVerdict::Failed).collect();
    assert_eq!((responses.len(), failed.len()), (3, 2), "one study's failure is no other's");
    for (name, response) in failed {
        for file in ["error.json", "error-report.dcm", "capture/error.dcm"] {
            assert!(place.path("out").join(name).join(file).is_file(), "{file}");
        }
        let skipped = response.steps.iter().find(|report| &*report.step == "densities").unwrap();
        assert!(matches!(skipped.outcome, Outcome::Skipped { .. }), "{skipped:?}");
    }
}

#[test]
fn the_same_study_again_changes_nothing() {
    let place = Place::new();
    let files = place.study("in", 1);
    assert_eq!(place.run(&["run", "--input", "in"]).code, 0);
    let first = super::tree(&place.path("flow-output"));
    // Under other names, in another order.
    for (number, file) in files.iter().enumerate() {
        fs::rename(file, place.path("in").join(format!("{:04}.bin", files.len() - number))).unwrap();
    }
    assert_eq!(place.run(&["run", "--input", "in"]).code, 0);
    assert_eq!(super::tree(&place.path("flow-output")), first);
}

#[test]
fn a_step_is_switched_off_by_an_edit_of_the_file_alone() {
    let place = Place::new();
    place.study("in", 1);
    let text = flow::dataflow::Dataflow::built_in("ct-lung").unwrap();
    let edited = text.replace("    step: draw-pictures\n", "    step: draw-pictures\n    enabled: false\n");
    fs::write(place.path("mine.yaml"), edited).unwrap();
    let ended = place.run(&["run", "mine.yaml", "--input", "in"]);
    assert_eq!(ended.code, 0, "nobody is at fault: {}", ended.err);
    let (folder, response) = place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations);
    assert!(folder.join("results.json").is_file() && !folder.join("pictures").exists());
}

#[test]
fn what_cannot_begin_ends_with_its_own_code_and_a_hint() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("wrong.yaml"), "dataflow: wrong\nsteps: {a: {step: find-lugns}}\nresponse: [a]\n")
        .unwrap();
    let check = |arguments: &[&str], code: i32, words: &[&str]| {
        let ended = place.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
        for word in words {
            assert!(ended.err.contains(word), "{arguments:?}: {word:?} in {}", ended.err);
        }
    };
    check(&["run", "ct-lnug"], 2, &["ct-lnug", "hint: ", "ct-lung"]);
    check(&["run", "wrong.yaml"], 3, &["wrong.yaml:2:", "find-lungs"]);
    check(&["run", "--input", "nowhere"], 66, &["nowhere"]);
    check(&["run", "--input", "empty"], 66, &["no DICOM study", "flow sample"]);
    check(&["run", "--memory", "lots"], 2, &["4GiB"]);
    check(&["run", "--to", "PACS"], 2, &["AETITLE@host:port"]);
    check(&["run", "-n", "2"], 2, &["--hosts"]);
    check(&["run", "--output", "wrong.yaml/x"], 74, &["wrong.yaml"]);
}
