//! Results that come back: an archive that sends on all that it gets makes no study grow.

use std::fs;
use std::path::Path;

use flow::journal::JournalReader;

use super::Place;
use super::again::script;
use super::nodes::{Listening, receiving_pacs};
use crate::support::peers::{tool, until};

#[test]
fn an_object_that_a_program_made_comes_back_and_is_no_part_of_the_study() {
    let (Some(storescu), Some(storescp)) = (tool("/usr/bin/storescu"), tool("/usr/bin/storescp")) else {
        return;
    };
    let place = Place::new();
    // An object of another maker in the same study: the program gives it as its result.
    let files = place.study("in", 1);
    fs::rename(files.last().unwrap(), place.path("made.dcm")).unwrap();
    place.study("two", 2);
    place.study("three", 3);
    let made = place.path("made.dcm").display().to_string();
    script(&place, &format!("cp {made} out/made.dcm"));
    let (_pacs, destination) = receiving_pacs(&place, storescp);
    let arguments = ["script.yaml", "--to", &destination];

    let mut flow = Listening::start(&place, &arguments);
    flow.send(storescu, &place.path("in"));
    assert!(flow.line("delivered").contains("1 object "));
    flow.line("answered");
    assert_nothing_grows(&mut flow, &place, storescu, ("two", 2));
    assert_eq!(flow.end(), 0);
    // The next process knows it from the journal.
    let mut flow = Listening::start(&place, &arguments);
    assert_nothing_grows(&mut flow, &place, storescu, ("three", 3));
    assert_eq!(flow.end(), 0);
}

/// Sends back what the archive has, and then another study: once that is answered, there is a request for each
/// study and no more.
fn assert_nothing_grows(flow: &mut Listening, place: &Place, storescu: &str, other: (&str, usize)) {
    let (folder, studies) = other;
    flow.send(storescu, &place.path("pacs"));
    flow.send(storescu, Path::new(&place.path(folder)));
    flow.line("answered");
    let rows = JournalReader::open(&place.path("flow-state")).unwrap().requests().unwrap();
    assert_eq!(rows.len(), studies, "{rows:?}");
}

#[test]
fn what_a_program_made_and_lies_among_files_is_no_part_of_the_study() {
    let place = Place::new();
    let files = place.study("in", 1);
    fs::rename(files.last().unwrap(), place.path("made.dcm")).unwrap();
    // It also passes on an instance of the study, which stays one.
    let passed_on = files[0].display();
    script(
        &place,
        &format!("cp {} out/made.dcm; cp {passed_on} out/passed_on.dcm", place.path("made.dcm").display()),
    );
    assert_eq!(place.run(&["run", "script.yaml", "--input", "in"]).code, 0);
    let (folder, _) = place.response("flow-output");

    fs::rename(&folder, place.path("in/results")).unwrap();
    let again = place.run(&["run", "script.yaml", "--input", "in"]);
    assert!(again.err.contains("made by a program of a step"), "{}", again.err);
    assert!(!again.err.contains("passed_on"), "{}", again.err);
    let requests = || JournalReader::open(&place.path("flow-state")).unwrap().requests().unwrap().len();
    assert_eq!(requests(), 1, "{}", again.err);

    fs::create_dir(place.path("drop")).unwrap();
    fs::copy(place.path("made.dcm"), place.path("drop/back.dcm")).unwrap();
    fs::write(place.path("site.yaml"), "watch: {folder: drop, settle_time: 0.05}\n").unwrap();
    let mut flow = Listening::start(&place, &["script.yaml", "--site", "site.yaml"]);
    until("it is taken", || (!place.path("drop/back.dcm").exists()).then_some(()));
    assert_eq!(flow.end(), 0);
    assert_eq!(requests(), 1);
}
