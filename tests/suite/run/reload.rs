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
