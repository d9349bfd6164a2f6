//! The recorded results of a past request, found by key or by name and read back as values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::dataflow::interpret::ReadyRun;
use crate::step::{Digest, Fault, FaultKind, Item, Outcome, ResponseFiles, StepOutputs, StepReport};

use super::{PastRequest, RecordingForm, RecordingRun};

pub struct PastRuns<'a> {
    past: &'a PastRequest,
    by_key: BTreeMap<Digest, &'a RecordingRun>,
    /// The last run of each step and item.
    by_name: BTreeMap<(&'a str, Option<usize>), &'a RecordingRun>,
}

impl<'a> PastRuns<'a> {
    pub fn of(past: &'a PastRequest) -> PastRuns<'a> {
        let runs = || past.recording.runs.iter();
        PastRuns {
            past,
            by_key: runs().map(|run| (run.key, run)).collect(),
            by_name: runs()
                .filter(|run| !run.is_call())
                .map(|run| ((run.step.as_str(), run.item), run))
                .collect(),
        }
    }

    /// Whether a step was run and all its results are stored.
    pub fn keep(&self, step: &str) -> bool {
        let mut runs = self.by_name.iter().filter(|((name, _), _)| *name == step).peekable();
        let is_kept = |run: &RecordingRun| run.outputs.iter().all(|output| output.kept != RecordingForm::No);
        let is_known = runs.peek().is_some() || self.reports(step).any(|report| time_out(report).is_some());
        is_known && runs.all(|(_, run)| is_kept(run))
    }

    /// The run with this key; otherwise the run of the same name with another key.
    pub fn find(&self, key: Digest, due: &ReadyRun) -> Option<&'a RecordingRun> {
        self.by_key.get(&key).copied().or_else(|| self.named(due))
    }

    /// The results of a run, if they can be read back.
    pub fn take(&self, due: &ReadyRun) -> Option<Result<StepOutputs, Fault>> {
        if let Some(fault) = self.reported(due) {
            return Some(Err(fault.clone()));
        }
        let run = self.named(due)?;
        match &run.outcome {
            Outcome::Done => self.outputs(due, run).map(Ok),
            Outcome::Failed(fault) => Some(Err(fault.clone())),
            Outcome::Skipped { .. } => None,
        }
    }

    /// The result of a run whose values are not needed.
    pub fn left(&self, due: &ReadyRun) -> Result<StepOutputs, Fault> {
        if let Some(fault) = self.reported(due) {
            return Err(fault.clone());
        }
        match self.named(due).map(|run| &run.outcome) {
            Some(Outcome::Failed(fault)) => Err(fault.clone()),
            Some(Outcome::Done | Outcome::Skipped { .. }) | None => Ok(StepOutputs::default()),
        }
    }

    /// The fault of a run that took too long. It was given up, so that the recording has earlier attempts at most.
    pub fn reported(&self, due: &ReadyRun) -> Option<&'a Fault> {
        let item = due.item.and_then(|item| self.past.recording.request.items.get(item));
        let name = item.map(|item| item.name.as_str());
        self.reports(due.step()).find(|report| report.item.as_deref() == name).and_then(time_out)
    }

    /// What the response says of a step.
    fn reports(&self, step: &str) -> impl Iterator<Item = &'a StepReport> {
        let response = self.past.recording.response.iter();
        response.flat_map(|response| &response.steps).filter(move |report| &*report.step == step)
    }

    fn named(&self, due: &ReadyRun) -> Option<&'a RecordingRun> {
        self.by_name.get(&(due.step(), due.item)).copied()
    }

    fn outputs(&self, due: &ReadyRun, run: &RecordingRun) -> Option<StepOutputs> {
        let mut outputs = StepOutputs::default();
        for output in &run.outputs {
            let declared = &due.node.step.declaration.outputs;
            let declared = declared.iter().find(|declared| declared.name == output.name)?;
            match &output.kept {
                RecordingForm::No => return None,
                RecordingForm::Form { digest, .. } => {
                    let value = (declared.read)(&self.past.bytes(*digest)?, &|digest| self.path_of(digest));
                    outputs.push(declared.name, value.ok()?);
                }
                RecordingForm::Files(artifacts) => {
                    outputs = outputs.with(declared.name, ResponseFiles(self.past.files(artifacts)?));
                }
            }
        }
        Some(outputs)
    }

    fn path_of(&self, digest: Digest) -> Option<PathBuf> {
        let is_it = |item: &&Item| item.digest == digest;
        self.past.recording.request.items.iter().find(is_it)?.path().map(PathBuf::from)
    }
}

fn time_out(report: &StepReport) -> Option<&Fault> {
    match &report.outcome {
        Outcome::Failed(fault) if fault.kind == FaultKind::TimedOut => Some(fault),
        Outcome::Failed(_) | Outcome::Done | Outcome::Skipped { .. } => None,
    }
}
