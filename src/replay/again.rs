//! The replay of a past request.
//!
//! Results get the identifiers of the recorded dataflow, whichever dataflow is run. Nothing is sent, and
//! identifiers cause no differences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dataflow::interpret::Due;
use crate::dataflow::{Dataflow, Response};
use crate::step::{Digest, Fault, File, Identity, Outputs, Token};

use super::comparison::{self, Side, Verdict};
use super::records::Records;
use super::scope::Part;
use super::{NoSuchStep, Past, Run, Scope};

/// The result of a replay.
pub struct Again {
    /// The compared runs, in the order in which they ended.
    pub runs: Vec<Ran>,
    /// The response; complete only if all steps were run.
    pub response: Response,
    pub files: Vec<File>,
}

/// A run of a replay.
pub struct Ran {
    /// The step's name in the dataflow.
    pub step: String,
    pub item: Option<usize>,
    pub depends: Depends,
    pub result: Result<Outputs, Fault>,
    pub took: Duration,
    pub verdict: Verdict,
    /// The changed inputs and properties of the step, if the step ran before.
    pub changed: Vec<String>,
    /// The differences by output, if they were requested.
    pub parts: Vec<(String, comparison::Part)>,
}

/// The options of a replay and its observer.
#[derive(Default)]
pub struct Watch<'a> {
    /// Limit of the listed changes of each value or file; with 0, values are only compared by digest.
    pub listed: usize,
    /// Called for each compared run.
    pub tell: Option<&'a mut dyn FnMut(&Ran)>,
}

/// The inputs that the outputs of a run depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depends {
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
pub fn again(past: &Past, dataflow: &Dataflow, scope: Scope, mut watch: Watch) -> Result<Again, NoSuchStep> {
    let records = Records::of(past);
    let parts = scope.parts(dataflow, |step| records.keep(step))?;
    let names = dataflow.nodes.iter().map(|node| node.name.as_str());
    let parts: BTreeMap<&str, Part> = names.zip(parts).collect();
    let mut runs = Vec::new();
    let mut perform = |due: &Due| match parts[due.step()] {
        Part::Run => {
            let depends = Depends::of(past, due);
            let before = records.find(depends.key, due);
            let before = before.map(|run| (Side::Recorded(run, past), Depends::recorded(run)));
            let (result, took) = performed(past, due);
            watch.note(&mut runs, Ran::new(due, depends, before, (&result, took), watch.listed));
            result
        }
        Part::Help => performed(past, due).0,
        Part::Take => records.take(due).unwrap_or_else(|| performed(past, due).0),
        Part::Leave => records.left(due),
    };
    let (response, files) = dataflow.interpret_by(&Arc::new(past.recording.request.clone()), &mut perform);
    Ok(Again { runs, response, files })
}

/// Replays a request through another dataflow and compares the results with those of `first`. Runs
/// whose dependencies have not changed are not repeated.
pub fn shadow(past: &Past, dataflow: &Dataflow, first: &Again, mut watch: Watch) -> Again {
    let by_key: BTreeMap<Digest, &Ran> = first.runs.iter().map(|ran| (ran.depends.key, ran)).collect();
    let by_name: BTreeMap<_, &Ran> = first.runs.iter().map(|ran| (ran.name(), ran)).collect();
    let mut runs = Vec::new();
    let mut perform = |due: &Due| {
        let depends = Depends::of(past, due);
        let (result, took) = match by_key.get(&depends.key) {
            Some(ran) => (ran.result.clone(), Duration::ZERO),
            None => performed(past, due),
        };
        let before = by_name.get(&(due.step(), due.item));
        let before = before.map(|ran| (Side::Made(&ran.result), ran.depends.clone()));
        watch.note(&mut runs, Ran::new(due, depends, before, (&result, took), watch.listed));
        result
    };
    let (response, files) = dataflow.interpret_by(&Arc::new(past.recording.request.clone()), &mut perform);
    Again { runs, response, files }
}

impl Ran {
    fn new(
        due: &Due,
        depends: Depends,
        before: Option<(Side, Depends)>,
        (result, took): (&Result<Outputs, Fault>, Duration),
        listed: usize,
    ) -> Ran {
        let (side, before) = before.unzip();
        let verdict = Verdict::between(side, Side::Made(result));
        let parts = |output: &String| {
            let parts = side.map(|side| comparison::parts(side, Side::Made(result), output, listed));
            parts.into_iter().flatten().map(|part| (output.clone(), part)).collect::<Vec<_>>()
        };
        let parts = match &verdict {
            Verdict::Differs(outputs) if listed > 0 => outputs.iter().flat_map(parts).collect(),
            _ => Vec::new(),
        };
        Ran {
            step: due.step().to_owned(),
            item: due.item,
            verdict,
            parts,
            changed: before.map(|before| depends.changed(&before)).unwrap_or_default(),
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

impl Depends {
    fn of(past: &Past, due: &Due) -> Depends {
        let inputs = due.inputs.digests().into_iter().map(|(name, digest)| (name.to_owned(), digest));
        Depends {
            key: due.node.key(&identity(past, due), due.inputs),
            version: due.node.step.declaration.version,
            inputs: inputs.collect(),
        }
    }

    fn recorded(run: &Run) -> Depends {
        Depends { key: run.key, version: run.version, inputs: run.inputs.clone() }
    }

    /// The changed dependencies, in words.
    fn changed(&self, before: &Depends) -> Vec<String> {
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

impl Watch<'_> {
    /// Of several attempts of a step, the last result counts.
    fn note(&mut self, runs: &mut Vec<Ran>, ran: Ran) {
        if let Some(tell) = &mut self.tell {
            tell(&ran);
        }
        runs.pop_if(|last| last.name() == ran.name());
        runs.push(ran);
    }
}

fn identity(past: &Past, due: &Due) -> Identity {
    Identity { dataflow: past.recording.dataflow.version, ..due.identity.clone() }
}

fn performed(past: &Past, due: &Due) -> (Result<Outputs, Fault>, Duration) {
    let began = Instant::now();
    let result = due.node.perform(&identity(past, due), due.inputs, &Token::default());
    (result, began.elapsed())
}
