//! A reload: SIGHUP has the site's rules and the dataflows read again.

use std::fs;
use std::process::Command;

use flow::dataflow::ResponseVerdict;

use super::Place;
use super::again::script;
use super::nodes::Listening;
use crate::support::peers::{run, tool};
use crate::support::ports::free_port;

const STORESCU: &str = "/usr/bin/storescu";
const PYTHON: &str = "/usr/bin/python3";

fn hang_up(flow: &Listening) {
    let pid = flow.id().to_string();
    assert!(run(Command::new("kill").args(["-HUP", &pid])).status.success());
}

#[test]
fn a_reload_holds_for_requests_from_then_on_and_a_broken_file_changes_nothing() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    ["one", "two", "three"].iter().zip(1..).for_each(|(name, seed)| drop(place.study(name, seed)));
    let go = place.path("go");
    script(&place, &format!("while [ ! -e {} ]; do sleep 0.01; done", go.display()));
    fs::write(place.path("site.yaml"), "rules: [{default: script.yaml}]\n").unwrap();
    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);
    flow.send(storescu, &place.path("one"));
    flow.line("accepted");

    // A second dataflow, and a rule for it; what cannot be reloaded is named.
    let text = fs::read_to_string(place.path("script.yaml")).unwrap();
    fs::write(place.path("quick.yaml"), text.replace("dataflow: script", "dataflow: quick")).unwrap();
    let quick = fs::read_to_string(place.path("quick.yaml")).unwrap();
    let quick = quick.replace("while [ ! -e", "true; : [ ! -e").replace("; do sleep 0.01; done", "");
    fs::write(place.path("quick.yaml"), quick).unwrap();
    let site = "rules: [{when: {modality: CT}, dataflow: quick.yaml}, {default: script.yaml}]\nlanes: 2\n";
    fs::write(place.path("site.yaml"), site).unwrap();
    hang_up(&flow);
    assert!(flow.line("not reloaded: lanes").contains("takes a new start"));
    let told = flow.line("reloaded");
    assert!(told.contains("quick ") && told.contains("script "), "{told}");
    flow.send(storescu, &place.path("two"));
    assert!(flow.line("answered").contains("complete"), "while the first one is in work");

    // A broken file: its problem is told, and what was there goes on.
    fs::write(place.path("quick.yaml"), "dataflow: quick\nstep: {}\n").unwrap();
    hang_up(&flow);
    let told = flow.line("NOT RELOADED");
    assert!(told.contains("the dataflows and rules of before go on"), "{told}");
    assert!(flow.line("quick.yaml:2").contains("step"), "the problem with its place");
    flow.send(storescu, &place.path("three"));
    flow.line("answered");
    fs::write(&go, "").unwrap();
    flow.line("answered");
    assert_eq!(flow.end(), 0);
    let mut names: Vec<_> = place
        .responses("flow-output")
        .into_values()
        .inspect(|response| assert_eq!(response.verdict, ResponseVerdict::Complete))
        .map(|response| response.dataflow.to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["quick", "quick", "script"]);
}

#[test]
fn a_changed_overlay_holds_for_requests_from_then_on_and_a_broken_one_changes_nothing() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    ["one", "two", "three"].iter().zip(1..).for_each(|(name, seed)| drop(place.study(name, seed)));
    script(&place, "echo base");
    fs::create_dir(place.path("customers")).unwrap();
    let overlay = |word: &str| {
        let text = "customer: north\ndataflow: ../script.yaml\nsteps:\n  work: {with: {arguments: [-c, echo WORD]}}\n";
        fs::write(place.path("customers/north.yaml"), text.replace("WORD", word)).unwrap();
    };
    overlay("first");
    let site = "rules: [{when: {modality: CT}, customer: north}, {default: script.yaml}]\n";
    fs::write(place.path("site.yaml"), site).unwrap();
    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);
    flow.send(storescu, &place.path("one"));
    flow.line("answered");
    overlay("second");
    hang_up(&flow);
    assert!(flow.line("reloaded").contains("script-north "));
    flow.send(storescu, &place.path("two"));
    flow.line("answered");

    // A step that does not exist: told with file and line, and the second one goes on.
    let broken = "customer: north\ndataflow: ../script.yaml\nsteps:\n  wrok: {enabled: false}\n";
    fs::write(place.path("customers/north.yaml"), broken).unwrap();
    hang_up(&flow);
    flow.line("NOT RELOADED");
    assert!(flow.line("customers/north.yaml:4").contains("wrok"), "the problem with its place");
    flow.send(storescu, &place.path("three"));
    flow.line("answered");
    assert_eq!(flow.end(), 0);
    let mut said: Vec<String> = fs::read_dir(place.path("flow-output"))
        .unwrap()
        .map(|folder| fs::read_to_string(folder.unwrap().path().join("stdout.txt")).unwrap())
        .collect();
    said.sort();
    assert_eq!(said, ["first\n", "second\n", "second\n"]);
}

/// A request waits for `GO`, and then for a step in Python.
const WAITS: &str = "dataflow: mine
programs: [steps.py]
steps:
  wait: {step: run-program, needs: {}, with: {program: sh, reads: [FOLDER], arguments: [-c, 'while [ ! -e GO ]; do sleep 0.01; done']}}
  word: {step: word, needs: {waited: wait.files, request: request}}
response: [word]
";

#[test]
fn a_changed_script_holds_for_requests_from_then_on_and_a_broken_one_changes_nothing() {
    let (Some(storescu), Some(_)) = (tool(STORESCU), tool(PYTHON)) else { return };
    let place = Place::new();
    ["one", "two"].iter().zip(1..).for_each(|(name, seed)| drop(place.study(name, seed)));
    let go = place.path("go");
    let waits = WAITS.replace("GO", &go.display().to_string());
    let waits = waits.replace("FOLDER", &go.parent().unwrap().display().to_string());
    fs::write(place.path("mine.yaml"), waits).unwrap();
    let write = |word: &str| {
        let step =
            "@step\ndef word(waited: 'files', request: 'request') -> 'files':\n    return {'word.txt':";
        fs::write(place.path("steps.py"), format!("from flow_step import step\n{step} '{word}'}}\n"))
            .unwrap();
    };
    write("first");
    fs::write(place.path("site.yaml"), "rules: [{default: mine.yaml}]\n").unwrap();
    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);
    flow.send(storescu, &place.path("one"));
    flow.line("accepted");

    write("second");
    hang_up(&flow);
    assert!(flow.line("reloaded").contains("mine "));
    // One that is broken is told with file and line, and one without the step as well.
    fs::write(place.path("steps.py"), "from flow_step import step\ndef word(\n").unwrap();
    hang_up(&flow);
    flow.line("NOT RELOADED");
    let told = flow.line("mine.yaml:2");
    assert!(told.contains("steps.py") && told.contains("SyntaxError"), "the problem with its place: {told}");
    let other = "from flow_step import step\n@step\ndef other(item: 'item') -> 'json':\n    return 1\n";
    fs::write(place.path("steps.py"), other).unwrap();
    hang_up(&flow);
    flow.line("NOT RELOADED");
    assert!(flow.line("mine.yaml:5").contains("word"), "the problem with its place");
    flow.send(storescu, &place.path("two"));
    flow.line("accepted");

    // No process of either version has been started yet.
    fs::write(&go, "").unwrap();
    flow.line("answered");
    flow.line("answered");
    assert_eq!(flow.end(), 0);
    let mut said: Vec<String> = fs::read_dir(place.path("flow-output"))
        .unwrap()
        .map(|folder| fs::read_to_string(folder.unwrap().path().join("word.txt")).unwrap())
        .collect();
    said.sort();
    assert_eq!(said, ["first", "second"]);
}

#[test]
fn a_process_of_a_cluster_refuses_to_reload_and_goes_on() {
    let place = Place::new();
    fs::write(place.path("hosts"), format!("127.0.0.1:{}\n127.0.0.1:{}\n", free_port(), free_port()))
        .unwrap();
    let common = ["-n", "2", "--hosts", "hosts", "-p"];
    let mut second = place.flow(&["run"]);
    let second = second
        .args(common)
        .args(["1", "--listen", "0"])
        .stderr(fs::File::create(place.path("said")).unwrap());
    let mut second = second.spawn().unwrap();
    let mut first = Listening::start(&place, &[&common[..], &["0"]].concat());
    hang_up(&first);
    first.line("NOT RELOADED: the processes of a cluster");
    assert!(run(Command::new("kill").args(["-HUP", &second.id().to_string()])).status.success());
    crate::support::peers::until("the second one refuses", || {
        fs::read_to_string(place.path("said")).unwrap().contains("NOT RELOADED").then_some(())
    });
    assert_eq!(first.end(), 0);
    assert_eq!(second.wait().unwrap().code(), Some(0));
}
