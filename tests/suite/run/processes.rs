//! The same bytes on any number of workers, and in two processes.

use std::fs;
use std::process::Stdio;

use flow::journal::JournalReader;

use super::{Place, tree};
use crate::support::peers::{Background, until};
use crate::support::ports::free_port;

/// Two studies that are answered with results and one that is not.
fn studies(place: &Place) {
    place.study("in/one", 1);
    place.study("in/two", 2);
    fs::remove_file(&place.study("in/gap", 3)[10]).unwrap();
}

#[test]
fn the_same_bytes_on_1_2_4_and_8_workers() {
    let place = Place::new();
    studies(&place);
    let results = ["1", "2", "4", "8"].map(|workers| {
        let ended = place.run(&["run", "--input", "in", "-w", workers, "--output", workers]);
        assert_eq!(ended.code, 1, "{}", ended.err);
        tree(&place.path(workers))
    });
    assert!(results[0].len() > 20, "{:?}", results[0].keys());
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn the_same_bytes_in_two_processes() {
    let place = Place::new();
    studies(&place);
    place.run(&["run", "--input", "in", "--output", "alone"]);
    fs::write(place.path("hosts"), format!("127.0.0.1:{}\n127.0.0.1:{}\n", free_port(), free_port()))
        .unwrap();
    let common = ["run", "--input", "in", "--output", "both", "-n", "2", "--hosts", "hosts", "-w", "2"];
    let with = |index: &str| {
        let mut command = place.flow(&common);
        command.args(["-p", index]).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let (mut first, mut second) = (with("0"), with("1"));
    assert_eq!(first.wait().unwrap().code(), Some(1), "one study has an error response");
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert_eq!(tree(&place.path("both")), tree(&place.path("alone")));
}

#[test]
fn processes_that_do_not_fit_together_say_so() {
    let place = Place::new();
    place.study("in", 1);
    fs::write(place.path("hosts"), format!("127.0.0.1:{}\n127.0.0.1:{}\n", free_port(), free_port()))
        .unwrap();
    let arguments = ["run", "--input", "in", "-n", "2", "--hosts", "hosts"];
    let mut second =
        place.flow(&arguments).args(["-p", "1", "--lanes", "3"]).stderr(Stdio::null()).spawn().unwrap();
    let ended = place.run(&[&arguments[..], &["-p", "0"]].concat());
    assert_eq!(ended.code, 70, "{}", ended.err);
    assert!(ended.err.contains("3 lanes") && ended.err.contains("4 lanes"), "{}", ended.err);
    assert_eq!(second.wait().unwrap().code(), Some(70));
}

#[test]
fn a_cluster_runs_a_request_under_the_version_that_accepted_it() {
    let place = Place::new();
    fs::write(place.path("file"), "text").unwrap();
    let go = place.path("go");
    let dataflow = |word: &str| {
        let wait = format!("while [ ! -e {} ]; do sleep 0.01; done; echo {word}", go.display());
        let text = format!(
            "dataflow: wait\nlimits: {{memory: {{fixed: 1 B}}}}\nsteps:\n  wait: {{step: run-program, needs: \
             {{request: request}}, with: {{program: sh, arguments: [-c, '{wait}']}}}}\nresponse: [wait]\n"
        );
        fs::write(place.path("wait.yaml"), text).unwrap();
    };
    dataflow("first");
    let flow = Background::start(&mut place.flow(&["run", "wait.yaml", "--files", "file"]));
    until("the request is accepted", || {
        let rows = JournalReader::open(&place.path("flow-state")).ok()?.requests().ok()?;
        (!rows.is_empty()).then_some(())
    });
    drop(flow);
    dataflow("second");
    fs::write(&go, "").unwrap();
    fs::write(place.path("hosts"), format!("127.0.0.1:{}\n127.0.0.1:{}\n", free_port(), free_port()))
        .unwrap();
    fs::write(place.path("other"), "another text").unwrap();
    let arguments = ["run", "wait.yaml", "--files", "other", "-n", "2", "--hosts", "hosts"];
    let _second = Background::start(place.flow(&arguments).args(["-p", "1"]));
    let ended = place.run(&[&arguments[..], &["-p", "0"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    let mut said: Vec<String> = fs::read_dir(place.path("flow-output"))
        .unwrap()
        .map(|folder| fs::read_to_string(folder.unwrap().path().join("stdout.txt")).unwrap())
        .collect();
    said.sort();
    assert_eq!(said, ["first\n", "second\n"], "the request of before, and the one since");
}
