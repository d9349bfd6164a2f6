//! What operators ask of a request: found by what they type, nothing is done on a guess, and what is done is
//! done at once.

use std::fs;

use flow::dataflow::ResponseVerdict;
use flow::journal::{AnswerKind, JournalReader, RequestRow, RequestState};

use super::Place;
use crate::support::peers::{Background, until};

const DATAFLOW: &str = "
dataflow: copy
limits: {memory: {fixed: 1 B, per_decoded_byte: 1.0}}
steps:
  copy:
    step: run-program
    needs: {request: request}
    with: {program: sh, arguments: [-c, 'cat items/* > out/copy.txt']}
response: [copy]
";

#[test]
fn what_means_none_or_several_changes_nothing_and_lists_what_it_could_be() {
    let place = Place::new();
    fs::write(place.path("copy.yaml"), DATAFLOW).unwrap();
    let names = ["letter-12", "letter-3", "parcel"];
    names.iter().for_each(|name| fs::write(place.path(name), name).unwrap());
    let mut arguments = vec!["run", "copy.yaml", "--files"];
    arguments.extend(names);
    assert_eq!(place.run(&arguments).code, 0);
    // In another folder, where no file has such a name.
    let state = place.path("flow-state").display().to_string();
    fs::create_dir(place.path("elsewhere")).unwrap();
    let run = |command: &str, text: &str| {
        let mut flow = place.flow(&[command, text, "--state", &state]);
        let ended = flow.current_dir(place.path("elsewhere")).output().unwrap();
        (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let before = fs::read(place.path("flow-state/journal.sqlite")).unwrap();
    for command in ["cancel", "retry", "keep", "explain"] {
        for text in ["", " ", "letter", "12", "9"] {
            let (code, said) = run(command, text);
            assert_eq!(code, 2, "{command} {text:?}: {said}");
            assert!(said.contains("  letter-12_"), "{command} {text:?}: {said}");
            assert_eq!(said.contains("parcel"), text != "letter", "{command} {text:?}: {said}");
        }
    }
    assert_eq!(fs::read(place.path("flow-state/journal.sqlite")).unwrap(), before);
    assert_eq!(run("explain", "letter-1").0, 0, "a part that only one has");
    assert_eq!(run("explain", "3").0, 0, "a number");
    let (code, said) = run("complete", "");
    assert_eq!(code, 2, "{said}");
}

const SLEEP: &str = "
dataflow: sleep
limits: {memory: {fixed: 1 B, per_decoded_byte: 1.0}}
steps:
  sleep:
    step: run-program
    needs: {request: request}
    with: {program: sleep, arguments: ['600']}
response: [sleep]
";

#[test]
fn a_cancelled_request_does_not_wait_for_one_that_may_have_ended_the_process() {
    let place = Place::new();
    fs::write(place.path("sleep.yaml"), SLEEP).unwrap();
    ["one", "two"].iter().for_each(|name| fs::write(place.path(name), name).unwrap());
    let rows = || JournalReader::open(&place.path("flow-state")).ok()?.requests().ok();
    let start = |file: &[&str]| {
        let fixed = ["run", "sleep.yaml", "--lanes", "2", "--output", "out", "--files"];
        Background::start(&mut place.flow(&[&fixed, file].concat()))
    };
    let flow = start(&["one", "two"]);
    until("both are in work", || {
        let reader = JournalReader::open(&place.path("flow-state")).ok()?;
        let began = |row: &RequestRow| reader.history(row.number).is_ok_and(|row| row.futile_starts() > 0);
        let rows = reader.requests().ok()?;
        (rows.len() == 2 && rows.iter().all(began)).then_some(())
    });
    drop(flow);
    assert_eq!(place.run(&["cancel", "2"]).code, 0);
    let _flow = start(&["one"]);
    until("it is answered while the other one is suspected", || {
        rows()?.iter().any(|row| row.number == 2 && row.state == RequestState::Answered).then_some(())
    });
}

#[test]
fn a_request_that_waits_for_its_turn_is_cancelled_at_once() {
    let place = Place::new();
    fs::write(place.path("sleep.yaml"), SLEEP).unwrap();
    let names = ["one", "two", "three", "four", "five"];
    names.iter().for_each(|name| fs::write(place.path(name), name).unwrap());
    let mut arguments = vec!["run", "sleep.yaml", "--lanes", "1", "--output", "out", "--files"];
    arguments.extend(names);
    let rows = || JournalReader::open(&place.path("flow-state")).ok()?.requests().ok();
    let cancelled = |number: i64, flow: Background| {
        let number = number.to_string();
        let asked = place.run(&["cancel", &number]);
        assert_eq!(asked.code, 0, "{}", asked.err);
        until("it is answered while another one has the lane", || {
            let rows = rows()?;
            let row = rows.iter().find(|row| row.number.to_string() == number)?;
            (row.state == RequestState::Answered && row.answer == AnswerKind::Failed).then_some(())
        });
        flow
    };
    let flow = Background::start(&mut place.flow(&arguments));
    until("requests wait", || rows().filter(|rows| rows.len() >= 2));
    let flow = cancelled(2, flow);
    until("all are accepted", || rows().filter(|rows| rows.len() >= 3));
    drop(flow);
    // It dies, and an operator ends a request before another flow begins.
    assert_eq!(place.run(&["cancel", "3"]).code, 0);
    let status = place.run(&["status"]).out;
    assert!(status.contains("  cancelled, "), "{status}");
    let last = rows().unwrap().last().unwrap().number;
    // Another file: one of those that are known would have its response sent again.
    fs::write(place.path("six"), "six").unwrap();
    let others = ["run", "sleep.yaml", "--lanes", "1", "--output", "out", "--files", "six"];
    let flow = Background::start(&mut place.flow(&others));
    until("the one that was ended while no flow ran is answered", || {
        rows()?.iter().any(|row| row.number == 3 && row.state == RequestState::Answered).then_some(())
    });
    let flow = if last > 3 { cancelled(last, flow) } else { flow };
    drop(flow);
    let failed = place.responses("out");
    assert!(failed.len() >= 2 && failed.values().all(|one| one.verdict == ResponseVerdict::Failed));
}
