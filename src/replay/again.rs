//! The replay of a past request.
//!
//! Results get the identifiers of the recorded dataflow, whichever dataflow is run. Nothing is sent, and
//! identifiers cause no differences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dataflow::interpret::ReadyRun;
use crate::dataflow::{Dataflow, Response};
use crate::step::{CancelToken, Digest, Fault, FaultKind, ResponseFile, ResultIdentity, StepOutputs};

use super::calls::ReplayedCalls;
use super::comparison::{self, ComparisonSide, RunVerdict};
use super::records::PastRuns;
use super::scope::StepTreatment;
use super::timed_run;
use super::{NoSuchStep, PastRequest, RecordingRun, ReplayScope};

/// The result of a replay.
pub struct ReplayResult {
    /// The compared runs, in the order in which they ended.
    pub runs: Vec<ReplayedRun>,
    /// The response; complete only if all steps were run.
    pub response: Response,
    pub files: Vec<ResponseFile>,
}

/// A run of a replay.
pub struct ReplayedRun {
    /// The step's name in the dataflow.
    pub step: String,
    pub item: Option<usize>,
    pub depends: RunDependencies,
    pub result: Result<StepOutputs, Fault>,
    pub took: Duration,
    pub verdict: RunVerdict,
    /// The changed inputs and properties of the step, if the step ran before.
    pub changed: Vec<String>,
    /// The differences by output, if they were requested.
    pub parts: Vec<(String, comparison::OutputDifference)>,
}

/// The options of a replay and its observer.
#[derive(Default)]
pub struct ReplayObserver<'a> {
    /// Limit of the listed changes of each value or file; with 0, values are only compared by digest.
    pub listed: usize,
    /// Called for each compared run, once the next one has ended.
    pub tell: Option<&'a mut dyn FnMut(&ReplayedRun)>,
    /// Ends the replay: runs that have not begun fail as cancelled.
    pub cancel: CancelToken,
}

/// The inputs that the outputs of a run depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDependencies {
    /// The digest of all dependencies.
    pub key: Digest,
    /// The version of the step.
    pub version: u32,
    /// The digest at each input.
    pub inputs: BTreeMap<String, Digest>,
}

/// Replays the steps of a request that are in `scope` and compares the results with the recorded ones.
///
/// # Errors
/// The dataflow does not have the step that the scope names.
pub fn again(
    past: &PastRequest,
    dataflow: &Dataflow,
    scope: ReplayScope,
    mut watch: ReplayObserver,
) -> Result<ReplayResult, NoSuchStep> {
    let records = PastRuns::of(past);
    let parts = scope.parts(dataflow, |step| records.keep(step))?;
    let names = dataflow.nodes.iter().map(|node| &*node.name);
    let parts: BTreeMap<&str, StepTreatment> = names.zip(parts).collect();
    let mut runs = Vec::new();
    let cancel = watch.cancel.clone();
    let timeout = |due: &ReadyRun| match scope {
        // A debugger takes its time.
        ReplayScope::Only(_) => None,
        ReplayScope::Whole | ReplayScope::From(_) => due.node.timeout,
    };
    let performed = |due: &ReadyRun| performed(past, due, timeout(due), &cancel);
    let mut perform = |due: &ReadyRun| match parts[due.step()] {
        StepTreatment::Run => {
            let depends = RunDependencies::of(past, due);
            let before = match (records.reported(due), records.find(depends.key, due)) {
                (Some(fault), _) => Some((ComparisonSide::Reported(fault), None)),
                (None, run) => {
                    run.map(|run| (ComparisonSide::Recorded(run, past), Some(RunDependencies::recorded(run))))
                }
            };
            let recorded = records.take(due).filter(|_| due.node.step.declaration.calls);
            let (result, took) =
                recorded.map_or_else(|| performed(due), |recorded| (recorded, Duration::ZERO));
            watch.note(&mut runs, ReplayedRun::new(due, depends, before, (&result, took), watch.listed));
            result
        }
        StepTreatment::Help if due.node.step.declaration.calls => {
            records.take(due).unwrap_or_else(|| performed(due).0)
        }
        StepTreatment::Help => performed(due).0,
        StepTreatment::Take => records.take(due).unwrap_or_else(|| performed(due).0),
        StepTreatment::Leave => records.left(due),
    };
    let (response, files) = dataflow.interpret_by(&Arc::new(past.recording.request.clone()), &mut perform);
    watch.end(&runs);
    Ok(ReplayResult { runs, response, files })
}

/// Replays a request through another dataflow and compares the results with those of `first`. Runs
/// whose dependencies have not changed are not repeated.
pub fn shadow(
    past: &PastRequest,
    dataflow: &Dataflow,
    first: &ReplayResult,
    mut watch: ReplayObserver,
) -> ReplayResult {
    let by_key: BTreeMap<Digest, &ReplayedRun> =
        first.runs.iter().map(|ran| (ran.depends.key, ran)).collect();
    let by_name: BTreeMap<_, &ReplayedRun> = first.runs.iter().map(|ran| (ran.name(), ran)).collect();
    let mut runs = Vec::new();
    let mut perform = |due: &ReadyRun| {
        let depends = RunDependencies::of(past, due);
        let (result, took) = match by_key.get(&depends.key) {
            Some(ran) => (ran.result.clone(), Duration::ZERO),
            None => performed(past, due, due.node.timeout, &watch.cancel),
        };
        let before = by_name.get(&(due.step(), due.item));
        let before = before.map(|ran| (ComparisonSide::Made(&ran.result), Some(ran.depends.clone())));
        watch.note(&mut runs, ReplayedRun::new(due, depends, before, (&result, took), watch.listed));
        result
    };
    let (response, files) = dataflow.interpret_by(&Arc::new(past.recording.request.clone()), &mut perform);
    watch.end(&runs);
    ReplayResult { runs, response, files }
}

impl ReplayedRun {
    fn new(
        due: &ReadyRun,
        depends: RunDependencies,
        before: Option<(ComparisonSide, Option<RunDependencies>)>,
        (result, took): (&Result<StepOutputs, Fault>, Duration),
        listed: usize,
    ) -> ReplayedRun {
        let (side, before) = before.unzip();
        let verdict = RunVerdict::between(side, ComparisonSide::Made(result));
        let parts = |output: &String| {
            let parts =
                side.map(|side| comparison::parts(side, ComparisonSide::Made(result), output, listed));
            parts.into_iter().flatten().map(|part| (output.clone(), part)).collect::<Vec<_>>()
        };
        let parts = match &verdict {
            RunVerdict::Differs(outputs) if listed > 0 => outputs.iter().flat_map(parts).collect(),
            _ => Vec::new(),
        };
        ReplayedRun {
            step: due.step().to_owned(),
            item: due.item,
            verdict,
            parts,
            changed: before.flatten().map(|before| depends.changed(&before)).unwrap_or_default(),
            depends,
            result: result.clone(),
            took,
        }
    }

    /// The step and the item.
    pub fn name(&self) -> (&str, Option<usize>) {
        (&self.step, self.item)
    }
}

impl RunDependencies {
    fn of(past: &PastRequest, due: &ReadyRun) -> RunDependencies {
        let inputs = due.inputs.digests().into_iter().map(|(name, digest)| (name.to_owned(), digest));
        RunDependencies {
            key: due.node.key(&identity(past, due), due.inputs),
            version: due.node.step.declaration.version,
            inputs: inputs.collect(),
        }
    }

    fn recorded(run: &RecordingRun) -> RunDependencies {
        RunDependencies { key: run.key, version: run.version, inputs: run.inputs.clone() }
    }

    /// The changed dependencies, in words.
    fn changed(&self, before: &RunDependencies) -> Vec<String> {
        let mut changed = Vec::new();
        if self.version != before.version {
            changed.push(format!("the step's version ({} before)", before.version));
        }
        let inputs = self.inputs.iter().filter(|(name, digest)| before.inputs.get(*name) != Some(digest));
        changed.extend(inputs.map(|(name, _)| format!("the input {name}")));
        if changed.is_empty() && self.key != before.key {
            changed.push("its parameters".to_owned());
        }
        changed
    }
}

impl ReplayObserver<'_> {
    /// Of several attempts of a step, the last result counts: it is told when the next run has ended.
    fn note(&mut self, runs: &mut Vec<ReplayedRun>, ran: ReplayedRun) {
        if runs.pop_if(|last| last.name() == ran.name()).is_none() {
            self.end(runs);
        }
        runs.push(ran);
    }

    /// Tells the last run, to which no other attempt comes.
    fn end(&mut self, runs: &[ReplayedRun]) {
        if let (Some(tell), Some(last)) = (&mut self.tell, runs.last()) {
            tell(last);
        }
    }
}

fn not_recorded() -> Fault {
    let remedy = "Replay the request with the dataflow and the steps with which it was run.";
    Fault::of(
        FaultKind::Storage,
        "the answer to this call is not recorded, and a replay makes no calls",
        remedy,
    )
}

fn identity(past: &PastRequest, due: &ReadyRun) -> ResultIdentity {
    ResultIdentity { dataflow: past.recording.dataflow.version, ..due.identity.clone() }
}

fn performed(
    past: &PastRequest,
    due: &ReadyRun,
    timeout: Option<Duration>,
    cancel: &CancelToken,
) -> (Result<StepOutputs, Fault>, Duration) {
    if cancel.is_cancelled() {
        return (Err(Fault::cancelled()), Duration::ZERO);
    }
    // No service is called again.
    if due.node.step.declaration.calls {
        return (Err(not_recorded()), Duration::ZERO);
    }
    let began = Instant::now();
    let environment = ReplayedCalls::shared(past, due);
    let identity = identity(past, due);
    let run = |token: &CancelToken| due.node.perform(&identity, due.inputs, token, &environment);
    let result = timed_run::within(timeout, cancel, run);
    (result, began.elapsed())
}
