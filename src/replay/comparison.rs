//! The comparison of the results of a run with the recorded ones.

use std::collections::BTreeMap;

use ciborium::Value;

use crate::dataflow::response::files_at;
use crate::step::{Digest, Fault, File, Outcome, Outputs};

use super::{Difference, FileDifference, Kept, Past, Run};

/// One side of a comparison.
#[derive(Clone, Copy)]
pub(super) enum Side<'a> {
    Recorded(&'a Run, &'a Past),
    Made(&'a Result<Outputs, Fault>),
}

/// Whether a run gave the recorded results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
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
pub enum Part {
    Value(Difference),
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

impl Verdict {
    pub(super) fn between(before: Option<Side>, after: Side) -> Verdict {
        let Some(before) = before else { return Verdict::New };
        let (old, new) = (before.outcome(), after.outcome());
        if old != new {
            return Verdict::Otherwise { before: old, after: new };
        }
        let (old, new) = (before.digests(), after.digests());
        let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
        let others: Vec<String> = names.filter(|name| old.get(*name) != new.get(*name)).cloned().collect();
        if others.is_empty() { Verdict::Identical } else { Verdict::Differs(others) }
    }
}

/// The differences at one output, with at most `listed` changes of each value or file.
pub(super) fn parts(before: Side, after: Side, output: &str, listed: usize) -> Vec<Part> {
    match (before.content(output), after.content(output)) {
        (None, _) => vec![Part::Unkept],
        (Some(Content::Files(before)), Some(Content::Files(after))) => files(&before, &after, listed),
        (Some(before), after) => {
            let after = after.map_or(Value::Null, Content::into_tree);
            vec![Part::Value(Difference::between(&before.into_tree(), &after, listed))]
        }
    }
}

fn files(before: &[File], after: &[File], listed: usize) -> Vec<Part> {
    let mut unseen: BTreeMap<&str, &File> = after.iter().map(|file| (file.name.as_str(), file)).collect();
    let mut parts = Vec::new();
    for old in before {
        let name = old.name.clone();
        match unseen.remove(name.as_str()) {
            None => parts.push(Part::Removed { name }),
            Some(new) if new == old => {}
            Some(new) => {
                let difference =
                    FileDifference::between(&name, &old.media_type, &old.bytes, &new.bytes, listed);
                parts.push(Part::File { name, difference });
            }
        }
    }
    parts.extend(unseen.into_keys().map(|name| Part::Added { name: name.to_owned() }));
    parts
}

enum Content {
    Tree(Value),
    Files(Vec<File>),
}

impl Content {
    /// Files that are compared with another kind of value are shown by their names.
    fn into_tree(self) -> Value {
        match self {
            Content::Tree(tree) => tree,
            Content::Files(files) => {
                files.into_iter().map(|file| Value::from(file.name)).collect::<Vec<_>>().into()
            }
        }
    }
}

impl Side<'_> {
    fn outcome(&self) -> Outcome {
        match self {
            Side::Recorded(run, _) => run.outcome.clone(),
            Side::Made(Ok(_)) => Outcome::Done,
            Side::Made(Err(fault)) => Outcome::Failed(fault.clone()),
        }
    }

    fn digests(&self) -> BTreeMap<String, Digest> {
        match self {
            Side::Recorded(run, _) => {
                run.outputs.iter().map(|output| (output.name.clone(), output.digest)).collect()
            }
            Side::Made(Ok(outputs)) => {
                outputs.iter().map(|(name, value)| (name.to_owned(), value.digest())).collect()
            }
            Side::Made(Err(_)) => BTreeMap::new(),
        }
    }

    /// The content at an output; `None` if there is only a digest.
    fn content(&self, name: &str) -> Option<Content> {
        match self {
            Side::Recorded(run, past) => {
                let output = run.outputs.iter().find(|output| output.name == name)?;
                recorded(&output.kept, past)
            }
            Side::Made(result) => {
                let value = result.as_ref().ok()?.get(name)?;
                let files = files_at(value);
                if files.is_empty() { tree(&value.to_bytes()) } else { Some(Content::Files(files.to_vec())) }
            }
        }
    }
}

fn recorded(kept: &Kept, past: &Past) -> Option<Content> {
    match kept {
        Kept::No => None,
        Kept::Form { digest, .. } => tree(&past.bytes(*digest)?),
        Kept::Files(artifacts) => past.files(artifacts).map(Content::Files),
    }
}

fn tree(form: &[u8]) -> Option<Content> {
    ciborium::from_reader(form).ok().map(Content::Tree)
}
