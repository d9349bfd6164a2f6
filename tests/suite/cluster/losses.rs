//! One process is lost at a moment that the test chooses.

use std::fs;

use flow::journal::JournalEntry;

use super::{ClusterScene, signal};
use crate::support::peers::until;

/// A script that waits for a file in the folder of the log.
fn awaiting(file: &str) -> String {
    format!("while [ ! -e {file} ]; do sleep 0.02; done")
}

fn scene(requests: usize, wait_in: usize) -> ClusterScene {
    // The path of the file is known once the folder is made.
    let mut scene = ClusterScene::new(2, requests, ["true", "true"], "");
    let go = awaiting(&scene.place.path("log/go").display().to_string());
    let text = fs::read_to_string(scene.place.path("two.yaml")).unwrap();
    let parts: Vec<&str> = text.split("; true; ").collect();
    let wait = format!("; {go}; ");
    let text = match wait_in {
        0 => [parts[0], &wait, parts[1], "; true; ", parts[2]].concat(),
        _ => [parts[0], "; true; ", parts[1], &wait, parts[2]].concat(),
    };
    fs::write(scene.place.path("two.yaml"), text).unwrap();
    scene.requests = requests;
    scene
}

#[test]
fn steps_of_every_process_are_in_the_journal_and_are_not_run_again() {
    let scene = scene(2, 1);
    let second = scene.start(1, &[]);
    let first = scene.start(0, &[]);
    until("the first step of both requests is recorded", || (scene.recorded("first") == 2).then_some(()));
    until("one of them runs in the other process", || {
        let text = fs::read_to_string(scene.place.path("flow-state/cluster.json")).ok()?;
        text.contains("\"requests\":1").then_some(())
    });
    drop((first, second));
    fs::write(scene.place.path("log/go"), "").unwrap();
    let mut second = scene.start(1, &[]);
    let mut first = scene.start(0, &[]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
    scene.account();
    for number in 0..2 {
        assert_eq!(scene.ended()[&format!("first r{number}")], 1);
    }
}

#[test]
fn a_process_goes_on_while_process_0_is_away_and_nothing_is_run_twice() {
    let scene = scene(2, 1);
    let mut second = scene.start(1, &[]);
    let first = scene.start(0, &[]);
    until("the first step of both requests is recorded", || (scene.recorded("first") == 2).then_some(()));
    drop(first);
    scene.until_said(1, "does not answer; waiting for it, 1 requests go on");
    fs::write(scene.place.path("log/go"), "").unwrap();
    until("its request is finished", || {
        scene.ended().keys().any(|line| line.starts_with("second")).then_some(())
    });
    let by_member: Vec<String> =
        scene.ended().into_keys().filter(|line| line.starts_with("second")).collect();
    let mut first = scene.start(0, &[]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
    scene.account();
    let ended = scene.ended();
    assert!(by_member.iter().all(|line| ended[line] == 1), "{ended:?}");
    assert!((0..2).all(|number| ended[&format!("first r{number}")] == 1), "{ended:?}");
}

#[test]
fn the_requests_of_a_process_that_hangs_run_elsewhere_and_its_late_answers_are_refused() {
    let scene = scene(2, 0);
    let mut second = scene.start(1, &[]);
    let mut first = scene.start(0, &[]);
    until("one request runs in the other process", || {
        let text = fs::read_to_string(scene.place.path("flow-state/cluster.json")).ok()?;
        text.contains("\"requests\":1").then_some(())
    });
    signal(&second, "-STOP");
    scene.until_said(0, "is lost; 1 request and 0 steps of it begin elsewhere");
    let status = scene.place.run(&["status"]);
    assert!(status.out.contains("process 1"), "{}", status.out);
    assert!(status.out.contains("NOT THERE"), "{}", status.out);
    signal(&second, "-CONT");
    scene.until_said(1, "generation=2");
    fs::write(scene.place.path("log/go"), "").unwrap();
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
    scene.account();
}

#[test]
fn the_last_process_goes_on_alone_and_takes_up_one_that_comes_back() {
    let scene = scene(4, 0);
    let second = scene.start(1, &[]);
    let mut first = scene.start(0, &[]);
    until("requests run in the other process", || {
        let text = fs::read_to_string(scene.place.path("flow-state/cluster.json")).ok()?;
        text.contains("\"requests\":2").then_some(())
    });
    drop(second);
    scene.until_said(0, "is lost; 2 requests and 0 steps of it begin elsewhere");
    let mut second = scene.start(1, &[]);
    scene.until_said(0, "is there again after");
    fs::write(scene.place.path("log/go"), "").unwrap();
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
    scene.account();
}

#[test]
fn deadlines_and_cancellation_reach_the_other_processes() {
    let scene = ClusterScene::new(2, 2, ["sleep 600", "true"], ", deadline: 1 s");
    let mut second = scene.start(1, &[]);
    let mut first = scene.start(0, &[]);
    until("both have their interim response", || {
        let histories = scene.histories();
        let interim = |entry: &JournalEntry| matches!(entry, JournalEntry::Interim { .. });
        let have =
            histories.iter().filter(|history| history.entries.iter().any(|dated| interim(&dated.entry)));
        (have.count() == 2).then_some(())
    });
    for history in scene.histories() {
        let ended = scene.place.run(&["cancel", &history.row.id.to_string()]);
        assert_eq!(ended.code, 0, "{}", ended.err);
    }
    assert_eq!(first.ended(), 1, "both have an error response: {}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
    for history in scene.histories() {
        let response = history.response().expect("it is answered");
        assert!(response.faults().next().unwrap().1.to_string().contains("cancelled"));
        assert!(response.supersedes.is_some(), "it supersedes the interim response");
    }
}
