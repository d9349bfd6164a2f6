//! The rows of the views by their names, in an order that people and programs can use.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::journal::{AnswerKind, RequestState};

use super::names::{NameId, NameTable};
use super::quantile::{TimeHistogram, TimeQuantiles};
use super::reason_code::reason_code;
use super::row::{RowCounts, TallyRow, ViewRow, WaitReason};

/// The views at one commit of the journal. Times are milliseconds of Unix time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct LedgerSnapshot {
    /// The number of the commit.
    pub commit: i64,
    /// Remembered requests by where they stand.
    pub standing: Vec<StandingSummary>,
    /// Unanswered requests by dataflow, source and state.
    pub open: Vec<OpenSummary>,
    /// Reasons to wait, the most frequent first.
    pub waits: Vec<WaitSummary>,
    /// The requests that wait longest.
    pub waiting: Vec<WaitingRequest>,
    /// The oldest unanswered requests.
    pub oldest: Vec<OldestRequest>,
    pub destinations: Vec<DestinationSummary>,
    pub steps: Vec<StepSummary>,
    pub dataflows: Vec<DataflowSummary>,
    /// Requests accepted so far, by source.
    pub sources: Vec<SourceSummary>,
    /// Reasons of faults, the most frequent first.
    pub faults: Vec<FaultSummary>,
    /// The last hours in which anything happened.
    pub hours: Vec<HourSummary>,
    /// The counts of the views that the site declares.
    pub declared: Vec<DeclaredSummary>,
}

/// The requests of a dataflow that stand somewhere.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StandingSummary {
    pub dataflow: String,
    pub state: RequestState,
    pub answer: AnswerKind,
    pub requests: isize,
    pub bytes: isize,
}

/// The unanswered requests of a dataflow, a source and a state.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct OpenSummary {
    pub dataflow: String,
    pub source: String,
    pub state: RequestState,
    pub requests: isize,
}

/// A reason for which requests of a dataflow wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitSummary {
    pub dataflow: String,
    /// `lane`, `step`, `response`, `cancellation`, `delivery`, `destination`, `down` or `operator`.
    pub reason: &'static str,
    /// The step or the destination.
    pub name: String,
    /// The reason for which a destination takes nothing.
    pub because: String,
    /// Its code, if it is one of a fixed set.
    pub because_code: Option<&'static str>,
    pub requests: isize,
}

/// A request with a reason for which it waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitingRequest {
    pub request: i64,
    pub reason: &'static str,
    pub name: String,
    pub because: String,
    /// The code of `because`, if it is one of a fixed set.
    pub because_code: Option<&'static str>,
    pub since_ms: i64,
    /// Whether runs of the step are under way; known only while flow runs.
    pub running: bool,
    /// The time of the next try, if it is known.
    pub next_ms: Option<i64>,
}

/// An unanswered request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OldestRequest {
    pub request: i64,
    pub dataflow: String,
    pub opened_ms: i64,
}

/// A destination, with the tries so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DestinationSummary {
    pub name: String,
    /// Unanswered requests that wait for it.
    pub queued: isize,
    /// The reason for which it did not take a response at its last try.
    pub down: Option<String>,
    /// Its code, if it is one of a fixed set.
    pub down_code: Option<&'static str>,
    pub down_since_ms: Option<i64>,
    pub delivered: isize,
    pub not_delivered: isize,
}

/// A step of a dataflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct StepSummary {
    pub dataflow: String,
    pub step: String,
    /// Unanswered requests in which it can run and has not ended.
    pub ready: isize,
    /// Runs under way; known only while flow runs.
    pub running: isize,
    /// Runs so far.
    pub runs: isize,
    pub failed: isize,
    /// Seconds of a run.
    pub times: Option<TimeQuantiles>,
    #[serde(skip)]
    pub histogram: TimeHistogram,
}

/// A dataflow, with the requests answered so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct DataflowSummary {
    pub dataflow: String,
    pub complete: isize,
    pub reserved: isize,
    pub failed: isize,
    /// Seconds from acceptance to answer.
    pub times: Option<TimeQuantiles>,
    #[serde(skip)]
    pub histogram: TimeHistogram,
}

/// Requests that came from a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceSummary {
    pub dataflow: String,
    pub source: String,
    pub accepted: isize,
}

/// A reason of faults of a step, without what differs from case to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FaultSummary {
    pub dataflow: String,
    pub step: String,
    pub kind: String,
    pub reason: String,
    pub count: isize,
}

/// An hour, or a day if it is long ago.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HourSummary {
    /// The time at which it begins.
    pub begin_ms: i64,
    pub accepted: isize,
    pub answered: isize,
    /// Answered with an error response.
    pub failed: isize,
}

/// A count of a view that the site declares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct DeclaredSummary {
    pub view: String,
    /// The values of the fields by which it counts.
    pub key: Vec<String>,
    pub count: isize,
    /// The sum of the times, in seconds; off by 12 % at most.
    pub seconds: f64,
    /// Seconds of each.
    pub times: Option<TimeQuantiles>,
}

const WAITING_MAX: usize = 100;
const OLDEST_MAX: usize = 10;
const FAULTS_MAX: usize = 20;
const HOURS_MAX: usize = 48;

const HOUR_MS: i64 = 3_600_000;

impl LedgerSnapshot {
    /// The rows at a commit, by their names.
    pub fn of(commit: i64, rows: &RowCounts, names: &NameTable) -> LedgerSnapshot {
        let mut parts = SnapshotParts::default();
        rows.iter().for_each(|(row, count)| parts.add(row, *count, names));
        parts.finish(commit, names)
    }
}

/// The parts of a snapshot while rows are added.
#[derive(Default)]
struct SnapshotParts {
    snapshot: LedgerSnapshot,
    bytes: BTreeMap<(NameId, RequestState, AnswerKind), isize>,
    destinations: BTreeMap<NameId, DestinationSummary>,
    steps: BTreeMap<(NameId, NameId), StepSummary>,
    dataflows: BTreeMap<NameId, DataflowSummary>,
    sources: BTreeMap<(NameId, NameId), isize>,
    faults: BTreeMap<(NameId, NameId, NameId, NameId), isize>,
    hours: BTreeMap<i64, HourSummary>,
    declared: BTreeMap<(NameId, [NameId; 4]), TimeHistogram>,
    waiting: Vec<(i64, i64, WaitReason)>,
    running: BTreeSet<(i64, NameId)>,
    next: BTreeMap<(i64, NameId), i64>,
}

impl SnapshotParts {
    fn add(&mut self, row: &ViewRow, count: isize, names: &NameTable) {
        let text = |id: NameId| names.text(id).to_owned();
        match *row {
            ViewRow::Standing(dataflow, state, answer) => self.snapshot.standing.push(StandingSummary {
                dataflow: text(dataflow),
                state,
                answer,
                requests: count,
                bytes: 0,
            }),
            ViewRow::Bytes(dataflow, state, answer) => {
                _ = self.bytes.insert((dataflow, state, answer), count)
            }
            ViewRow::Open(dataflow, source, state) => {
                let (dataflow, source) = (text(dataflow), text(source));
                self.snapshot.open.push(OpenSummary { dataflow, source, state, requests: count });
            }
            ViewRow::Oldest(opened_ms, request, dataflow) => {
                if self.snapshot.oldest.len() < OLDEST_MAX {
                    self.snapshot.oldest.push(OldestRequest { request, dataflow: text(dataflow), opened_ms });
                }
            }
            ViewRow::Waits(request, reason, since_ms) => self.waiting.push((since_ms, request, reason)),
            ViewRow::WaitCount(dataflow, reason) => {
                let (reason, name, because) = told(reason, names);
                let dataflow = text(dataflow);
                let because_code = reason_code(&because);
                let wait = WaitSummary { dataflow, reason, name, because, because_code, requests: count };
                self.snapshot.waits.push(wait);
            }
            // The tally has the steps that have ended.
            ViewRow::StepEnded(dataflow, step) => drop(self.step(dataflow, step)),
            ViewRow::StepReady(dataflow, step) => self.step(dataflow, step).ready += count,
            ViewRow::Down(destination, reason, since_ms) => {
                let (entry, reason) = (self.destination(destination), text(reason));
                (entry.down_code, entry.down_since_ms) = (reason_code(&reason), Some(since_ms));
                entry.down = Some(reason);
            }
            ViewRow::Queued(destination) => self.destination(destination).queued += count,
            ViewRow::Tally(hour, dataflow, tally) => self.tally(hour, dataflow, tally, count),
            ViewRow::Running(request, dataflow, step) => {
                self.step(dataflow, step).running += count;
                self.running.insert((request, step));
            }
            ViewRow::Declared(view, keys, bucket) => {
                *self.declared.entry((view, keys)).or_default().0.entry(bucket).or_default() += count;
            }
            ViewRow::RetryAt(request, name, at_ms) | ViewRow::NextTry(request, name, at_ms) => {
                _ = self.next.insert((request, name), at_ms)
            }
        }
    }

    fn step(&mut self, dataflow: NameId, step: NameId) -> &mut StepSummary {
        self.steps.entry((dataflow, step)).or_default()
    }

    fn destination(&mut self, destination: NameId) -> &mut DestinationSummary {
        self.destinations.entry(destination).or_default()
    }

    fn tally(&mut self, hour: i64, dataflow: NameId, tally: TallyRow, count: isize) {
        let of_hour = self.hours.entry(hour).or_default();
        match tally {
            TallyRow::Accepted(source) => {
                of_hour.accepted += count;
                *self.sources.entry((dataflow, source)).or_default() += count;
            }
            TallyRow::Answered(answer, bucket) => {
                of_hour.answered += count;
                let of_dataflow = self.dataflows.entry(dataflow).or_default();
                match answer {
                    AnswerKind::Complete => of_dataflow.complete += count,
                    AnswerKind::Reserved => of_dataflow.reserved += count,
                    AnswerKind::Failed => {
                        of_hour.failed += count;
                        of_dataflow.failed += count;
                    }
                }
                *of_dataflow.histogram.0.entry(bucket).or_default() += count;
            }
            TallyRow::Ran(step, bucket) => {
                let step = self.step(dataflow, step);
                step.runs += count;
                *step.histogram.0.entry(bucket).or_default() += count;
            }
            TallyRow::Failed(step, kind, reason) => {
                self.step(dataflow, step).failed += count;
                *self.faults.entry((dataflow, step, kind, reason)).or_default() += count;
            }
            TallyRow::Delivered(destination) => self.destination(destination).delivered += count,
            TallyRow::NotDelivered(destination) => self.destination(destination).not_delivered += count,
        }
    }

    fn finish(mut self, commit: i64, names: &NameTable) -> LedgerSnapshot {
        self.snapshot.commit = commit;
        self.count_bytes(names);
        self.name_steps(names);
        self.list_waiting(names);
        self.name_declared(names);
        let text = |id: NameId| names.text(id).to_owned();
        let snapshot = &mut self.snapshot;
        snapshot.sources = self
            .sources
            .into_iter()
            .map(|((dataflow, source), accepted)| SourceSummary {
                dataflow: text(dataflow),
                source: text(source),
                accepted,
            })
            .collect();
        snapshot.faults = self
            .faults
            .into_iter()
            .map(|((dataflow, step, kind, reason), count)| FaultSummary {
                dataflow: text(dataflow),
                step: text(step),
                kind: text(kind),
                reason: text(reason),
                count,
            })
            .collect();
        snapshot.destinations = self
            .destinations
            .into_iter()
            .map(|(name, entry)| DestinationSummary { name: text(name), ..entry })
            .collect();
        snapshot.dataflows = self
            .dataflows
            .into_iter()
            .map(|(dataflow, entry)| {
                let times = entry.histogram.quantiles();
                DataflowSummary { dataflow: text(dataflow), times, ..entry }
            })
            .collect();
        let hours = self.hours.into_iter().rev().take(HOURS_MAX);
        snapshot.hours =
            hours.map(|(hour, of_hour)| HourSummary { begin_ms: hour * HOUR_MS, ..of_hour }).collect();
        sort(self.snapshot)
    }

    fn count_bytes(&mut self, names: &NameTable) {
        for ((dataflow, state, answer), bytes) in &self.bytes {
            let dataflow = names.text(*dataflow);
            let is_it = |one: &&mut StandingSummary| {
                one.dataflow == dataflow && one.state == *state && one.answer == *answer
            };
            if let Some(standing) = self.snapshot.standing.iter_mut().find(is_it) {
                standing.bytes = *bytes;
            }
        }
    }

    fn name_steps(&mut self, names: &NameTable) {
        for ((dataflow, step), entry) in &self.steps {
            let times = entry.histogram.quantiles();
            let (dataflow, step) = (names.text(*dataflow).to_owned(), names.text(*step).to_owned());
            self.snapshot.steps.push(StepSummary { dataflow, step, times, ..entry.clone() });
        }
    }

    fn name_declared(&mut self, names: &NameTable) {
        for ((view, keys), histogram) in std::mem::take(&mut self.declared) {
            let key = keys.iter().map(|key| names.text(*key).to_owned()).collect();
            // Events without a time are in the first bucket.
            let is_timed = histogram.0.keys().any(|bucket| *bucket > 0);
            let (seconds, times) =
                if is_timed { (histogram.sum(), histogram.quantiles()) } else { (0.0, None) };
            let (view, count) = (names.text(view).to_owned(), histogram.count());
            self.snapshot.declared.push(DeclaredSummary { view, key, count, seconds, times });
        }
    }

    fn list_waiting(&mut self, names: &NameTable) {
        self.waiting.sort_unstable();
        for (since_ms, request, what) in self.waiting.iter().take(WAITING_MAX) {
            let key = match what {
                WaitReason::Step(name) | WaitReason::Destination(name) | WaitReason::Down(name, _) => {
                    Some(*name)
                }
                _ => None,
            };
            let (reason, name, because) = told(*what, names);
            self.snapshot.waiting.push(WaitingRequest {
                request: *request,
                reason,
                name,
                because_code: reason_code(&because),
                because,
                since_ms: *since_ms,
                running: key.is_some_and(|key| self.running.contains(&(*request, key))),
                next_ms: key.and_then(|key| self.next.get(&(*request, key)).copied()),
            });
        }
    }
}

/// Sorts the parts by names: the numbers of names differ from start to start.
fn sort(mut snapshot: LedgerSnapshot) -> LedgerSnapshot {
    snapshot.standing.sort_by(|a, b| (&a.dataflow, a.state, a.answer).cmp(&(&b.dataflow, b.state, b.answer)));
    snapshot.open.sort_by(|a, b| (&a.dataflow, &a.source, a.state).cmp(&(&b.dataflow, &b.source, b.state)));
    snapshot.waits.sort_by(|a, b| {
        let key = |one: &WaitSummary| {
            (-one.requests, one.dataflow.clone(), one.reason, one.name.clone(), one.because.clone())
        };
        key(a).cmp(&key(b))
    });
    let key = |one: &WaitingRequest| (one.since_ms, one.request, one.reason, one.name.clone());
    snapshot.waiting.sort_by_key(key);
    snapshot.steps.sort_by(|a, b| (&a.dataflow, &a.step).cmp(&(&b.dataflow, &b.step)));
    snapshot.destinations.sort_by(|a, b| a.name.cmp(&b.name));
    snapshot.dataflows.sort_by(|a, b| a.dataflow.cmp(&b.dataflow));
    snapshot.sources.sort_by(|a, b| (&a.dataflow, &a.source).cmp(&(&b.dataflow, &b.source)));
    let key = |one: &FaultSummary| (-one.count, one.dataflow.clone(), one.step.clone(), one.reason.clone());
    snapshot.faults.sort_by_key(key);
    snapshot.faults.truncate(FAULTS_MAX);
    snapshot.declared.sort_by(|a, b| (&a.view, &a.key).cmp(&(&b.view, &b.key)));
    snapshot
}

/// A reason in words: its kind, the step or destination, and why that takes nothing.
pub(super) fn told(reason: WaitReason, names: &NameTable) -> (&'static str, String, String) {
    let text = |id: NameId| names.text(id).to_owned();
    match reason {
        WaitReason::Lane => ("lane", String::new(), String::new()),
        WaitReason::Step(step) => ("step", text(step), String::new()),
        WaitReason::Response => ("response", String::new(), String::new()),
        WaitReason::Cancellation => ("cancellation", String::new(), String::new()),
        WaitReason::Delivery => ("delivery", String::new(), String::new()),
        WaitReason::Destination(name) => ("destination", text(name), String::new()),
        WaitReason::Down(name, reason) => ("down", text(name), text(reason)),
        WaitReason::Operator => ("operator", String::new(), String::new()),
    }
}
