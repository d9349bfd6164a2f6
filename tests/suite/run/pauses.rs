//! `flow pause` and `flow resume`: what is paused waits, also after a restart, and nothing is lost.

use std::fs;

use super::Place;
use crate::support::peers::{Background, until};

/// A folder with a dataflow that a flow has run once.
fn place() -> Place {
    let place = Place::new();
    let text = "dataflow: count
steps:
  lines: {step: read-json-lines, needs: {request: request}}
  numbers: {step: pick-number, needs: {item: lines}, with: {field: /number, group: /kind}}
  total: {step: total-json, needs: {numbers: numbers}}
  report: {step: write-total, needs: {total: total}}
response: [report]
";
    fs::write(place.path("count.yaml"), text).unwrap();
    for (name, number) in [("first", 1), ("second", 2)] {
        let line = format!("{{\"kind\": \"a\", \"number\": {number}}}\n");
        fs::write(place.path(&format!("{name}.jsonl")), line).unwrap();
    }
    let ended = place.run(&["run", "./count.yaml", "--files", "first.jsonl"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    place
}

const RUN: [&str; 4] = ["run", "./count.yaml", "--files", "second.jsonl"];

#[test]
fn a_paused_dataflow_stays_so_after_a_kill_until_it_is_resumed() {
    let place = place();
    let misspelt = place.run(&["pause", "--dataflow", "cuont"]);
    assert!(misspelt.code == 2 && misspelt.err.contains("hint: did you mean \"count\""), "{}", misspelt.err);
    let paused = place.run(&["pause", "--dataflow", "count"]);
    assert!(paused.code == 0 && paused.out.starts_with("dataflow count: paused; "), "{}", paused.out);
    for _ in 0..2 {
        let flow = Background::start(&mut place.flow(&RUN));
        until("it waits", || {
            let status = place.run(&["status"]).out;
            let waits = status.contains("waits for its dataflow, which is paused");
            (waits && status.contains(" PAUSED  dataflow count, since ")).then_some(())
        });
        // A pause is trouble once it lasts.
        let check = |more: &[&str]| place.run(&[&["status", "--check"], more].concat());
        assert_eq!((check(&[]).code, check(&[]).out.as_str()), (0, ""));
        let long = check(&["--pause-max", "0"]);
        assert!(long.code == 1 && long.out.starts_with("paused: dataflow count, since "), "{}", long.out);
        // Killed.
        drop(flow);
    }
    // By a clock that was set back since, it has just begun; by one that was set forward, it lasts.
    let text = fs::read_to_string(place.path("flow-state/pauses.json")).unwrap();
    let mut pauses: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (since_ms, lasts) in [(4_102_444_800_000_i64, false), (1, true)] {
        pauses[0]["since_ms"] = since_ms.into();
        fs::write(place.path("flow-state/pauses.json"), pauses.to_string()).unwrap();
        let check = place.run(&["status", "--check"]).out;
        assert_eq!(check.contains("paused: dataflow count"), lasts, "{since_ms}: {check}");
    }
    let top = place.run(&["top", "--once"]).out;
    assert!(top.contains("PAUSED dataflow count, since ") && !top.contains("nothing is wrong"), "{top}");
    let json = place.run(&["status", "--json"]).out;
    assert!(json.lines().any(|line| line.starts_with("{\"paused\":{\"dataflow\":\"count\"}")), "{json}");
    let mut flow = Background::start(&mut place.flow(&RUN));
    until("flow is running", || place.run(&["status"]).out.contains("flow is running").then_some(()));
    let resumed = place.run(&["resume", "--dataflow", "count"]);
    assert!(resumed.out.contains("resumed; flow (process "), "{}", resumed.out);
    assert_eq!(flow.ended(), 0);
    assert_eq!(place.responses("flow-output").len(), 2);
    assert_eq!(place.run(&["resume", "--dataflow", "count"]).code, 2, "it is not paused");
}

#[test]
fn a_paused_step_holds_a_request_that_can_be_cancelled() {
    let place = place();
    let unknown = place.run(&["pause", "--step", "count/totals"]);
    assert!(unknown.code == 2 && unknown.err.contains("did you mean \"total\""), "{}", unknown.err);
    assert_eq!(place.run(&["pause", "--step", "count"]).code, 2);
    assert_eq!(place.run(&["pause", "--step", "count/report"]).code, 0);
    let mut flow = Background::start(&mut place.flow(&RUN));
    until("it waits", || {
        let status = place.run(&["status"]).out;
        status.contains("waits for the step report, which is paused").then_some(())
    });
    assert_eq!(place.run(&["cancel", "2"]).code, 0);
    assert_ne!(flow.ended(), 0);
    let verdicts =
        place.responses("flow-output").into_values().map(|response| response.verdict.is_complete());
    assert_eq!(verdicts.filter(|complete| !complete).count(), 1);
}

#[test]
fn a_response_to_a_paused_destination_is_left_to_a_later_start() {
    let place = place();
    assert_eq!(place.run(&["pause", "--destination", "output"]).code, 0);
    let ended = place.run(&RUN);
    assert!(ended.code != 0 && ended.err.contains("it is paused"), "{} {}", ended.code, ended.err);
    assert_eq!(place.responses("flow-output").len(), 1);
    assert_eq!(place.run(&["resume", "--destination", "output"]).code, 0);
    assert_eq!(place.run(&RUN).code, 0);
    assert_eq!(place.responses("flow-output").len(), 2);
}
