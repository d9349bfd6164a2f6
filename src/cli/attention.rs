//! What needs the attention of an operator beside single requests, in lines: for `flow status` and `flow top`.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::{HumanBytes, HumanDuration};

use crate::admission::{PauseRecord, StateFolder, pause_records};
use crate::calls::{OpenCircuit, open_circuits};
use crate::cluster::{ClusterStanding, ProcessStanding, cluster_standing, unix_ms};
use crate::dataflow::ProcessLabel;
use crate::dicom::{self, ArchiveTrouble};
use crate::engine::WaitingStep;
use crate::printable::counted;

/// A flow that does not run, and archives and services that fail.
pub fn troubles(state: &Path) -> Vec<String> {
    let stopped = StateFolder::holder(state).is_none();
    let stopped = stopped.then(|| format!("no flow is running on {}", state.display()));
    let lost = process_lines(state).into_iter().filter(|line| is_trouble(line));
    stopped.into_iter().chain(lost).chain(peer_troubles(state)).collect()
}

fn is_trouble(line: &str) -> bool {
    line.contains("NOT THERE") || line.contains("CANNOT RUN")
}

/// Archives and services that fail.
pub fn peer_troubles(state: &Path) -> Vec<String> {
    let archives = dicom::archive_troubles(&state.join("inbox"));
    archives.iter().map(of_archive).chain(circuits(state).iter().map(of_circuit)).collect()
}

/// The other processes of a running flow, and labels whose processes are waited for, in lines.
pub fn process_lines(state: &Path) -> Vec<String> {
    let Some(standing) = standing(state) else { return Vec::new() };
    // Process 0 alone is the flow itself.
    let processes = standing.processes.iter().filter(|_| standing.processes.len() > 1).map(of_process);
    let missing = standing.missing();
    let missing = missing.iter().map(|one| {
        let (place, since) = (place_of(&one.label, one.memory), ago(one.since_ms));
        format!("{place} is NOT THERE, since {since}: waited for by {}", counted(one.steps, "step"))
    });
    processes.chain(missing).collect()
}

/// The steps of a running flow that wait for processes with their labels.
pub fn waiting_steps(state: &Path) -> Vec<WaitingStep> {
    standing(state).map(|standing| standing.waiting).unwrap_or_default()
}

/// What a step waits for, and since when.
pub fn step_line(waiting: &WaitingStep) -> String {
    let (step, since) = (&waiting.step, ago(unix_ms(waiting.since)));
    let place = place_of(&waiting.label, waiting.lacks_memory.then_some(waiting.memory));
    format!("{place}, for the step {step}, since {since}")
}

/// Label and memory that a process needs for a step that waits.
fn place_of(label: &ProcessLabel, memory: Option<u64>) -> String {
    match memory {
        Some(memory) => format!("a process with the label {label} and {} of memory", HumanBytes(memory)),
        None => format!("a process with the label {label}"),
    }
}

/// How the processes of a running flow stand.
pub fn standing(state: &Path) -> Option<ClusterStanding> {
    StateFolder::holder(state).and_then(|_| cluster_standing(state))
}

fn of_process(one: &ProcessStanding) -> String {
    let ProcessStanding { process, address, is_connected, generation, since_ms, unable, .. } = one;
    let since = ago(*since_ms);
    let labels: Vec<&str> = one.labels.iter().map(ProcessLabel::as_str).collect();
    let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
    let steps = if one.steps == 0 { String::new() } else { format!(" and {}", counted(one.steps, "step")) };
    let outage =
        one.last_outage_ms.map(|outage| format!("; its last outage took {:.1} s", outage as f64 / 1e3));
    let outage = outage.unwrap_or_default();
    let unable: String = unable.iter().map(|reason| format!("; CANNOT RUN steps: {reason}")).collect();
    let waiting = match one.waiting {
        0 => String::new(),
        waiting => format!("; waiting for memory: {}", counted(waiting, "request")),
    };
    let left_out: String = one.left_out.iter().map(|reason| format!("; it {reason}")).collect();
    let (taken, memory) = (HumanBytes(one.memory_taken), HumanBytes(one.memory));
    let requests = counted(one.requests, "request");
    let runs = format!(
        "runs {requests}{steps}, with {taken} of {memory} of memory{waiting}{outage}{unable}{left_out}"
    );
    match is_connected {
        true if *process == 0 => format!("process 0 at {address}{labels} is there since {since}, and {runs}"),
        true => format!(
            "process {process} at {address}{labels} is there since {since}, generation {generation}, and {runs}"
        ),
        false => format!("process {process} at {address}{labels} is NOT THERE, since {since}"),
    }
}

/// What is paused, in lines.
pub fn pause_lines(pauses: &[PauseRecord]) -> impl Iterator<Item = String> {
    let line = |PauseRecord { paused, since_ms, who }: &PauseRecord| {
        format!("{paused}, since {}, by {who}", ago(*since_ms))
    };
    pauses.iter().map(line)
}

/// What has been paused for at least this long, in lines: a pause that nobody ends is trouble.
pub fn long_pauses(pauses: &[PauseRecord], pause_max: Duration) -> Vec<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let is_long = |record: &&PauseRecord| {
        now.saturating_sub(Duration::from_millis(record.since_ms.unsigned_abs())) >= pause_max
    };
    let long: Vec<PauseRecord> = pauses.iter().filter(is_long).cloned().collect();
    pause_lines(&long).map(|line| format!("paused: {line}; `flow resume` lets it go on")).collect()
}

/// What is paused. What cannot be read is nothing here; a running flow tells of it.
pub fn pauses(state: &Path) -> Vec<PauseRecord> {
    pause_records(state).unwrap_or_default()
}

/// The services that a running flow leaves alone.
pub fn circuits(state: &Path) -> Vec<OpenCircuit> {
    StateFolder::holder(state).map(|_| open_circuits(state)).unwrap_or_default()
}

/// The trouble with an archive from which studies are fetched.
fn of_archive(ArchiveTrouble { archive, reason, since_ms, given_up }: &ArchiveTrouble) -> String {
    let fate = match given_up.len() {
        0 => "it is tried again".to_owned(),
        count => format!("not fetched: {count}; order them again with `flow pull`"),
    };
    let reason = reason.trim_end_matches('.');
    format!("fetching from {archive} fails, since {}: {reason}; {fate}", ago(*since_ms))
}

fn of_circuit(OpenCircuit { service, reason, since_ms, next_ms, .. }: &OpenCircuit) -> String {
    let left = HumanDuration(until(*next_ms));
    format!("{service} does not answer, since {}: {reason}; it is tried again in {left}", ago(*since_ms))
}

/// The time until then, by the clock on the wall.
fn until(then_ms: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(then_ms.unsigned_abs()).saturating_sub(now)
}

/// By the clock on the wall, which may have been set since.
pub fn ago(then_ms: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = Duration::from_millis(then_ms.unsigned_abs());
    HumanDuration(now.saturating_sub(then)).to_string()
}
