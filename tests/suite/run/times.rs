//! The grammar of times on the command line: a number alone, with a unit, and with a space between them.

use std::fs;

use flow::journal::JournalReader;
use serde_json::{Value, json};

use super::Place;
use super::nodes::Listening;
use crate::support::peers::{tool, until};

/// Milliseconds of Unix time.
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

#[test]
fn a_pause_is_compared_with_a_time_in_every_form() {
    let place = Place::new();
    fs::write(place.path("letter"), "letter").unwrap();
    let flow = Listening::start(&place, &[]);
    assert_eq!(place.run(&["pause", "--dataflow", "ct-lung"]).code, 0);
    // It began 100 s ago.
    let path = place.path("flow-state/pauses.json");
    let mut pauses: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    pauses[0]["since_ms"] = json!(now_ms() - 100_000);
    fs::write(&path, pauses.to_string()).unwrap();
    let check = |time: &str| place.run(&["status", "--check", "--pause-max", time]);
    for shorter in ["5s", "5 s", "5", "5000 ms", "1min", "1 min"] {
        let ended = check(shorter);
        assert!(
            ended.code == 1 && ended.out.contains("paused: "),
            "{shorter:?}: {} {}",
            ended.code,
            ended.out
        );
    }
    for longer in ["7200s", "7200 s", "7200", "2h", "2 h", "120min"] {
        let ended = check(longer);
        assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{longer:?}: {}", ended.err);
    }
    for wrong in ["5 x", "s", "", "5 s s"] {
        let ended = check(wrong);
        assert!(
            ended.code == 2 && ended.err.contains("--pause-max"),
            "{wrong:?}: {} {}",
            ended.code,
            ended.err
        );
    }
    drop(flow);
}

/// Sent on its own, a study waits for its quiet time; an operator completes it before, or it is answered by itself.
#[test]
fn a_quiet_time_is_read_in_every_form() {
    let Some(storescu) = tool("/usr/bin/storescu") else { return };
    for (time, completed_by) in [
        ("7200s", "operator"),
        ("7200 s", "operator"),
        ("7200", "operator"),
        ("0.1s", "quiet_time"),
        ("0.1 s", "quiet_time"),
        ("0.1", "quiet_time"),
    ] {
        let place = Place::new();
        place.study("in", 1);
        let mut flow = Listening::start(&place, &["--quiet-time", time]);
        flow.send(storescu, &place.path("in"));
        if completed_by == "operator" {
            let waits = || place.run(&["complete"]).out.contains("40 instances").then_some(());
            until("it waits", waits);
            assert_eq!(place.run(&["complete", "SAMPLE-1"]).code, 0);
        }
        flow.line("answered");
        assert_eq!(flow.end(), 0);
        let history = JournalReader::open(&place.path("flow-state")).unwrap().history(1).unwrap();
        assert_eq!(history.request().unwrap().0.attribute("complete_by"), completed_by, "{time:?}");
    }
}
