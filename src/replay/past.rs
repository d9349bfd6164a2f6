//! A past request as it can be run again: what was recorded of it, and where the bytes are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use crate::dataflow::{Dataflow, Response};
use crate::journal::{self, Entry, History, JournalError, Reader, Row, RunRecord};
use crate::step::{self, Artifact, Digest, Digester, Item, Outcome, Report, Request, Table};
use crate::store::Store;
use crate::yaml::Problems;

use super::{DataflowText, Kept, Output, Recording, Run, Unpacked};

pub struct Past {
    pub recording: Recording,
    bytes: Box<Bytes>,
}

/// The bytes of a recorded value or file, if they are there and what they were.
type Bytes = dyn Fn(Digest) -> Option<Vec<u8>>;

#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the journal does not say how {0} was accepted")]
    NotAccepted(String),
    #[error("the journal lacks the dataflow that the request went through, version {}", .0.short())]
    NoDataflow(Digest),
    #[error("could not read {name} of the request at {path}", path = path.display())]
    Gone { name: String, path: PathBuf, source: io::Error },
    #[error("{name} of the request is not what it was: {path} has been changed", path = path.display())]
    Changed { name: String, path: PathBuf },
}

impl Past {
    /// # Errors
    /// If the journal cannot be read, or lacks what is needed.
    pub fn of_journal(reader: &Reader, row: &Row, store: Store) -> Result<Past, PastError> {
        let history = reader.history(row.number)?;
        let (request, version) = history.request().map_err(|_| PastError::NotAccepted(row.name.clone()))?;
        let request = Request { edition: history.rejected(), ..request.clone() };
        let (name, text) = reader.dataflow(version)?.ok_or(PastError::NoDataflow(version))?;
        let mut shelf = Shelf { store, requests: Vec::new(), here: BTreeMap::new() };
        let mut runs = Vec::new();
        for earlier in earlier(reader, &request)? {
            let inherited =
                shelf.runs(&earlier).into_iter().filter(|run| has_run(&run.step, history.response()));
            runs.extend(inherited.filter_map(|run| moved(run, &earlier, &request)));
        }
        runs.extend(shelf.runs(&history));
        let recording = Recording {
            flow: env!("CARGO_PKG_VERSION").to_owned(),
            request,
            dataflow: DataflowText { name, version, text },
            runs,
            response: history.response().cloned(),
        };
        Ok(Past::new(recording, move |digest| shelf.get(digest)))
    }

    pub fn of_archive(unpacked: Unpacked) -> Past {
        let (recording, paths) = unpacked.into_parts();
        let bytes = move |digest| {
            let bytes = fs::read(paths.get(&digest)?).ok()?;
            (Digest::of(&bytes) == digest).then_some(bytes)
        };
        Past::new(recording, bytes)
    }

    pub(super) fn new(recording: Recording, bytes: impl Fn(Digest) -> Option<Vec<u8>> + 'static) -> Past {
        Past { recording, bytes: Box::new(bytes) }
    }

    /// The dataflow that it went through, with the steps that there are now.
    ///
    /// # Errors
    /// If that no longer fits together: steps may have been changed since.
    pub fn dataflow(&self, table: &Table) -> Result<Dataflow, Problems> {
        let DataflowText { name, text, .. } = &self.recording.dataflow;
        Dataflow::parse(name, text, table)
    }

    /// Sees whether the request's items are there and what they were.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn check_items(&self) -> Result<(), PastError> {
        self.recording.request.items.iter().try_for_each(|item| {
            let name = || item.name.clone();
            let path = || item.path().map_or_else(|| PathBuf::from(&item.name), PathBuf::from);
            let digest =
                digest_of(item).map_err(|source| PastError::Gone { name: name(), path: path(), source })?;
            if digest == item.digest {
                Ok(())
            } else {
                Err(PastError::Changed { name: name(), path: path() })
            }
        })
    }

    /// Recorded bytes.
    pub fn bytes(&self, digest: Digest) -> Option<Vec<u8>> {
        (self.bytes)(digest)
    }

    /// Recorded files with their bytes, if all are there.
    pub fn files(&self, artifacts: &[Artifact]) -> Option<Vec<step::File>> {
        let file = |artifact: &Artifact| {
            let bytes = self.bytes(artifact.digest)?;
            Some(step::File::new(&artifact.name, artifact.media_type.clone(), bytes))
        };
        artifacts.iter().map(file).collect()
    }

    /// For packing: the bytes of anything that belongs to the recording.
    ///
    /// # Errors
    /// If they are not there.
    pub fn open(&self, digest: Digest) -> io::Result<Box<dyn Read>> {
        let item = self.recording.request.items.iter().find(|item| item.digest == digest);
        match item {
            Some(item) => Ok(Box::new(Cursor::new(item.open()?))),
            None => {
                let bytes = self.bytes(digest).ok_or(io::ErrorKind::NotFound)?;
                Ok(Box::new(Cursor::new(bytes)))
            }
        }
    }
}

fn digest_of(item: &Item) -> io::Result<Digest> {
    let mut digester = Digester::default();
    digester.update(&item.open()?);
    Ok(digester.digest())
}

/// The histories of the requests in whose place this one came, the first one first: what they had done
/// was not done again.
fn earlier(reader: &Reader, request: &Request) -> Result<Vec<History>, JournalError> {
    let mut histories: Vec<History> = Vec::new();
    let mut next = request.supersedes;
    while let Some(id) = next.take() {
        let rows = reader.find(&id.to_string())?;
        let is_new = |row: &&Row| histories.iter().all(|history| history.row.number != row.number);
        if let Some(row) = rows.iter().find(is_new) {
            let history = reader.history(row.number)?;
            next = history.request().ok().and_then(|(request, _)| request.supersedes);
            histories.insert(0, history);
        }
    }
    Ok(histories)
}

/// Whether a step has a part in the response; before there is one, it may get one.
fn has_run(step: &str, response: Option<&Response>) -> bool {
    let is_skipped =
        |report: &Report| report.item.is_none() && matches!(report.outcome, Outcome::Skipped { .. });
    response
        .is_none_or(|response| response.steps.iter().any(|report| report.step == step && !is_skipped(report)))
}

/// A run of an earlier request as one of a later request, which may have the item at another place.
fn moved(run: Run, from: &History, to: &Request) -> Option<Run> {
    let Some(item) = run.item else { return Some(run) };
    let digest = from.request().ok()?.0.items.get(item)?.digest;
    let item = to.items.iter().position(|item| item.digest == digest)?;
    Some(Run { item: Some(item), ..run })
}

/// Where the journal has the bytes of recorded values: in the store, or in itself.
struct Shelf {
    store: Store,
    requests: Vec<Digest>,
    here: BTreeMap<Digest, Vec<u8>>,
}

impl Shelf {
    /// The runs of a history in the order in which they ended, of those that count.
    fn runs(&mut self, history: &History) -> Vec<Run> {
        self.requests.push(history.row.id);
        let counts = history.runs();
        let runs = history.entries.iter().filter_map(|dated| match &dated.entry {
            Entry::Run(run) if counts.get(&run.key).is_some_and(|(last, _)| std::ptr::eq(*last, run)) => {
                Some(self.run(run, &dated.content))
            }
            _ => None,
        });
        runs.collect()
    }

    fn run(&mut self, run: &RunRecord, content: &[u8]) -> Run {
        let mut content = content;
        let output = |record: &journal::OutputRecord| Output {
            name: record.name.clone(),
            digest: record.digest,
            kept: self.kept(&record.kept, &mut content),
        };
        let outputs = run.outputs.iter().map(output).collect();
        let RunRecord { step, item, key, version, inputs, outcome, took_us, .. } = run.clone();
        Run { step, item, key, version, inputs, outcome, took_us, outputs }
    }

    /// Values that are only of use while a request is in work are not there any more.
    fn kept(&mut self, kept: &journal::Kept, content: &mut &[u8]) -> Kept {
        let mut here = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            self.here.insert(digest, bytes.to_vec());
            Kept::Form { digest, size: bytes.len() as u64 }
        };
        match kept {
            journal::Kept::No => Kept::No,
            journal::Kept::Here { bytes } => content.split_off(..*bytes).map_or(Kept::No, &mut here),
            journal::Kept::Stored { form } => match self.get(*form) {
                Some(bytes) => Kept::Form { digest: *form, size: bytes.len() as u64 },
                None => Kept::No,
            },
            journal::Kept::Files { artifacts } => {
                let there = artifacts.iter().all(|artifact| self.get(artifact.digest).is_some());
                if there { Kept::Files(artifacts.clone()) } else { Kept::No }
            }
        }
    }

    fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        let here = self.here.get(&digest).cloned();
        here.or_else(|| self.requests.iter().rev().find_map(|request| self.store.get(*request, digest)))
    }
}
