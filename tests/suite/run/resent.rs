//! Half a study that is sent again with other contents: nothing of it is taken for the whole without a word.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flow::dataflow::{Response, ResponseVerdict};

use super::Place;
use super::nodes::Listening;
use crate::support::peers::{run, tool};

const STORESCU: &str = "/usr/bin/storescu";
const DCMODIFY: &str = "/usr/bin/dcmodify";
const DCMCJPEG: &str = "/usr/bin/dcmcjpeg";

/// A study in `in`, and a share of its slices in `again`, changed.
fn study(seed: u64, again: usize, change: impl Fn(&[PathBuf])) -> Place {
    let place = Place::new();
    let files = place.study("in", seed);
    fs::create_dir(place.path("again")).unwrap();
    let copies = files[..again].iter().map(|file| {
        let copy = place.path("again").join(file.file_name().unwrap());
        fs::copy(file, &copy).unwrap();
        copy
    });
    change(&copies.collect::<Vec<_>>());
    place
}

fn with(modification: &str) -> impl Fn(&[PathBuf]) {
    move |files| {
        let changed = run(Command::new(DCMODIFY).args(["-nb", "-i", modification]).args(files));
        assert!(changed.status.success(), "{}", String::from_utf8_lossy(&changed.stderr));
    }
}

/// Noise of 16 in the stored values.
fn other_pixels(files: &[PathBuf]) {
    for file in files {
        let mut bytes = fs::read(file).unwrap();
        let pixels = bytes.len() - 96 * 96 * 2;
        bytes[pixels..].iter_mut().step_by(2).for_each(|byte| *byte ^= 16);
        fs::write(file, bytes).unwrap();
    }
}

/// Losslessly, with the same instance UIDs.
fn compressed(folder: &Path) {
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let done = run(Command::new(DCMCJPEG).args(["+e1", "+un"]).args([&file, &file]));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn codes(response: &Response) -> BTreeSet<&str> {
    let known = ["mixed_rescale", "mixed_versions", "patient_differs"];
    let codes = response.reservations.iter().map(|one| one.code.as_str());
    codes.filter(|code| known.contains(code)).collect()
}

/// Sends folders on one association, compressed or not.
fn store(flow: &Listening, folders: &[&Path]) {
    let arguments = ["-xs", "-aec", "FLOW", "+sd", "127.0.0.1", flow.port()];
    let sent = run(Command::new(STORESCU).args(arguments).args(folders));
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

/// Sends all and then `again`; the response to both.
fn after_completion(place: &Place) -> Response {
    let mut flow = Listening::start(place, &[]);
    store(&flow, &[&place.path("in")]);
    flow.line("answered");
    store(&flow, &[&place.path("again")]);
    flow.line("answered");
    flow.end();
    let mut responses = place.responses("flow-output").into_values();
    responses.find(|response| response.revises.is_some()).expect("one is a revision")
}

/// Sends both on one association.
fn before_completion(place: &Place) -> Response {
    let mut flow = Listening::start(place, &[]);
    store(&flow, &[&place.path("in"), &place.path("again")]);
    flow.line("answered");
    flow.end();
    place.response("flow-output").1
}

#[test]
fn half_a_study_with_other_contents_is_a_mixture_that_is_told() {
    let (Some(_), Some(_)) = (tool(STORESCU), tool(DCMODIFY)) else { return };
    let rescaled = with("(0028,1052)=-1000");
    let both = BTreeSet::from(["mixed_rescale", "mixed_versions"]);
    assert_eq!(codes(&after_completion(&study(1, 20, &rescaled))), both);
    assert_eq!(codes(&before_completion(&study(1, 20, &rescaled))), both);
    let pixels = BTreeSet::from(["mixed_versions"]);
    assert_eq!(codes(&after_completion(&study(1, 20, other_pixels))), pixels);
    assert_eq!(codes(&before_completion(&study(1, 20, other_pixels))), pixels);

    assert_eq!(codes(&after_completion(&study(1, 40, &rescaled))), BTreeSet::new());
    assert_eq!(codes(&before_completion(&study(1, 40, &rescaled))), BTreeSet::new());
}

#[test]
fn half_a_compressed_study_with_other_pixels_is_a_mixture_that_is_told() {
    let (Some(_), Some(_), Some(_)) = (tool(STORESCU), tool(DCMODIFY), tool(DCMCJPEG)) else { return };
    let place = |change: &dyn Fn(&[PathBuf])| {
        let place = study(1, 20, change);
        ["in", "again"].iter().for_each(|folder| compressed(&place.path(folder)));
        place
    };
    // As a scanner makes another reconstruction: with other times, too.
    let corrected = with("(0008,0033)=111111");
    let again = |files: &[PathBuf]| {
        other_pixels(files);
        corrected(files);
    };
    let mixed = BTreeSet::from(["mixed_versions"]);
    assert_eq!(codes(&after_completion(&place(&again))), mixed);
    assert_eq!(codes(&before_completion(&place(&again))), mixed);
    assert_eq!(codes(&after_completion(&place(&corrected))), BTreeSet::new());
    assert_eq!(codes(&before_completion(&place(&corrected))), BTreeSet::new());
}

#[test]
fn half_a_study_of_another_patient_is_told() {
    let (Some(_), Some(_)) = (tool(STORESCU), tool(DCMODIFY)) else { return };
    let another = study(1, 20, with("(0010,0020)=ANOTHER"));
    for response in
        [after_completion(&another), before_completion(&study(1, 20, with("(0010,0020)=ANOTHER")))]
    {
        assert_eq!(response.verdict, ResponseVerdict::Failed);
        assert!(format!("{response:?}").contains("2 different Patient IDs"), "{response:?}");
    }
    for modification in ["(0010,0030)=19010101", "(0010,0040)=F"] {
        let place = study(1, 20, with(modification));
        assert_eq!(codes(&after_completion(&place)), BTreeSet::from(["patient_differs"]), "{modification}");
    }
}
