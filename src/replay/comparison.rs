//! The comparison of the results of a run with the recorded ones.

use std::collections::BTreeMap;

use ciborium::Value;

use crate::dataflow::response::files_at;
use crate::step::{Digest, Fault, Outcome, ResponseFile, StepOutputs};

use super::{FileDifference, PastRequest, RecordingForm, RecordingRun, ValueDifference};

/// One side of a comparison.
#[derive(Clone, Copy)]
pub(super) enum ComparisonSide<'a> {
    Recorded(&'a RecordingRun, &'a PastRequest),
    /// The run itself is not recorded; its fault stands in the response.
    Reported(&'a Fault),
    Made(&'a Result<StepOutputs, Fault>),
}

/// Whether a run gave the recorded results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunVerdict {
    Identical,
    /// The listed outputs differ.
    Differs(Vec<String>),
    /// The run succeeded on one side only, or its faults differ.
    Otherwise {
        before: Outcome,
        after: Outcome,
    },
    /// The recording has no such run.
    New,
}

/// The difference at an output.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputDifference {
    Value(ValueDifference),
    File {
        name: String,
        difference: FileDifference,
    },
    Added {
        name: String,
    },
    Removed {
        name: String,
    },
    /// The recording has only a digest.
    Unkept,
}

impl RunVerdict {
    pub(super) fn between(before: Option<ComparisonSide>, after: ComparisonSide) -> RunVerdict {
        let Some(before) = before else { return RunVerdict::New };
        let (old, new) = (before.outcome(), after.outcome());
        if old != new {
            return RunVerdict::Otherwise { before: old, after: new };
        }
        let (old, new) = (before.digests(), after.digests());
        let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
        let others: Vec<String> = names.filter(|name| old.get(*name) != new.get(*name)).cloned().collect();
        if others.is_empty() { RunVerdict::Identical } else { RunVerdict::Differs(others) }
    }
}

/// The differences at one output, with at most `listed` changes of each value or file.
pub(super) fn parts(
    before: ComparisonSide,
    after: ComparisonSide,
    output: &str,
    listed: usize,
) -> Vec<OutputDifference> {
    match (before.content(output), after.content(output)) {
        (None, _) => vec![OutputDifference::Unkept],
        (Some(ComparedContent::Files(before)), Some(ComparedContent::Files(after))) => {
            files(&before, &after, listed)
        }
        (Some(before), after) => {
            let after = after.map_or(Value::Null, ComparedContent::into_tree);
            vec![OutputDifference::Value(ValueDifference::between(&before.into_tree(), &after, listed))]
        }
    }
}

fn files(before: &[ResponseFile], after: &[ResponseFile], listed: usize) -> Vec<OutputDifference> {
    let mut unseen: BTreeMap<&str, &ResponseFile> =
        after.iter().map(|file| (file.name.as_str(), file)).collect();
    let mut parts = Vec::new();
    for old in before {
        let name = old.name.clone();
        match unseen.remove(name.as_str()) {
            None => parts.push(OutputDifference::Removed { name }),
            Some(new) if new == old => {}
            Some(new) => {
                let difference =
                    FileDifference::between(&name, &old.media_type, &old.bytes, &new.bytes, listed);
                parts.push(OutputDifference::File { name, difference });
            }
        }
    }
    parts.extend(unseen.into_keys().map(|name| OutputDifference::Added { name: name.to_owned() }));
    parts
}

enum ComparedContent {
    Tree(Value),
    Files(Vec<ResponseFile>),
}

impl ComparedContent {
    /// Files that are compared with another kind of value are shown by their names.
    fn into_tree(self) -> Value {
        match self {
            ComparedContent::Tree(tree) => tree,
            ComparedContent::Files(files) => {
                files.into_iter().map(|file| Value::from(file.name)).collect::<Vec<_>>().into()
            }
        }
    }
}

impl ComparisonSide<'_> {
    fn outcome(&self) -> Outcome {
        match self {
            ComparisonSide::Recorded(run, _) => run.outcome.clone(),
            ComparisonSide::Made(Ok(_)) => Outcome::Done,
            ComparisonSide::Made(Err(fault)) => Outcome::Failed(fault.clone()),
            ComparisonSide::Reported(fault) => Outcome::Failed((*fault).clone()),
        }
    }

    fn digests(&self) -> BTreeMap<String, Digest> {
        match self {
            // What is recorded of a run that failed is its log, and no output.
            ComparisonSide::Recorded(run, _) if run.outcome == Outcome::Done => {
                run.outputs.iter().map(|output| (output.name.clone(), output.digest)).collect()
            }
            ComparisonSide::Made(Ok(outputs)) => {
                outputs.iter().map(|(name, value)| (name.to_owned(), value.digest())).collect()
            }
            ComparisonSide::Recorded(..) | ComparisonSide::Reported(_) | ComparisonSide::Made(Err(_)) => {
                BTreeMap::new()
            }
        }
    }

    /// The content at an output; `None` if there is only a digest.
    fn content(&self, name: &str) -> Option<ComparedContent> {
        match self {
            ComparisonSide::Recorded(run, past) => {
                let output = run.outputs.iter().find(|output| output.name == name)?;
                recorded(&output.kept, past)
            }
            ComparisonSide::Reported(_) => None,
            ComparisonSide::Made(result) => {
                let value = result.as_ref().ok()?.get(name)?;
                let files = files_at(value);
                if files.is_empty() {
                    tree(&value.to_bytes())
                } else {
                    Some(ComparedContent::Files(files.to_vec()))
                }
            }
        }
    }
}

fn recorded(kept: &RecordingForm, past: &PastRequest) -> Option<ComparedContent> {
    match kept {
        RecordingForm::No => None,
        RecordingForm::Form { digest, .. } => tree(&past.bytes(*digest)?),
        RecordingForm::Files(artifacts) => past.files(artifacts).map(ComparedContent::Files),
    }
}

fn tree(form: &[u8]) -> Option<ComparedContent> {
    ciborium::from_reader(form).ok().map(ComparedContent::Tree)
}
