//! `flow hurry`: a request that waits begins before others, also where those wait on the disk, and after a kill.

use std::fs;

use flow::journal::{JournalEntry, JournalReader};

use super::Place;
use super::again::script;
use crate::support::peers::{Background, until};

/// A folder with files of which each is a request, and a step that waits for leave.
fn place(files: &[&str]) -> Place {
    let place = Place::new();
    files.iter().for_each(|name| fs::write(place.path(name), name).unwrap());
    script(&place, &format!("while [ ! -e {} ]; do sleep 0.01; done", place.path("leave").display()));
    place
}

/// Starts flow with one lane, and waits until the first request is in work and all others wait.
fn start(place: &Place, files: &[&str], priority: &str) -> Background {
    let arguments = ["run", "script.yaml", "--lanes", "1", "--priority", priority, "--files"];
    let flow = Background::saying_to(&mut place.flow(&[&arguments, files].concat()), &place.path("said"));
    until("they wait", || {
        let status = place.run(&["status"]).out;
        let waiting = status.matches("waits for its turn").count();
        (status.contains("waits for the step work") && waiting == files.len() - 1).then_some(())
    });
    flow
}

/// The time at which a request began last.
fn began_ms(place: &Place, number: i64) -> i64 {
    let reader = JournalReader::open(&place.path("flow-state")).unwrap();
    let history = reader.history(number).unwrap();
    let began = history.entries.iter().rev().find(|dated| dated.entry == JournalEntry::Began);
    began.unwrap_or_else(|| panic!("request {number} began")).time_ms
}

#[test]
fn a_request_that_waits_on_the_disk_is_hurried_once_and_begins_next() {
    let files = ["a.txt", "b.txt", "c.txt", "d.txt"];
    let place = place(&files);
    let mut flow = start(&place, &files, "off-peak");
    let hurried = place.run(&["hurry", "4"]);
    assert_eq!(hurried.code, 0, "{}", hurried.err);
    assert!(hurried.out.contains("hurry is noted; flow (process "), "{}", hurried.out);
    let again = place.run(&["hurry", "4"]);
    assert!(again.code == 2 && again.err.contains("is urgent already"), "{}", again.err);
    let begun = place.run(&["hurry", "1"]);
    assert!(begun.code == 2 && begun.err.contains("has begun: there is nothing to hurry"), "{}", begun.err);
    until("flow has seen it", || {
        fs::read_to_string(place.path("said")).unwrap().contains("urgent    ").then_some(())
    });
    assert!(place.run(&["explain", "4"]).out.contains("hurry was asked for by user "));
    fs::write(place.path("leave"), "").unwrap();
    assert_eq!(flow.ended(), 0);
    assert!(began_ms(&place, 4) <= began_ms(&place, 2) && began_ms(&place, 2) <= began_ms(&place, 3));
    let answered = place.run(&["hurry", "2"]);
    assert!(answered.code == 2 && answered.err.contains("is answered"), "{}", answered.err);
}

#[test]
fn a_hurried_request_begins_before_the_others_after_a_kill() {
    let files = ["a.txt", "b.txt", "c.txt"];
    let place = place(&files);
    let flow = start(&place, &files, "normal");
    assert_eq!(place.run(&["hurry", "3"]).code, 0);
    // Killed, whether it has seen that or not.
    drop(flow);
    fs::write(place.path("leave"), "").unwrap();
    let ended = place.run(&["run", "script.yaml", "--lanes", "1", "--files", "a.txt", "b.txt", "c.txt"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(began_ms(&place, 3) <= began_ms(&place, 2), "{}", ended.err);
}
