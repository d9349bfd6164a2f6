//! `flow replay` and `flow explain` as a person starts them.

use std::fs;

use super::{Place, tree};
use crate::program_steps::has_python;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/measure.tar");

/// The version of flow that recorded it.
const RECORDED_BY: &str = "0.2.0";

/// A place where a small study has been run; the name of its request.
fn answered() -> (Place, String) {
    let place = Place::new();
    place.study("study", 1);
    assert_eq!(place.run(&["run", "--input", "study"]).code, 0);
    let name = place.responses("flow-output").into_keys().next().expect("there is a response");
    (place, name)
}

/// `ct-lung` with one text in it replaced.
fn other_dataflow(place: &Place, text: &str, other: &str) {
    let file = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/dataflows/ct-lung.yaml")).unwrap();
    assert!(file.contains(text));
    fs::write(place.path("other.yaml"), file.replace(text, other)).unwrap();
}

#[test]
fn a_replay_says_step_by_step_what_is_identical_and_changes_nothing() {
    let (place, name) = answered();
    let before = tree(&place.path("flow-output"));
    let replayed = place.run(&["replay", &name]);
    assert_eq!(replayed.code, 0, "{}", replayed.err);
    assert!(replayed.out.contains("headers          40 runs, identical"), "{}", replayed.out);
    assert!(replayed.out.ends_with("\n14 steps, 14 identical\n"), "{}", replayed.out);
    for (scope, said) in [
        (["--only", "lungs"], "lungs            identical"),
        (["--from", "png"], "png              identical"),
        (["--from", "densities"], "report           identical"),
    ] {
        let replayed = place.run(&["replay", &name, scope[0], scope[1]]);
        assert_eq!(replayed.code, 0, "{}", replayed.err);
        assert!(replayed.out.contains(said) && !replayed.out.contains("series"), "{}", replayed.out);
    }
    let wrong = place.run(&["replay", &name, "--only", "lung"]);
    assert_eq!((wrong.code, wrong.err.contains("it has headers, series")), (2, true), "{}", wrong.err);
    assert!(tree(&place.path("flow-output")) == before);
    assert!(!place.path("flow-replay").exists());
}

#[test]
fn a_shadow_shows_what_would_differ_value_by_value_and_picture_by_picture() {
    let (place, name) = answered();
    other_dataflow(&place, "step: draw-pictures", "step: draw-pictures\n    with: {low_density: -900}");
    let before = tree(&place.path("flow-output"));
    let shadow = place.run(&["replay", &name, "--dataflow", "other.yaml", "--diff"]);
    assert_eq!((shadow.code, shadow.err.as_str()), (1, ""));
    for said in [
        "gives other pictures: its parameters changed",
        "of 1000 × 900 pixels differ (",
        "capture/coronal.dcm:\n      PixelData",
        "\n14 steps, 10 identical\n",
    ] {
        assert!(shadow.out.contains(said), "{said:?} is not in {}", shadow.out);
    }
    assert!(
        !shadow.out.contains("UID"),
        "the shadow's results have the identifiers of the recorded: {}",
        shadow.out
    );
    let marked = fs::read(place.path("flow-replay/png/pictures/coronal.png")).unwrap();
    assert!(marked.starts_with(b"\x89PNG"));
    assert!(tree(&place.path("flow-output")) == before, "nothing is delivered");

    other_dataflow(&place, "  lungs:\n", "  lungs:\n    enabled: false\n");
    let shadow = place.run(&["replay", &name, "--dataflow", "other.yaml", "--json"]);
    let last: serde_json::Value = serde_json::from_str(shadow.out.lines().last().unwrap()).unwrap();
    let others = last["others"].to_string();
    assert_eq!((shadow.code, others.contains("lungs ran before, and does not now")), (1, true), "{others}");
}

#[test]
fn files_that_are_gone_or_changed_are_said_to_be() {
    let (place, name) = answered();
    let file = place.path("study/0007.dcm");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let changed = place.run(&["replay", &name]);
    assert_eq!((changed.code, changed.err.contains("has been changed")), (74, true), "{}", changed.err);
    fs::remove_file(&file).unwrap();
    let gone = place.run(&["replay", &name]);
    assert_eq!((gone.code, gone.err.contains("hint: a request from files")), (74, true), "{}", gone.err);
}

#[test]
fn an_exported_request_replays_elsewhere_also_without_its_patient() {
    let (place, name) = answered();
    let elsewhere = Place::new();
    let file = elsewhere.path("case.tar");
    let file = file.to_str().unwrap();
    assert_eq!(place.run(&["replay", &name, "--export", file]).out, format!("{file}\n"));
    assert_eq!(
        place.run(&["replay", &name, "--export", &format!("{file}.anonymous"), "--anonymous"]).code,
        0
    );
    drop(place);
    for (file, known) in [("case.tar", true), ("case.tar.anonymous", false)] {
        let replayed = elsewhere.run(&["replay", file]);
        assert_eq!(replayed.code, 0, "{}", replayed.err);
        assert!(replayed.out.ends_with("\n14 steps, 14 identical\n"), "{}", replayed.out);
        let bytes = fs::read(elsewhere.path(file)).unwrap();
        let patient = bytes.windows(8).any(|window| window == b"SAMPLE-1");
        assert_eq!(patient, known, "{file}");
        assert!(elsewhere.run(&["explain", file]).out.contains("find-lungs"));
    }
    let bytes = fs::read(elsewhere.path("case.tar")).unwrap();
    fs::write(elsewhere.path("cut.tar"), &bytes[..bytes.len() / 2]).unwrap();
    let cut = elsewhere.run(&["replay", "cut.tar"]);
    assert_eq!((cut.code, cut.err.contains("could not use cut.tar")), (74, true), "{}", cut.err);
}

const FAILING: &str = r#"
import os, sys, time
from flow_step import *

@step
def boom(item: "item") -> "files":
    raise ValueError("boom")

@step
def fault(item: "item") -> "files":
    print("said before")
    raise Fault("bad")

@step
def interrupted(item: "item") -> "files":
    raise KeyboardInterrupt

@step
def no_image(item: "item") -> "files":
    raise ValueError(f"cannot identify image file {item.path}")

@step
def slow(item: "item") -> "files":
    time.sleep(3600)

@step
def passing(item: "item") -> "files":
    if not hasattr(passing, "failed"):
        passing.failed = True
        print("the first time", file=sys.stderr)
        raise Fault("first", transient=True)
    return {"a.txt": "a"}

@step
def numbers(request: "request") -> "*json":
    yield from range(3)

@step
def each(number: "json") -> "json":
    if number == 1:
        raise KeyboardInterrupt
    return number

@step
def total(numbers: "*json") -> "files":
    return {"total.json": sum(numbers)}
"#;

#[test]
fn what_failed_is_identical_when_it_fails_again() {
    if !has_python() {
        return;
    }
    let place = Place::new();
    fs::write(place.path("a.txt"), "a").unwrap();
    fs::write(place.path("steps.py"), FAILING).unwrap();
    let alone = |step: &str| format!("  {step}: {{step: {step}, needs: {{item: request.items}}}}\n");
    let slow = "  slow: {step: slow, needs: {item: request.items}, timeout: 500 ms, \
                retry: {count: 1, first_delay: 10 ms, on: [timed_out]}}\n";
    let passing =
        "  passing: {step: passing, needs: {item: request.items}, retry: {count: 2, first_delay: 10 ms}}\n";
    let program = "  program: {step: run-program, needs: {item: request.items}, \
                   with: {program: sh, arguments: [-c, 'echo oops in $PWD >&2; exit 3']}}\n";
    let stream = "  numbers: {step: numbers, needs: {request: request}}\n  \
                  each: {step: each, needs: {number: numbers}}\n  total: {step: total, needs: {numbers: each}}\n";
    let cases: [(&str, String, &str); 8] = [
        ("boom", alone("boom"), ""),
        ("fault", alone("fault"), ""),
        ("interrupted", alone("interrupted"), ""),
        ("no-image", alone("no-image"), ""),
        ("slow", slow.to_owned(), ""),
        ("passing", passing.to_owned(), ""),
        ("program", program.to_owned(), ""),
        ("total", stream.to_owned(), "on_item_failure: complete with reservations\n"),
    ];
    for (name, steps, more) in cases {
        let text =
            format!("dataflow: {name}\nprograms: [steps.py]\n{more}steps:\n{steps}response: [{name}]\n");
        fs::write(place.path("one.yaml"), text).unwrap();
        let output = format!("out-{name}");
        let run = place.run(&["run", "one.yaml", "--files", "a.txt", "--state", name, "--output", &output]);
        let replayed = place.run(&["replay", "1", "--state", name]);
        assert_eq!(replayed.code, 0, "{name}: {}\n{}\n{}", run.out, replayed.out, replayed.err);
        assert!(replayed.out.contains("identical") && !replayed.out.contains("DIFFERS"), "{}", replayed.out);
    }
}

/// Each dataflow has a program leave a mark in the folder of the place.
#[test]
fn an_exported_file_starts_no_program_unless_it_is_trusted() {
    let place = Place::new();
    let (here, mark) = (place.path("").display().to_string(), place.path("mark"));
    fs::write(place.path("file.txt"), "a\n").unwrap();
    let count = include_str!("../../../examples/steps/count.sh");
    fs::write(place.path("count.sh"), format!("touch {here}/mark\n{count}")).unwrap();
    let named = format!("programs: [{{file: count.sh, writes: ['{here}']}}]\n");
    let own = format!("{named}steps: {{lines: {{step: count-lines, needs: {{item: request.items}}}}}}\n");
    let script = format!("touch {here}/mark && cp item out/copy.txt");
    let with = format!("{{program: sh, arguments: [-c, '{script}'], writes: ['{here}']}}");
    let other =
        format!("steps: {{lines: {{step: run-program, needs: {{item: request.items}}, with: {with}}}}}\n");
    for (name, steps) in [("own", own), ("other", other)] {
        let text = format!("dataflow: {name}\n{steps}response: [lines]\n");
        fs::write(place.path(&format!("{name}.yaml")), text).unwrap();
        let (state, file) = (format!("{name}-state"), format!("{name}.tar"));
        let ran = place.run(&["run", &format!("{name}.yaml"), "--files", "file.txt", "--state", &state]);
        assert_eq!((ran.code, mark.exists()), (0, true), "{}", ran.err);
        assert_eq!(place.run(&["replay", "1", "--state", &state, "--export", &file]).code, 0);
        fs::remove_file(&mark).unwrap_or_default();
        let replayed = place.run(&["replay", &file]);
        assert_eq!((replayed.code, mark.exists()), (2, false), "{}", replayed.err);
        assert!(
            replayed.err.contains("starts programs") && replayed.err.contains("--trust"),
            "{}",
            replayed.err
        );
        let explained = place.run(&["explain", &file]);
        assert_eq!(
            (explained.code, mark.exists()),
            (if name == "own" { 2 } else { 0 }, false),
            "{}",
            explained.err
        );
        let trusted = place.run(&["replay", &file, "--trust"]);
        assert_eq!((trusted.code, mark.exists()), (0, true), "{}", trusted.err);
        fs::remove_file(&mark).unwrap();
    }
}

/// The request was recorded by an earlier flow. If a step gives other results on purpose, its version is
/// raised and the file made anew, in an empty folder:
///
/// ```sh
/// flow sample study --matrix 48 --slices 16 --noise 0
/// flow run TESTS/recorded/measure.yaml --input study
/// flow replay SAMPLE-1 --export TESTS/recorded/measure.tar
/// ```
/// The report names the version of flow that recorded it; nothing else may differ.
#[test]
fn a_recorded_request_still_gives_what_it_gave() {
    let replayed = Place::new().run(&["replay", RECORDED, "--diff"]);
    let version = env!("CARGO_PKG_VERSION");
    let (identical, named) = if RECORDED_BY == version { (7, 0) } else { (6, 5) };
    let summary = format!("\n7 steps, {identical} identical\n");
    assert!(replayed.out.ends_with(&summary), "{}{}", replayed.out, replayed.err);
    let changes: Vec<&str> = replayed.out.lines().filter(|line| line.contains(" → ")).collect();
    assert_eq!(changes.len(), named, "{}", replayed.out);
    for change in changes {
        let (before, after) = change.split_once(" → ").expect("it is a change");
        let before = before.rsplit("  ").next().unwrap_or_default();
        assert_eq!(before.replace(RECORDED_BY, version), after, "{}", replayed.out);
    }
}

#[test]
fn a_failed_study_is_explained() {
    let place = Place::new();
    let files = place.study("study", 1);
    fs::remove_file(&files[20]).unwrap();
    assert_eq!(place.run(&["run", "--input", "study"]).code, 1);
    let name = place.responses("flow-output").into_keys().next().expect("there is a response");
    let explained = place.run(&["explain", &name]);
    assert_eq!(explained.code, 0, "{}", explained.err);
    for said in [
        "series  sort-series ",
        "FAILED: 1 slice is missing in series 1",
        "hint: Send the study again with all its slices.",
        "fails again for the same values at its inputs",
        "skipped: it needs series, which failed",
        "runs if series does not fail",
        "  answered, ",
    ] {
        assert!(explained.out.contains(said), "{said:?} is not in {}", explained.out);
    }
    let json = place.run(&["explain", &name, "--json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["steps"][1]["endings"][0]["outcome"], "failed");
    assert!(place.run(&["replay", &name]).out.ends_with("\n6 steps, 6 identical\n"));
}
