//! Results that come back: an archive that sends on all that it gets makes no study grow.

use std::fs;
use std::path::Path;

use flow::journal::JournalReader;

use super::Place;
use super::again::script;
use super::nodes::{Listening, receiving_pacs};
use crate::support::peers::tool;

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
    assert!(flow.line("delivered").contains("1 objects"));
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
