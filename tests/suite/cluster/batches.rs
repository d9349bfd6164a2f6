//! Steps of a stream that say `on: LABEL` by themselves: the processes with the label share their batches.

use std::collections::BTreeMap;
use std::fs;

use flow::journal::{BatchPlace, JournalEntry, JournalReader};

use super::placement::tree_of_files;
use super::signal;
use crate::run::Place;
use crate::support::peers::{Background, until};
use crate::support::ports::free_port;

const ITEMS: usize = 400;

/// Doubles numbers, but for one. It notes each call, and waits as long as there is a file.
const STEPS: &str = r#"
import os, time
from flow_step import Fault, step

@step
def double(item: "json", log: str = "") -> "json":
    "Doubles a number."
    with open(os.path.join(log, "calls"), "a") as calls:
        calls.write(f"{item['n']}\n")
    while os.path.exists(os.path.join(log, "wait")):
        time.sleep(0.02)
    if item["n"] == 77:
        raise Fault("77 is refused", "Leave it out.")
    return {**item, "n": 2 * item["n"]}
"#;

/// A dataflow whose second step has a label of its own, and a file of numbers.
struct SharedStream {
    place: Place,
    address: String,
}

impl SharedStream {
    fn new() -> SharedStream {
        let place = Place::new();
        fs::create_dir(place.path("log")).unwrap();
        let log = place.path("log").display().to_string();
        let text = format!(
            "dataflow: shared\nlimits: {{memory: {{fixed: 1 B}}}}\nprograms: [{{file: steps.py, writes: [{log}]}}]\n\
             steps:\n  lines: {{step: read-json-lines, needs: {{request: request}}}}\n  doubled: {{step: double, \
             needs: {{item: lines}}, with: {{log: {log}}}, on: compute, batch: {{size: 10}}}}\n  numbers: {{step: \
             pick-number, needs: {{item: doubled}}, with: {{group: /group, field: /n}}}}\n  total: {{step: total-json, \
             needs: {{numbers: numbers}}}}\n  report: {{step: write-total, needs: {{total: total}}}}\nresponse: \
             [report]\non_item_failure: complete with reservations\n"
        );
        fs::write(place.path("shared.yaml"), text).unwrap();
        fs::write(place.path("steps.py"), STEPS).unwrap();
        let line = |number| format!("{{\"group\": \"g{}\", \"n\": {number}}}\n", number % 7);
        fs::write(place.path("numbers"), (0..ITEMS).map(line).collect::<String>()).unwrap();
        let addresses: Vec<String> = (0..3).map(|_| format!("127.0.0.1:{}\n", free_port())).collect();
        for count in 1..=3 {
            fs::write(place.path(&format!("hosts-{count}")), addresses[..count].concat()).unwrap();
        }
        SharedStream { place, address: addresses[0].trim().to_owned() }
    }

    fn start(&self, count: &str, index: &str, more: &[&str]) -> Background {
        let hosts = format!("hosts-{count}");
        let run = ["run", "shared.yaml", "-w", "1", "-n", count, "-p", index, "--hosts", &hosts];
        Background::start(&mut self.place.flow(&[&run[..], more].concat()))
    }

    /// Starts a process that joins. It sees the programs of the dataflow, and nothing of the state folder.
    fn join(&self) -> Background {
        Background::start(&mut self.place.flow(&["join", &self.address, LABEL[0], LABEL[1]]))
    }

    fn until_status(&self, text: &str) {
        until(text, || self.place.run(&["status", "--check"]).out.contains(text).then_some(()));
    }

    /// Checks that the responses are those of a flow that is alone. Gives the batches by process.
    fn account(&self) -> BTreeMap<usize, BatchPlace> {
        let alone = ["run", "shared.yaml", "--files", "numbers", "--state", "alone", "--output", "out-alone"];
        let alone = self.place.run(&alone);
        assert_eq!(alone.code, 0, "{}", alone.err);
        assert_eq!(tree_of_files(&self.place, "flow-output"), tree_of_files(&self.place, "out-alone"));
        let reader = JournalReader::open(&self.place.path("flow-state")).unwrap();
        let history = reader.history(reader.requests().unwrap()[0].number).unwrap();
        let runs = history.entries.iter().filter_map(|dated| match &dated.entry {
            JournalEntry::Run(run) => Some(&run.batches),
            _ => None,
        });
        runs.flatten().map(|batches| (batches.process, batches.clone())).collect()
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.place.path("log/calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

const LABEL: [&str; 2] = ["--label", "compute"];
const FILES: [&str; 2] = ["--files", "numbers"];

#[test]
fn processes_with_the_label_share_the_batches_and_give_what_one_process_gives() {
    let shared = SharedStream::new();
    let mut others = [shared.start("3", "1", &LABEL), shared.start("3", "2", &LABEL)];
    // With both of them there, each gets some of the batches.
    fs::write(shared.place.path("log/wait"), "").unwrap();
    let mut first = shared.start("3", "0", &FILES);
    until("both are there", || {
        let status = shared.place.run(&["status"]).out;
        (status.matches(" (compute) is there since ").count() == 2).then_some(())
    });
    fs::remove_file(shared.place.path("log/wait")).unwrap();
    assert_eq!(first.ended(), 0);
    others.iter_mut().for_each(|other| assert_eq!(other.ended(), 0));
    assert_eq!(shared.calls().len(), ITEMS, "each item once");
    let places = shared.account();
    assert_eq!(places.keys().copied().collect::<Vec<usize>>(), [1, 2], "{places:?}");
    assert_eq!(places.values().map(|place| place.batches).sum::<u64>(), ITEMS as u64 / 10);
    assert!(places.values().all(|place| place.taken > 0 && place.given > 0), "{places:?}");
    let id = {
        let reader = JournalReader::open(&shared.place.path("flow-state")).unwrap();
        reader.requests().unwrap()[0].id.to_string()
    };
    let explained = shared.place.run(&["explain", &id]).out;
    let is_told = |process| explained.contains(&format!("ran in process {process}; "));
    assert!(explained.contains("doubled: ") && is_told(1) && is_told(2), "{explained}");
}

#[test]
fn batches_of_a_process_that_is_lost_go_to_one_that_joins() {
    let shared = SharedStream::new();
    fs::write(shared.place.path("log/wait"), "").unwrap();
    let lost = shared.start("2", "1", &LABEL);
    let mut first = shared.start("2", "0", &FILES);
    until("it works on some", || (!shared.calls().is_empty()).then_some(()));
    signal(&lost, "-KILL");
    drop(lost);
    until("status says what the batches wait for", || {
        let status = shared.place.run(&["status"]).out;
        status.contains("waits for a process with the label compute, for the step doubled").then_some(())
    });
    fs::remove_file(shared.place.path("log/wait")).unwrap();
    let mut joined = shared.join();
    assert_eq!(first.ended(), 0);
    assert_eq!(joined.ended(), 0);
    let places = shared.account();
    assert!(places.values().map(|place| place.batches).sum::<u64>() == ITEMS as u64 / 10, "{places:?}");
}

#[test]
fn a_request_whose_batches_wait_for_a_process_can_be_cancelled() {
    let shared = SharedStream::new();
    let mut first = shared.start("1", "0", &FILES);
    let id = until("the batches wait", || {
        let status = shared.place.run(&["status"]).out;
        let reader = JournalReader::open(&shared.place.path("flow-state")).ok()?;
        let id = reader.requests().ok()?.first()?.id.to_string();
        status.contains("waits for a process with the label compute").then_some(id)
    });
    let cancelled = shared.place.run(&["cancel", &id]);
    assert_eq!(cancelled.code, 0, "{}", cancelled.err);
    assert_eq!(first.ended(), 1, "an error response");
    assert!(shared.calls().is_empty());
}

#[test]
fn what_a_process_that_joined_gives_up_while_it_hangs_does_not_count() {
    let shared = SharedStream::new();
    fs::write(shared.place.path("log/wait"), "").unwrap();
    let mut first = shared.start("1", "0", &FILES);
    let mut joined = shared.join();
    until("it works on some", || (!shared.calls().is_empty()).then_some(()));
    signal(&joined, "-STOP");
    shared.until_status("a process with the label compute is NOT THERE");
    let begun = shared.calls().len();
    signal(&joined, "-CONT");
    until("they are begun again", || (shared.calls().len() > begun).then_some(()));
    fs::remove_file(shared.place.path("log/wait")).unwrap();
    assert_eq!(first.ended(), 0);
    assert_eq!(joined.ended(), 0);
    shared.account();
}

#[test]
fn a_process_with_another_program_gets_no_steps_and_fails_none() {
    let shared = SharedStream::new();
    let mut first = shared.start("1", "0", &FILES);
    shared.until_status("a process with the label compute is NOT THERE");
    fs::write(shared.place.path("steps.py"), STEPS.replace("2 * item", "3 * item")).unwrap();
    let mut other = shared.join();
    shared.until_status("CANNOT RUN steps: it does not know version");
    fs::write(shared.place.path("steps.py"), STEPS).unwrap();
    let mut right = shared.join();
    assert_eq!(first.ended(), 0);
    assert_eq!((other.ended(), right.ended()), (0, 0));
    shared.account();
}

#[test]
fn a_step_that_takes_the_stream_at_another_input_than_the_first_stays_with_it() {
    let place = Place::new();
    let steps = "from flow_step import step\n@step\ndef prefix(request: 'request') -> 'json':\n    return {}\n\
                 @step\ndef tag(prefix: 'json', item: 'json') -> 'json':\n    return {**item, **prefix}\n";
    fs::write(place.path("steps.py"), steps).unwrap();
    let text = "dataflow: tags\nprograms: [steps.py]\nsteps:\n  lines: {step: read-json-lines, needs: {request: \
                request}}\n  prefix: {step: prefix, needs: {request: request}}\n  tagged: {step: tag, needs: {prefix: \
                prefix, item: lines}ON}\n  numbers: {step: pick-number, needs: {item: tagged}, with: {group: /group, \
                field: /n}}\n  total: {step: total-json, needs: {numbers: numbers}}\n  report: {step: write-total, \
                needs: {total: total}}\nresponse: [report]\n";
    for (on, code) in [("", 0), (", on: compute", 3)] {
        fs::write(place.path("tags.yaml"), text.replace("ON", on)).unwrap();
        let check = place.run(&["check", "tags.yaml"]);
        assert_eq!(check.code, code, "{}", check.err);
        assert_eq!(
            check.err.contains("\"tagged\" cannot have an \"on\" of its own"),
            code == 3,
            "{}",
            check.err
        );
    }
}
