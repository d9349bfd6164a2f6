//! Memory and processor time have bounds.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use flow::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};

use super::Place;
use crate::program_confinement::{own_seconds, processes_with};
use crate::support::peers::{DEADLINE, until};

/// A number out of `/proc`, while the process is there.
fn status_kib(child: &Child, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Processor time so far, in clock ticks of 10 ms.
fn ticks(child: &Child) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("the process is there");
    let fields: Vec<&str> = text.rsplit(')').next().expect("it has fields").split_whitespace().collect();
    let number = |index: usize| fields[index].parse::<u64>().expect("it is a number");
    number(11) + number(12)
}

#[test]
fn more_studies_than_fit_into_the_memory_are_answered_within_it() {
    let place = Place::new();
    // 6 × 37 MB decoded; each takes some 100 MB while it is in work.
    for seed in 1..=6 {
        let options = PhantomOptions { size: [384, 384, 128], seed, ..PhantomOptions::default() };
        let folder = place.path(&format!("in/{seed}"));
        PhantomChest::new(&options).write(&folder, PhantomSyntax::Explicit).unwrap();
    }
    let mut command = place.flow(&["run", "--input", "in", "--memory", "400MiB", "--lanes", "6"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak_kib = 0;
    let code = until("the studies are answered", || {
        peak_kib = status_kib(&child, "VmHWM:").unwrap_or(0).max(peak_kib);
        child.try_wait().unwrap()
    });
    assert_eq!(code.code(), Some(0));
    assert_eq!(place.responses("flow-output").len(), 6);
    assert!((50 << 10..400 << 10).contains(&peak_kib), "{} MiB at the peak", peak_kib >> 10);
}

#[test]
fn many_workers_do_not_spin_while_there_is_nothing_to_do() {
    let place = Place::new();
    let mut command = place.flow(&["run", "--listen", "0", "-w", "8"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("Z  listening at 127.0.0.1:")));
    let (before, began) = (ticks(&child), Instant::now());
    // Eight spinning workers would take all the processor time there is: 200 ticks on two cores.
    until("a second has passed", || (began.elapsed() > Duration::from_secs(1)).then_some(()));
    let spent = ticks(&child) - before;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(began.elapsed() < DEADLINE && spent < 20, "{spent} ticks of 10 ms in {:?}", began.elapsed());
}

#[test]
fn a_log_that_nobody_reads_ends_nothing() {
    let place = Place::new();
    place.study("in/one", 1);
    std::fs::remove_file(&place.study("in/gap", 2)[10]).unwrap();
    let mut command = place.flow(&["run", "--input", "in"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let code = until("the studies are answered", || child.try_wait().unwrap());
    assert_eq!(code.code(), Some(1), "one of them with an error response");
    assert_eq!(place.responses("flow-output").len(), 2);
}

#[test]
fn a_state_folder_has_one_user() {
    let place = Place::new();
    place.study("in", 1);
    let mut command = place.flow(&["run", "--listen", "0"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("Z  listening")));
    let second = place.run(&["run", "--input", "in"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(second.code, 74, "{}", second.err);
    assert!(second.err.contains("another flow") && second.err.contains("--state"), "{}", second.err);
    assert_eq!(place.run(&["run", "--input", "in"]).code, 0, "one that was killed holds nothing");
}

#[test]
fn a_program_does_not_outlive_flow() {
    let place = Place::new();
    place.study("in", 1);
    let seconds = own_seconds();
    let text = format!(
        "dataflow: sleepy\nsteps:\n  sleep:\n    step: run-program\n    needs: {{request: request}}\n    \
         with: {{program: sleep, arguments: ['{seconds}']}}\nresponse: [sleep]\n"
    );
    fs::write(place.path("sleepy.yaml"), text).unwrap();
    let mut command = place.flow(&["run", "sleepy.yaml", "--input", "in"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the program runs", || (processes_with(&seconds) == 1).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the program is gone", || (processes_with(&seconds) == 0).then_some(()));
}
