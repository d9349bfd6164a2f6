//! What comes again, late, or is asked for by an operator.

use std::fs;
use std::process::Stdio;

use flow::dataflow::{Response, ResponseVerdict};
use flow::journal::{JournalEntry, JournalReader, RequestState};

use super::Place;
use super::nodes::Listening;
use crate::support::peers::{Background, answering, run, tool, until};
use crate::support::ports::free_port;

const STORESCU: &str = "/usr/bin/storescu";

/// A study of which the last four slices come late: without them the lungs are cut.
fn study_in_two_parts(place: &Place) {
    let files = place.study("first", 1);
    fs::create_dir(place.path("late")).unwrap();
    for file in &files[36..] {
        fs::rename(file, place.path("late").join(file.file_name().unwrap())).unwrap();
    }
}

#[test]
fn late_images_make_a_revision_of_which_only_what_has_changed_is_run() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    study_in_two_parts(&place);
    let mut flow = Listening::start(&place, &[]);
    flow.send(storescu, &place.path("first"));
    flow.line("answered");
    flow.send(storescu, &place.path("late"));
    flow.line("answered");
    flow.send(storescu, &place.path("first"));
    flow.line("known");
    assert_eq!(flow.end(), 1, "the first answer was an error response");

    let reader = JournalReader::open(&place.path("flow-state")).unwrap();
    let rows = reader.requests().unwrap();
    assert_eq!(rows.len(), 2, "what was sent again in part is no third request: {rows:?}");
    let responses = place.responses("flow-output");
    let revision = &responses[&rows[1].name];
    assert_eq!(revision.revises, Some(rows[0].id), "it says whose place it takes");
    let first = &responses[&rows[0].name];
    assert_eq!((first.revises, first.verdict), (None, ResponseVerdict::Failed));
    assert_eq!(revision.verdict, ResponseVerdict::CompleteWithReservations);
    let history = reader.history(rows[1].number).unwrap();
    assert_eq!(history.request().unwrap().0.items.len(), 40);
    let runs = |step: &str| {
        let is_it = |entry: &JournalEntry| matches!(entry, JournalEntry::Run(run) if run.step == step);
        history.entries.iter().filter(|dated| is_it(&dated.entry)).count()
    };
    assert_eq!((runs("headers"), runs("lungs")), (4, 1), "the headers of the others are known");

    for scope in [&[][..], &["--from", "series"]] {
        let replayed = place.run(&[&["replay", &rows[1].name], scope].concat());
        assert_eq!(replayed.code, 0, "what it has from the earlier request is found: {}", replayed.out);
    }
}

#[test]
fn a_dataflow_may_ignore_what_comes_late() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    study_in_two_parts(&place);
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/dataflows/ct-lung.yaml")).unwrap();
    fs::write(place.path("ct.yaml"), text + "\nrevisions: ignore\n").unwrap();
    let mut flow = Listening::start(&place, &["ct.yaml"]);
    flow.send(storescu, &place.path("first"));
    flow.line("answered");
    flow.send(storescu, &place.path("late"));
    assert!(flow.line("ignored").contains("4 items"));
    assert_eq!(flow.end(), 1, "the answer was an error response");
    assert_eq!(place.responses("flow-output").len(), 1);
    let inbox = super::tree(&place.path("flow-state/inbox"));
    assert_eq!(inbox.keys().filter(|path| path.extension().is_some_and(|it| it == "dcm")).count(), 36);
}

#[test]
fn what_is_not_delivered_is_shown_and_delivered_when_an_operator_asks() {
    let (Some(storescu), Some(storescp)) = (tool(STORESCU), tool("/usr/bin/storescp")) else { return };
    let place = Place::new();
    place.study("in", 1);
    let port = free_port();
    let destination = format!("PACS@127.0.0.1:{port}");
    let mut flow = Listening::start(&place, &["--to", &destination, "--retry", "0", "--keep-trying", "0"]);
    flow.send(storescu, &place.path("in"));
    flow.line("NOT DELIVERED");
    let reader = JournalReader::open(&place.path("flow-state")).unwrap();
    let row = || reader.requests().unwrap().remove(0);
    until("it is recorded", || (row().state == RequestState::Undelivered).then_some(()));
    let status = place.run(&["status"]);
    assert_eq!(status.code, 0, "{}", status.err);
    for text in ["flow is running", "1  NOT DELIVERED", &format!("waits for {destination}")] {
        assert!(status.out.contains(text), "{text:?} in {}", status.out);
    }

    fs::create_dir(place.path("pacs")).unwrap();
    let mut pacs = std::process::Command::new(storescp);
    let _pacs =
        Background::start(pacs.args(["-aet", "PACS", "-od"]).arg(place.path("pacs")).arg(port.to_string()));
    answering("PACS", port);
    let name = row().name;
    let retry = place.run(&["retry", &name[..6]]);
    assert_eq!(retry.code, 0, "{}", retry.err);
    assert!(flow.line("delivered").contains("8 objects"));
    until("it is recorded", || (row().state == RequestState::Answered).then_some(()));
    flow.end();
    let json = place.run(&["status", "--json"]);
    let line: serde_json::Value = serde_json::from_str(json.out.trim()).unwrap();
    assert_eq!((&line["state"], &line["name"]), (&"answered".into(), &name.clone().into()));
    let cancel = place.run(&["cancel", &name]);
    assert_eq!(cancel.code, 2, "there is nothing to cancel: {}", cancel.err);
    let unknown = place.run(&["retry", "nobody"]);
    assert_eq!(unknown.code, 2, "{}", unknown.err);
    assert!(unknown.err.contains(&name), "those that could be meant: {}", unknown.err);
}

#[test]
fn what_waits_for_its_next_try_is_shown_and_hurried_when_an_operator_asks() {
    let (Some(storescu), Some(storescp)) = (tool(STORESCU), tool("/usr/bin/storescp")) else { return };
    let place = Place::new();
    place.study("in", 1);
    let port = free_port();
    let destination = format!("PACS@127.0.0.1:{port}");
    let mut flow = Listening::start(&place, &["--to", &destination, "--retry", "0"]);
    flow.send(storescu, &place.path("in"));
    let told = flow.line("NOT DELIVERED");
    assert!(told.contains("after 2 tries; again in 1 min"), "{told}");
    let status = place.run(&["status"]);
    let waits = format!("waits for {destination}: no connection");
    assert!(status.out.contains("1  on their way") && status.out.contains(&waits), "{}", status.out);
    assert!(status.out.contains(&format!("{destination} does not take it, since ")), "{}", status.out);
    assert!(status.out.contains("0  of these with an error response"), "{}", status.out);
    let line: serde_json::Value = serde_json::from_str(place.run(&["status", "--json"]).out.trim()).unwrap();
    let (first, last) = (&line["troubles"][0]["since_ms"], &line["changed_ms"]);
    assert!(first.is_i64() && first.as_i64() <= last.as_i64(), "{line}");
    assert_eq!(line["troubles"][0]["destination"], destination.as_str());

    fs::create_dir(place.path("pacs")).unwrap();
    let mut pacs = std::process::Command::new(storescp);
    let _pacs =
        Background::start(pacs.args(["-aet", "PACS", "-od"]).arg(place.path("pacs")).arg(port.to_string()));
    answering("PACS", port);
    let reader = JournalReader::open(&place.path("flow-state")).unwrap();
    let name = reader.requests().unwrap().remove(0).name;
    assert_eq!(place.run(&["retry", &name]).code, 0);
    assert!(flow.line("hurried").contains(&name));
    assert!(flow.line("delivered").contains("8 objects"));
    assert_eq!(flow.end(), 0, "all is delivered in the end");
}

#[test]
fn a_killed_flow_goes_on_where_it_was() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    place.study("in", 1);
    // Complete only after an hour: it is received, and no request yet.
    let flow = Listening::start(&place, &["--quiet-time", "3600"]);
    flow.send(storescu, &place.path("in"));
    let pid = flow.id().to_string();
    assert!(run(std::process::Command::new("kill").args(["-KILL", &pid])).status.success());
    drop(flow);
    let mut flow = Listening::start(&place, &[]);
    flow.line("taken up");
    flow.line("answered");
    assert_eq!(flow.end(), 0);
    assert_eq!(place.response("flow-output").1.verdict, ResponseVerdict::CompleteWithReservations);
}

/// A dataflow whose only step runs a shell script.
pub fn script(place: &Place, script: &str) {
    let flow = env!("CARGO_BIN_EXE_flow");
    let text = format!(
        "dataflow: script\nsteps:\n  work:\n    step: run-program\n    needs: {{request: request}}\n    \
         with: {{program: sh, arguments: [-c, '{script}'], reads: [{flow}], writes: [{}]}}\nresponse: [work]\n",
        place.path("").display()
    );
    fs::write(place.path("script.yaml"), text).unwrap();
}

const SCRIPT: [&str; 4] = ["run", "script.yaml", "--input", "in"];

/// The file by which a script asks for flow to be killed: it cannot do so itself.
const KILL: &str = "kill";

fn ask_for_kill(place: &Place) -> String {
    format!("touch {}; sleep 600", place.path(KILL).display())
}

/// Runs flow, and kills it once a script asks for that. Whether it was killed.
fn is_killed(place: &Place) -> bool {
    let mut command = place.flow(&SCRIPT);
    let mut flow = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("flow starts");
    until("flow has ended", || {
        if fs::remove_file(place.path(KILL)).is_ok() {
            flow.kill().expect("it can be killed");
        }
        flow.try_wait().expect("it is a child")
    })
    .code()
    .is_none()
}

/// Shell code that waits until so many requests are recorded as being in their step, and asks for flow to be killed.
fn kill_when_in_work(place: &Place, requests: &str) -> String {
    let (flow, state) = (env!("CARGO_BIN_EXE_flow"), place.path("flow-state"));
    let status = format!("{flow} status --json --state {}", state.display());
    let count = format!("$({status} | grep -c \"the step work\")");
    format!("while [ {count} -lt {requests} ]; do sleep 0.01; done; {}", ask_for_kill(place))
}

#[test]
fn a_request_that_kills_flow_each_time_is_answered_all_the_same() {
    let place = Place::new();
    place.study("in", 1);
    script(&place, &kill_when_in_work(&place, "1"));
    assert_eq!(kills(&place), 10);
    assert_is_deadly(&place.response("flow-output").1);
}

#[test]
fn requests_that_are_in_work_beside_one_that_kills_flow_are_not_blamed() {
    let place = Place::new();
    fs::remove_file(&place.study("in/1", 1)[0]).unwrap();
    place.study("in/2", 2);
    place.study("in/3", 3);
    // The first flow is killed while all three are in work; later ones while the deadly request is.
    let killed_once = place.path(KILLED_ONCE).display().to_string();
    let harmless = format!("while [ ! -e {killed_once} ]; do sleep 0.01; done");
    let deadly = kill_when_in_work(&place, &format!("$([ -e {killed_once} ] && echo 1 || echo 3)"));
    script(&place, &format!("if [ $(ls items | wc -l) = 40 ]; then {harmless}; else {deadly}; fi"));
    assert_eq!(kills(&place), 10);
    let mut responses: Vec<_> = place.responses("flow-output").into_iter().collect();
    let deadly = responses.iter().position(|(_, response)| response.verdict == ResponseVerdict::Failed);
    assert_is_deadly(&responses.remove(deadly.expect("one has an error response")).1);
    assert_eq!(responses.len(), 2);
    assert!(
        responses.iter().all(|(_, response)| response.verdict == ResponseVerdict::Complete),
        "{responses:?}"
    );
}

/// A file that is there as soon as the first flow has ended.
const KILLED_ONCE: &str = "killed-once";

/// Starts flow until it is not killed any more; how many times it was.
fn kills(place: &Place) -> usize {
    let killed = |_: &usize| {
        let is_killed = is_killed(place);
        fs::write(place.path(KILLED_ONCE), "").unwrap();
        is_killed
    };
    (0..30).take_while(killed).count()
}

fn assert_is_deadly(response: &Response) {
    let (report, fault) = response.faults().next().unwrap();
    assert_eq!(&*report.step, "admission");
    assert!(fault.reason.contains("flow ended 10 times"), "{}", fault.reason);
}

/// Starts a flow whose step sleeps, and waits until the step is under way; gives the request's name.
fn asleep(place: &Place) -> (Background, String) {
    place.study("in", 1);
    script(place, "sleep 600");
    let flow = Background::start(&mut place.flow(&SCRIPT));
    let name = until("the step is under way", || {
        let status = place.run(&["status", "--json"]);
        let line: serde_json::Value = serde_json::from_str(status.out.trim()).ok()?;
        (line["waits_for"] == "the step work").then(|| line["name"].as_str().unwrap().to_owned())
    });
    (flow, name)
}

fn is_cancelled(place: &Place) {
    let (_, response) = place.response("flow-output");
    assert_eq!(response.faults().next().unwrap().1.reason, "the request was cancelled");
}

#[test]
fn a_request_is_cancelled_while_its_step_is_under_way() {
    let place = Place::new();
    let (mut flow, name) = asleep(&place);
    let cancel = place.run(&["cancel", &name]);
    assert_eq!(cancel.code, 0, "{}", cancel.err);
    assert!(cancel.out.contains("sees to it now"), "{}", cancel.out);
    assert_eq!(flow.ended(), 1, "an error response");
    is_cancelled(&place);
}

#[test]
fn a_request_is_cancelled_while_no_flow_is_running() {
    let place = Place::new();
    let (flow, name) = asleep(&place);
    drop(flow);
    let step_folders = || fs::read_dir(place.path("flow-state/steps/0")).unwrap().count();
    assert_eq!(step_folders(), 1, "the killed flow left the folder of its step");
    let cancel = place.run(&["cancel", &name]);
    assert!(cancel.out.contains("no flow is running"), "{}", cancel.out);
    let status = place.run(&["status"]);
    assert!(status.out.contains("no flow is running"), "{}", status.out);
    assert_eq!(place.run(&SCRIPT).code, 1);
    assert_eq!(step_folders(), 0, "a start removes what an earlier one left");
    is_cancelled(&place);
}

#[test]
fn requests_that_are_not_answered_go_on_also_when_the_input_is_gone() {
    for (gone, code) in [("moved", 66), ("empty", 66)] {
        let place = Place::new();
        let (flow, _) = asleep(&place);
        drop(flow);
        fs::rename(place.path("in"), place.path("elsewhere")).unwrap();
        fs::create_dir(place.path("empty")).unwrap();
        let input = if gone == "empty" { "empty" } else { "in" };
        // What was accepted from files needs them; one that is cancelled does not.
        assert_eq!(place.run(&["cancel", "1"]).code, 0);
        let ended = place.run(&["run", "script.yaml", "--input", input]);
        assert_eq!(ended.code, code, "{gone}: {}", ended.err);
        assert!(
            ended.err.contains("first, the requests that are not answered yet go on: 1"),
            "{}",
            ended.err
        );
        assert!(ended.err.trim_end().ends_with(missing(input)), "told at the end: {}", ended.err);
        is_cancelled(&place);
        let again = place.run(&["run", "script.yaml", "--input", input]);
        assert_eq!(again.code, code, "{}", again.err);
        assert!(!again.err.contains("go on"), "{}", again.err);
    }
}

fn missing(input: &str) -> &'static str {
    if input == "empty" { "hint: `flow sample DIR` writes studies to try" } else { "(os error 2)" }
}

#[test]
fn a_request_stays_with_the_version_of_its_dataflow_when_the_file_has_changed() {
    let place = Place::new();
    place.study("in", 1);
    let go = place.path("go");
    script(&place, &format!("[ -e {} ] || {{ {}; }}", go.display(), ask_for_kill(&place)));
    assert!(is_killed(&place));
    fs::write(&go, "").unwrap();
    script(&place, "exit 1");
    place.run(&SCRIPT);
    let response = place.response("flow-output").1;
    let verdict = response.verdict;
    assert_eq!(verdict, ResponseVerdict::Complete, "the script of the new file fails: {response:?}");
}

/// A step that makes a stream from a file, once that is there.
const SHARE: &str = "
import os
from flow_step import Fault, step

@step
def lines(request: 'request', place: str = '') -> '*json':
    if not os.path.exists(place + '/ready'):
        raise Fault('the share is not mounted', transient=True)
    yield from [1, 2, 3]

@step
def gather(lines: '*json') -> 'files':
    return {'all.json': list(lines)}
";

#[test]
fn steps_of_a_stream_that_failed_run_again_at_a_retry() {
    if tool("/usr/bin/python3").is_none() {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("share")).unwrap();
    fs::write(place.path("steps.py"), SHARE).unwrap();
    fs::write(place.path("item.txt"), "text").unwrap();
    let share = place.path("share");
    let text = format!(
        "dataflow: shared\nprograms: [{{file: steps.py, reads: [{0:?}]}}]\nlimits: {{memory: {{fixed: 1 B}}}}\nsteps:\n  \
         lines: {{step: lines, needs: {{request: request}}, with: {{place: {0:?}}}}}\n  \
         all: {{step: gather, needs: {{lines: lines}}}}\nresponse: [all]\n",
        share.display().to_string()
    );
    fs::write(place.path("shared.yaml"), text).unwrap();
    let again = || place.run(&["run", "shared.yaml", "--files", "item.txt"]);
    let failed = again();
    assert!(failed.code == 1 && failed.err.contains("the share is not mounted"), "{}", failed.err);
    fs::write(share.join("ready"), "").unwrap();
    let retry = place.run(&["retry", "1"]);
    assert_eq!(retry.code, 0, "{}", retry.err);
    let ended = again();
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (folder, response) = place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::Complete);
    let all = fs::read_to_string(folder.join("all.json")).unwrap();
    assert_eq!(all.split_whitespace().collect::<String>(), "[1,2,3]");
    let replayed = place.run(&["replay", "1"]);
    assert_eq!(replayed.code, 0, "{}", replayed.out);
}
