//! What `flow status` shows of studies on their way in, of requests in work, and of responses on their way out.

use std::fs;

use flow::admission::{PauseRecord, pause_part};
use flow::engine::PausablePart;
use serde_json::Value;

use super::Place;
use super::again::script;
use super::nodes::Listening;
use crate::support::peers::{Background, tool, until};
use crate::support::ports::free_port;

const STORESCU: &str = "/usr/bin/storescu";

/// The words for a destination outside of its windows.
const WINDOW: &str = "time of the day";

fn status(place: &Place) -> String {
    let ended = place.run(&["status"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    ended.out
}

/// The number that stands before a text.
fn count(status: &str, text: &str) -> Option<u64> {
    let lines = status.lines().filter_map(|line| line.trim_start().split_once("  "));
    let line = lines.into_iter().find(|(_, rest)| rest.starts_with(text));
    line.map(|(number, _)| number.parse().expect("it is a number"))
}

#[test]
fn a_study_that_is_being_received_is_shown_with_its_instances_so_far() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    let files = place.study("in", 1);
    fs::create_dir(place.path("first")).unwrap();
    for file in &files[..10] {
        fs::rename(file, place.path("first").join(file.file_name().unwrap())).unwrap();
    }
    let mut flow = Listening::start(&place, &["--quiet-time", "3600"]);
    let received = "instances received so far of the study ";
    assert_eq!(count(&status(&place), received), None);
    flow.send(storescu, &place.path("first"));
    assert_eq!(count(&status(&place), received), Some(10));
    flow.send(storescu, &place.path("in"));
    assert_eq!(count(&status(&place), received), Some(40));
    assert_eq!(place.run(&["complete", "SAMPLE-1"]).code, 0);
    flow.line("answered");
    let shown = status(&place);
    assert_eq!(count(&shown, received), None, "{shown}");
    assert_eq!(flow.end(), 0);
}

/// A flow to which a study without its middle is sent, with a destination that is not there. An error response of its
/// dataflow has objects.
fn failing(place: &Place, storescu: &str) -> (Listening, String) {
    fs::remove_file(&place.study("gap", 2)[10]).unwrap();
    let nobody = format!("NOBODY@127.0.0.1:{}", free_port());
    let flow = Listening::start(place, &["--to", &nobody, "--retry", "0"]);
    assert_eq!(place.run(&["status", "--check"]).code, 0);
    flow.send(storescu, &place.path("gap"));
    (flow, nobody)
}

/// All that says what became of a response.
fn told(place: &Place) -> [String; 4] {
    let delivery = place.response("flow-output").0.join("delivery.json");
    let [check, json] =
        [["status", "--check"], ["status", "--json"]].map(|arguments| place.run(&arguments).out);
    [status(place), check, json, fs::read_to_string(delivery).unwrap()]
}

#[test]
fn an_error_response_that_is_not_delivered_is_counted_and_is_trouble() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    let (mut flow, nobody) = failing(&place, storescu);
    flow.line("NOT DELIVERED");
    let errors = "of these with an error response";
    assert_eq!(count(&status(&place), errors), Some(1), "{}", status(&place));
    let check = place.run(&["status", "--check"]);
    assert_eq!(check.code, 1, "{}", check.out);
    for part in [": its error response is not delivered, since ", &nobody, "no connection"] {
        assert!(check.out.contains(part), "{part}: {}", check.out);
    }
    // There are no windows, so nothing speaks of one: neither while it runs, nor of what is left to the next start.
    let running = told(&place);
    assert!(running.iter().all(|text| !text.contains(WINDOW)), "{running:?}");
    assert_eq!(flow.end(), 1);
    let left = told(&place);
    assert!(left.iter().all(|text| !text.contains(WINDOW)), "{left:?}");
    assert!(left[1].contains("its error response is not delivered"), "{}", left[1]);
    assert!(left[3].contains("no connection"), "{}", left[3]);
}

#[test]
fn what_is_left_at_a_paused_destination_speaks_of_the_pause_and_of_no_window() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    fs::create_dir(place.path("flow-state")).unwrap();
    fs::remove_file(&place.study("gap", 2)[10]).unwrap();
    let nobody = format!("NOBODY@127.0.0.1:{}", free_port());
    let paused = PausablePart::Destination(nobody.clone());
    let record = PauseRecord { paused, since_ms: 0, who: "an operator".to_owned() };
    assert!(pause_part(&place.path("flow-state"), record).unwrap());
    let mut flow = Listening::start(&place, &["--to", &nobody]);
    flow.send(storescu, &place.path("gap"));
    until("the response is in its folder", || {
        fs::read_dir(place.path("flow-output")).ok()?.next().map(|_| ())
    });
    flow.end();
    let left = told(&place);
    assert!(left[3].contains("it is paused"), "{}", left[3]);
    assert!(left.iter().all(|text| !text.contains(WINDOW)), "{left:?}");
}

#[test]
fn the_age_of_a_request_in_work_grows() {
    let place = Place::new();
    place.study("in", 1);
    let go = place.path("go");
    script(&place, &format!("while [ ! -e {} ]; do sleep 0.01; done", go.display()));
    let mut flow = Background::start(&mut place.flow(&["run", "script.yaml", "--input", "in"]));
    let age = || {
        let shown = place.run(&["status"]).out;
        let (_, rest) = shown.split_once("accepted, ")?;
        let (age, _) = rest.split_once(" second").unwrap_or_else(|| panic!("{shown}"));
        Some(age.parse::<u64>().unwrap_or_else(|_| panic!("{shown}")))
    };
    let first = until("it is accepted", age);
    let mut last = first;
    until("it is older", || {
        let before = std::mem::replace(&mut last, age().expect("it is in work"));
        assert!(last >= before, "{last} s after {before} s");
        (last > first + 1).then_some(())
    });
    fs::write(go, "").unwrap();
    assert_eq!(flow.ended(), 0);
}

#[test]
fn a_request_that_an_operator_has_ended_stays_cancelled() {
    let place = Place::new();
    place.study("in", 1);
    place.study("other", 2);
    script(&place, "sleep 600");
    let mut flow = Background::start(&mut place.flow(&["run", "script.yaml", "--input", "in"]));
    let is_in_work = || place.run(&["status"]).out.contains("waits for the step work");
    until("it is in work", || is_in_work().then_some(()));
    assert_eq!(place.run(&["cancel", "1"]).code, 0);
    assert_eq!(flow.ended(), 1, "it has an error response");
    script(&place, "exit 3");
    assert_eq!(place.run(&["run", "script.yaml", "--input", "other"]).code, 1);

    let shown = status(&place);
    assert!(shown.contains("  cancelled, ") && shown.contains("  answered, ERROR RESPONSE, "), "{shown}");
    let json = place.run(&["status", "--json"]).out;
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_cancelled = |number: i64| {
        let line = lines.iter().find(|line| line["number"] == number).unwrap_or_else(|| panic!("{json}"));
        (line["cancelled"].clone(), line["error_response"].clone())
    };
    assert_eq!((is_cancelled(1), is_cancelled(2)), ((true.into(), true.into()), (false.into(), true.into())));
    // Where its records are damaged, that is not known; the other requests are shown as before.
    let change = |body: &str| {
        let journal = rusqlite::Connection::open(place.path("flow-state/journal.sqlite")).unwrap();
        let text = format!("UPDATE record SET body = {body} WHERE request = 1 AND kind = 'accepted'");
        assert_eq!(journal.execute(&text, []).unwrap(), 1);
    };
    change("body || ' '");
    let shown = status(&place);
    assert!(!shown.contains("cancelled") && shown.matches("ERROR RESPONSE").count() == 2, "{shown}");
    change("rtrim(body)");
    // Run again, it is an error response like others.
    assert_eq!(place.run(&["retry", "1"]).code, 0);
    assert_eq!(place.run(&["run", "script.yaml"]).code, 1);
    let shown = status(&place);
    assert!(!shown.contains("cancelled"), "{shown}");
}
