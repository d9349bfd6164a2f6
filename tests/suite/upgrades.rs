//! A state folder of an earlier version: restored from a backup that was recorded, and gone on with.
//!
//! `tests/recorded/backup-0.1.0.tar.gz` is a backup of a state folder that flow 0.1.0 wrote: one study was answered, and
//! another one accepted while the dataflow was paused; then flow was killed.

use std::fs::File;
use std::path::Path;

use flow::dataflow::ResponseVerdict;

use crate::run::Place;

fn restored() -> Place {
    let place = Place::new();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/backup-0.1.0.tar.gz");
    let archive = flate2::read::GzDecoder::new(File::open(archive).expect("it is recorded"));
    tar::Archive::new(archive).unpack(place.path("backups")).expect("it is whole");
    let restored = place.run(&["restore", "backups", "--state", "state"]);
    assert_eq!(restored.code, 0, "{}", restored.err);
    assert!(restored.err.contains("2 requests, 1 not answered"), "{}", restored.err);
    place
}

#[test]
fn what_an_earlier_version_accepted_is_answered_by_this_one() {
    let place = restored();
    let status = place.run(&["status", "--state", "state"]);
    assert!(
        status.code == 0 && status.out.contains("waits for its dataflow, which is paused"),
        "{}",
        status.out
    );
    assert_eq!(place.run(&["resume", "--dataflow", "study-report", "--state", "state"]).code, 0);
    let ended = place.run(&["run", "study-report", "--state", "state", "--output", "output"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (_, response) = place.response("output");
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{response:?}");
    let status = place.run(&["status", "--state", "state"]);
    assert!(status.out.contains("2  answered, complete"), "{}", status.out);
}

#[test]
fn what_an_earlier_version_answered_is_explained_and_runs_again() {
    let place = restored();
    let explained = place.run(&["explain", "1", "--state", "state"]);
    assert_eq!(explained.code, 0, "{}", explained.err);
    assert!(explained.out.contains("study-report"), "{}", explained.out);
    // Results name the version that made them, so they may differ; the received files are found all the same.
    let replayed = place.run(&["replay", "1", "--state", "state"]);
    assert!(matches!(replayed.code, 0 | 1) && replayed.err.is_empty(), "{}{}", replayed.out, replayed.err);
}
