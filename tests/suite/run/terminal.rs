//! flow at a terminal and without one: what is shown, and what SIGHUP does. `script` of util-linux is the terminal.

use std::fs;
use std::process::{Command, Stdio};

use super::Place;
use super::again::script;
use crate::support::peers::{Background, run, tool, until};
use crate::support::without_time;

const SCRIPT: &str = "/usr/bin/script";
const SETSID: &str = "/usr/bin/setsid";
const PROGRAM: &str = env!("CARGO_BIN_EXE_flow");

/// A command of a shell that runs in a terminal.
fn at_terminal(place: &Place, script: &str, command: &str) -> Command {
    let mut terminal = Command::new(script);
    terminal.args(["-q", "-e", "-c", command, "/dev/null"]).current_dir(place.path(""));
    terminal.env("XDG_STATE_HOME", place.path("user-state")).env_remove("RUST_LOG").stdin(Stdio::null());
    terminal
}

#[test]
fn a_dumb_terminal_shows_plain_lines_and_another_one_lines_that_move() {
    let Some(script) = tool(SCRIPT) else { return };
    let place = Place::new();
    place.study("in", 1);
    let shown = |terminal: &str| {
        let command = format!("{PROGRAM} run --input in --state state-{terminal} --output out-{terminal}");
        let output = run(at_terminal(&place, script, &command).env("TERM", terminal));
        assert!(output.status.success(), "{terminal}: {output:?}");
        String::from_utf8(output.stdout).expect("flow writes UTF-8")
    };
    let has = |text: &str, begin: &str| text.lines().any(|line| without_time(line).starts_with(begin));
    let plain = shown("dumb");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(has(&plain, "accepted  ") && has(&plain, "answered  "), "{plain}");
    let moving = shown("xterm");
    assert!(moving.contains('\u{1b}') && !has(&moving, "accepted  "), "{moving:?}");
}

/// A place whose only step waits for a file.
fn waiting_place() -> Place {
    let place = Place::new();
    place.study("in", 1);
    script(&place, &format!("while [ ! -e {} ]; do sleep 0.01; done", place.path("go").display()));
    place
}

fn hang_up(process: u32) {
    assert!(run(Command::new("kill").args(["-HUP", &process.to_string()])).status.success());
}

/// A run that ends by itself, without a terminal.
fn without_terminal(place: &Place, setsid: &str, arguments: &[&str]) -> Background {
    let mut command = Command::new(setsid);
    command.args(arguments).current_dir(place.path("")).env("XDG_STATE_HOME", place.path("user-state"));
    let flow = Background::saying_to(&mut command, &place.path("said"));
    until("it is in work", || said(place).contains("accepted").then_some(()));
    flow
}

fn said(place: &Place) -> String {
    fs::read_to_string(place.path("said")).unwrap_or_default()
}

#[test]
fn a_run_without_a_terminal_goes_on_after_a_reload_and_says_that_there_is_nothing_to_reload() {
    let Some(setsid) = tool(SETSID) else { return };
    let place = waiting_place();
    // The tests themselves may run with SIGHUP ignored, as after nohup.
    let flow = ["env", "--default-signal=HUP", PROGRAM, "run", "script.yaml", "--input", "in"];
    let mut flow = without_terminal(&place, setsid, &flow);
    hang_up(flow.id());
    until("it is told", || said(&place).contains("nothing to reload").then_some(()));
    fs::write(place.path("go"), "").unwrap();
    assert_eq!(flow.ended(), 0, "{}", said(&place));
    assert_eq!(said(&place).matches("nothing to reload").count(), 1, "{}", said(&place));
}

#[test]
fn a_run_after_nohup_goes_on_without_a_word() {
    let Some(setsid) = tool(SETSID) else { return };
    let place = waiting_place();
    let command = format!("trap '' HUP; exec {PROGRAM} run script.yaml --input in");
    let mut flow = without_terminal(&place, setsid, &["sh", "-c", &command]);
    hang_up(flow.id());
    fs::write(place.path("go"), "").unwrap();
    assert_eq!(flow.ended(), 0, "{}", said(&place));
    assert!(!said(&place).contains("reload"), "{}", said(&place));
}

#[test]
fn a_run_ends_with_its_terminal_and_the_next_start_goes_on() {
    let Some(script) = tool(SCRIPT) else { return };
    let place = waiting_place();
    let command = format!("exec env --default-signal=HUP {PROGRAM} run script.yaml --input in");
    let mut terminal = at_terminal(&place, script, &command);
    let mut terminal =
        Background::of(terminal.env("TERM", "dumb").stdout(Stdio::null()).stderr(Stdio::null()));
    let process = until("it is in work", || {
        let status = place.run(&["status"]).out;
        let (_, running) = status.split_once("flow is running (process ")?;
        status
            .contains("waits for the step work")
            .then(|| running.split(')').next().unwrap().parse().unwrap())
    });
    hang_up(process);
    assert_eq!(terminal.ended(), 128 + 1, "by SIGHUP");
    fs::write(place.path("go"), "").unwrap();
    let ended = place.run(&["run", "script.yaml"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(place.responses("flow-output").len(), 1);
}
