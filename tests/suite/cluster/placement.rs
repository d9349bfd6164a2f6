//! Steps that say `on: LABEL` run on a process with that label, and wait where there is none.

use std::fs;

use flow::dataflow::{Dataflow, ResponseVerdict};
use flow::journal::{JournalEntry, JournalReader, RunRecord};
use flow::step::Outcome;

use super::{ClusterScene, signal};
use crate::run::{Place, tree};
use crate::support::peers::{Background, until};
use crate::support::ports::free_port;

const LABEL: [&str; 2] = ["--label", "big-memory"];

/// A scene of two processes, whose second step says `on: big-memory` and runs a script.
fn scene(requests: usize, script: impl Fn(&str) -> String, more: &str) -> ClusterScene {
    scene_of(2, requests, script, more)
}

fn scene_of(processes: usize, requests: usize, script: impl Fn(&str) -> String, more: &str) -> ClusterScene {
    let mut scene = ClusterScene::new(processes, requests, ["true", "true"], "");
    let script = format!("; {}; ", script(&scene.place.path("log").display().to_string()));
    let text = fs::read_to_string(scene.place.path("two.yaml")).unwrap();
    let parts: Vec<&str> = text.split("; true; ").collect();
    let text = [parts[0], "; true; ", parts[1], &script, parts[2]].concat();
    let on = format!("second: {{step: run-program, on: big-memory{more},");
    fs::write(scene.place.path("two.yaml"), text.replace("second: {step: run-program,", &on)).unwrap();
    scene.requests = requests;
    scene
}

/// A script that notes that it has begun, and waits for a file.
fn waiting(log: &str) -> String {
    format!("echo $name >> {log}/began; while [ ! -e {log}/go ]; do sleep 0.02; done")
}

fn nothing(_: &str) -> String {
    "true".to_owned()
}

/// The records of a step, of all requests.
fn records(scene: &ClusterScene, step: &str) -> Vec<RunRecord> {
    let histories = scene.histories();
    let entries = histories.iter().flat_map(|history| &history.entries);
    let runs = entries.filter_map(|dated| match &dated.entry {
        JournalEntry::Run(run) if run.step == step => Some(run.clone()),
        _ => None,
    });
    runs.collect()
}

fn process_of(record: &RunRecord) -> Option<usize> {
    record.place.map(|place| place.process)
}

fn lines(scene: &ClusterScene, log: &str) -> usize {
    fs::read_to_string(scene.place.path(&format!("log/{log}"))).map_or(0, |text| text.lines().count())
}

fn end(mut processes: [Background; 2], scene: &ClusterScene) {
    assert_eq!(processes[0].ended(), 0, "{}", scene.said(0));
    assert_eq!(processes[1].ended(), 0, "{}", scene.said(1));
}

#[test]
fn a_step_runs_on_the_process_with_its_label_and_gives_what_it_gives_on_one() {
    let scene = scene(3, nothing, "");
    let second = scene.start(1, &LABEL);
    end([scene.start(0, &[]), second], &scene);
    scene.account();
    let (first, second) = (records(&scene, "first"), records(&scene, "second"));
    assert!(first.len() == 3 && first.iter().all(|run| process_of(run) == Some(0)), "{first:?}");
    assert!(second.len() == 3 && second.iter().all(|run| process_of(run) == Some(1)), "{second:?}");
    assert!(second.iter().all(|run| !run.inputs.is_empty()));
    let id = scene.histories()[0].row.id.to_string();
    let explained = scene.place.run(&["explain", &id]).out;
    assert!(explained.contains("ran in process 0\n"), "{explained}");
    assert!(explained.contains("ran in process 1; "), "{explained}");
    assert!(explained.contains(" bytes of outputs came back"), "{explained}");
    let alone = ["run", "two.yaml", "--files", "r0", "r1", "r2", "--state", "alone", "--output", "out-alone"];
    let alone = scene.place.run(&alone);
    assert_eq!(alone.code, 0, "{}", alone.err);
    let digests = |output: &str| -> Vec<_> {
        let responses = scene.place.responses(output).into_values();
        responses.map(|response| (response.name.clone(), response.digest())).collect()
    };
    assert_eq!(digests("flow-output"), digests("out-alone"));
}

#[test]
fn a_step_whose_process_is_killed_runs_again_when_that_is_back() {
    let scene = scene(1, waiting, "");
    let second = scene.start(1, &LABEL);
    let first = scene.start(0, &[]);
    until("the step runs", || (lines(&scene, "began") == 1).then_some(()));
    signal(&second, "-KILL");
    drop(second);
    scene.until_said(0, "the process that ran a step is lost");
    until("status says what it waits for", || {
        let status = scene.place.run(&["status"]).out;
        status.contains("waits for a process with the label big-memory, for the step second").then_some(())
    });
    fs::write(scene.place.path("log/go"), "").unwrap();
    let second = scene.start(1, &LABEL);
    end([first, second], &scene);
    scene.account();
    assert_eq!(lines(&scene, "began"), 2);
    let runs = records(&scene, "second");
    assert!(runs.len() == 1 && process_of(&runs[0]) == Some(1), "{runs:?}");
}

#[test]
fn without_a_process_with_its_label_a_step_waits_and_status_says_so() {
    let scene = scene(2, nothing, "");
    let other = scene.start(1, &["--label", "network"]);
    let first = scene.start(0, &[]);
    let check = until("status says what is missing", || {
        let check = scene.place.run(&["status", "--check"]);
        check.out.contains("a process with the label big-memory is NOT THERE, since").then_some(check)
    });
    assert_eq!(check.code, 1, "{}", check.out);
    until("it says how many wait for it", || {
        scene.place.run(&["status"]).out.contains("waited for by 2 steps").then_some(())
    });
    assert!(records(&scene, "second").is_empty(), "nobody else runs it");
    drop(other);
    let second = scene.start(1, &LABEL);
    end([first, second], &scene);
    scene.account();
}

#[test]
fn a_step_goes_on_while_process_0_is_away() {
    let scene = scene(1, waiting, "");
    let second = scene.start(1, &LABEL);
    let first = scene.start(0, &[]);
    until("the step runs", || (lines(&scene, "began") == 1).then_some(()));
    drop(first);
    scene.until_said(1, "does not answer; waiting for it");
    let first = scene.start(0, &[]);
    scene.until_said(1, "is there again");
    fs::write(scene.place.path("log/go"), "").unwrap();
    end([first, second], &scene);
    scene.account();
    assert_eq!(lines(&scene, "began"), 1, "it is not begun again");
    assert_eq!(records(&scene, "second").len(), 1);
}

#[test]
fn a_step_of_a_process_that_hangs_waits_for_it_and_its_answer_counts_once() {
    let scene = scene(2, waiting, "");
    let second = scene.start(1, &LABEL);
    let first = scene.start(0, &[]);
    until("both steps run", || (lines(&scene, "began") == 2).then_some(()));
    signal(&second, "-STOP");
    until("status says what is missing", || {
        scene.place.run(&["status"]).out.contains("waited for by 2 steps").then_some(())
    });
    signal(&second, "-CONT");
    scene.until_said(1, "is there again");
    fs::write(scene.place.path("log/go"), "").unwrap();
    end([first, second], &scene);
    scene.account();
    assert_eq!(records(&scene, "second").len(), 2);
}

#[test]
fn the_late_end_of_a_process_that_hung_is_dropped() {
    let script =
        |log: &str| format!("echo $name >> {log}/began; while [ ! -e {log}/go-$name ]; do sleep 0.02; done");
    let scene = scene_of(3, 2, script, "");
    let mut members = [1, 2].map(|index| scene.start(index, &LABEL));
    let mut first = scene.start(0, &[]);
    until("each runs a step", || (lines(&scene, "began") == 2).then_some(()));
    signal(&members[0], "-STOP");
    until("the other one runs both", || (lines(&scene, "began") == 3).then_some(()));
    let began = fs::read_to_string(scene.place.path("log/began")).unwrap();
    let again = began.lines().last().unwrap();
    let other = if again == "r0" { "r1" } else { "r0" };
    fs::write(scene.place.path(&format!("log/go-{again}")), "").unwrap();
    until("it is answered", || (scene.answered() == 1).then_some(()));
    until("it has ended twice", || (scene.ended()[&format!("second {again}")] == 2).then_some(()));
    signal(&members[0], "-CONT");
    scene.until_said(1, "is there again");
    fs::write(scene.place.path(&format!("log/go-{other}")), "").unwrap();
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    members.iter_mut().for_each(|member| assert_eq!(member.ended(), 0));
    scene.account();
    let runs = records(&scene, "second");
    assert!(runs.len() == 2 && runs.iter().all(|run| process_of(run) == Some(2)), "{runs:?}");
}

#[test]
fn cancellation_reaches_the_step() {
    let script = |log: &str| format!("trap 'touch {log}/stopped; exit 1' TERM; {}", waiting(log));
    let scene = scene(1, script, "");
    // On a busy machine a script needs time to say that it was asked to end.
    let patient =
        fs::read_to_string(scene.place.path("two.yaml")).unwrap().replace("grace_s: 0.2", "grace_s: 60");
    fs::write(scene.place.path("two.yaml"), patient).unwrap();
    let mut second = scene.start(1, &LABEL);
    let mut first = scene.start(0, &[]);
    until("the step runs", || (lines(&scene, "began") == 1).then_some(()));
    let id = scene.histories()[0].row.id.to_string();
    let cancelled = scene.place.run(&["cancel", &id]);
    assert_eq!(cancelled.code, 0, "{}", cancelled.err);
    until("its program is stopped", || scene.place.path("log/stopped").exists().then_some(()));
    assert_eq!(first.ended(), 1, "an error response: {}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
    let (_, response) = scene.place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::Failed);
    assert_eq!(scene.ended().get("second r0"), None);
}

#[test]
fn a_step_is_repeated_and_timed_out_as_here_and_each_attempt_is_recorded() {
    let script = |log: &str| {
        format!("if [ ! -e {log}/$name ]; then touch {log}/$name; exit 75; fi; [ $name = r0 ] || sleep 600")
    };
    let more = ", retry: {count: 1, first_delay: 10 ms, on: [transient]}, timeout: 5 s";
    let scene = scene(2, script, more);
    let mut second = scene.start(1, &LABEL);
    let mut first = scene.start(0, &[]);
    assert_eq!(first.ended(), 1, "one has an error response: {}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
    for (name, response) in scene.place.responses("flow-output") {
        let fault = response.faults().next().map(|(_, fault)| fault.reason.clone());
        match name.starts_with("r0") {
            true => assert_eq!(fault, None),
            false => assert_eq!(fault.as_deref(), Some("not finished after 5 s")),
        }
    }
    let runs = records(&scene, "second");
    let failed = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_))).count();
    assert_eq!((failed, runs.len() - failed), (2, 1), "{runs:?}");
}

/// Runs a dataflow on two processes, the second of which has the label, and on one; both give the same files. The
/// second one is among the hosts, or joins. Gives the bytes that were moved there and back.
fn gives_the_same(text: &str, input: &[&str], place: &Place, joins: bool) -> (u64, u64) {
    fs::write(place.path("placed.yaml"), text).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    fs::write(place.path("hosts"), format!("{address}\n127.0.0.1:{}\n", free_port())).unwrap();
    let count = if joins { "1" } else { "2" };
    let cluster = ["run", "placed.yaml", "-w", "1", "-n", count, "--hosts", "hosts", "-p"];
    let elsewhere = Place::new();
    let mut second = match joins {
        true => Background::start(&mut elsewhere.flow(&["join", &address, LABEL[0], LABEL[1]])),
        false => Background::start(&mut place.flow(&[&cluster[..], &["1"], &LABEL].concat())),
    };
    let first = place.run(&[&cluster[..], &["0"], input].concat());
    assert_eq!(first.code, 0, "{}", first.err);
    assert_eq!(second.ended(), 0);
    let alone = ["run", "placed.yaml", "-w", "1", "--state", "alone", "--output", "out-alone"];
    let alone = place.run(&[&alone[..], input].concat());
    assert_eq!(alone.code, 0, "{}", alone.err);
    assert_eq!(tree_of_files(place, "flow-output"), tree_of_files(place, "out-alone"));
    let reader = JournalReader::open(&place.path("flow-state")).unwrap();
    let history = reader.history(reader.requests().unwrap()[0].number).unwrap();
    let places = history.entries.iter().filter_map(|dated| match &dated.entry {
        JournalEntry::Run(run) => run.place,
        _ => None,
    });
    let (there, here): (Vec<_>, Vec<_>) = places.partition(|place| place.process == 1);
    assert!(!there.is_empty() && !here.is_empty(), "some ran in each process");
    there.iter().fold((0, 0), |(taken, given), place| (taken + place.taken, given + place.given))
}

/// The files of the responses, without what says how they were delivered.
pub fn tree_of_files(place: &Place, output: &str) -> Vec<(std::path::PathBuf, flow::step::Digest)> {
    let files = tree(&place.path(output)).into_iter();
    files.filter(|(path, _)| path.file_name().is_none_or(|name| name != "delivery.json")).collect()
}

/// A study, and `ct-lung` with steps that take its items and large values elsewhere.
fn placed_study(place: &Place) -> String {
    place.study("study", 7);
    let text = Dataflow::built_in("ct-lung").unwrap();
    ["read-header", "find-lungs", "measure-densities"].iter().fold(text.to_owned(), |text, step| {
        let placed = text.replace(&format!("step: {step}\n"), &format!("step: {step}\n    on: big-memory\n"));
        assert_ne!(placed, text);
        placed
    })
}

#[test]
fn large_values_reach_the_process_with_the_label_and_come_back() {
    let place = Place::new();
    let text = placed_study(&place);
    let (taken, given) = gives_the_same(&text, &["--input", "study"], &place, false);
    assert!(taken > 2 * 96 * 96 * 40 && given > 0, "the volume is brought there: {taken}, {given}");
}

#[test]
fn a_process_that_joins_gets_all_that_its_steps_need_over_the_connection() {
    let place = Place::new();
    let text = placed_study(&place);
    let (taken, given) = gives_the_same(&text, &["--input", "study"], &place, true);
    let items: u64 = crate::support::data::files_below(&place.path("study"))
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(taken > items + 2 * 96 * 96 * 40 && given > 0, "also the items: {taken}, {given}");
}

const STREAM: &str = "dataflow: placed\nlimits: {memory: {fixed: 1 B}}\nsteps:\n  lines: {step: read-json-lines, needs: \
                      {request: request}, on: big-memory}\n  numbers: {step: pick-number, needs: {item: lines}, with: \
                      {group: /group, field: /n}, on: big-memory}\n  total: {step: total-json, needs: {numbers: \
                      numbers}, on: big-memory}\n  report: {step: write-total, needs: {total: total}}\nresponse: \
                      [report]\n";

#[test]
fn steps_that_a_stream_connects_run_there_together() {
    for joins in [false, true] {
        let place = Place::new();
        let line = |number| format!("{{\"group\": \"g{}\", \"n\": {number}}}\n", number % 7);
        fs::write(place.path("jobs"), (0..500).map(line).collect::<String>()).unwrap();
        gives_the_same(STREAM, &["--files", "jobs"], &place, joins);
    }
}

#[test]
fn a_step_of_a_process_that_joined_and_is_lost_is_run_by_another_that_joins() {
    let (scene, elsewhere) = (scene_of(1, 1, waiting, ""), Place::new());
    let address = scene.address();
    let joins = || Background::start(&mut elsewhere.flow(&["join", &address, LABEL[0], LABEL[1]]));
    let mut first = scene.start(0, &[]);
    let lost = joins();
    until("the step runs", || (lines(&scene, "began") == 1).then_some(()));
    signal(&lost, "-KILL");
    drop(lost);
    let mut second = joins();
    fs::write(scene.place.path("log/go"), "").unwrap();
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0);
    scene.account();
    assert_eq!(records(&scene, "second").len(), 1);
    let status = scene.place.run(&["status"]).out;
    assert!(!status.contains("PROCESS"), "{status}");
}

#[test]
fn places_are_checked_and_shown() {
    let place = Place::new();
    let text = Dataflow::built_in("tally").unwrap();
    let placed = |step: &str, on: &str| {
        text.replace(&format!("step: {step}\n"), &format!("step: {step}\n    on: {on}\n"))
    };
    fs::write(place.path("wrong.yaml"), placed("write-total", "Big Memory")).unwrap();
    let wrong = place.run(&["check", "wrong.yaml"]);
    assert_eq!(wrong.code, 3, "{}", wrong.err);
    assert!(wrong.err.contains("small letters and digits, words joined by hyphens"), "{}", wrong.err);
    fs::write(place.path("apart.yaml"), placed("read-json-lines", "network")).unwrap();
    let apart = place.run(&["check", "apart.yaml"]);
    assert_eq!(apart.code, 3, "{}", apart.err);
    assert!(apart.err.contains("\"jobs\" cannot have an \"on\" of its own"), "{}", apart.err);
    fs::write(place.path("calls.yaml"), placed("call-http", "network")).unwrap();
    let calls = place.run(&["check", "calls.yaml"]);
    assert_eq!(calls.code, 0, "{}", calls.err);
    let shown = place.run(&["graph", "calls.yaml", "--placement"]).out;
    assert!(
        shown.lines().any(|line| line.starts_with("network") && line.contains("found, first, second")),
        "{shown}"
    );
    fs::write(place.path("right.yaml"), placed("write-total", "big-memory")).unwrap();
    let right = place.run(&["check", "right.yaml"]);
    assert_eq!(right.code, 0, "{}", right.err);
    assert!(right.err.contains("in a cluster it waits for a process with this label"), "{}", right.err);
    fs::write(place.path("site.yaml"), "labels: [big-memory]\ndataflow: right.yaml\n").unwrap();
    let own = place.run(&["check", "--site", "site.yaml"]);
    assert!(own.code == 0 && !own.err.contains("in a cluster"), "{}", own.err);
    let shown = place.run(&["graph", "right.yaml", "--placement"]).out;
    assert!(shown.lines().any(|line| line.starts_with("anywhere    jobs, kind,")), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("big-memory  ")), "{shown}");
}
