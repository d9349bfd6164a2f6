//! A past request that can be run again: its recording and access to the recorded bytes.

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

/// A function that gives the bytes with a digest; `None` if they are missing or damaged.
type Bytes = dyn Fn(Digest) -> Option<Vec<u8>>;

#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the journal has no acceptance record of {0}")]
    NotAccepted(String),
    #[error("the journal lacks the dataflow that the request went through, version {}", .0.short())]
    NoDataflow(Digest),
    #[error("could not read {name} of the request at {path}", path = path.display())]
    Gone { name: String, path: PathBuf, source: io::Error },
    #[error("{name} of the request does not match its digest: {path} has been changed", path = path.display())]
    Changed { name: String, path: PathBuf },
}

impl Past {
    /// # Errors
    /// The journal cannot be read or is incomplete.
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

    /// The recorded dataflow, with the present versions of its steps.
    ///
    /// # Errors
    /// The dataflow does not fit the present steps, which may have changed since.
    pub fn dataflow(&self, table: &Table) -> Result<Dataflow, Problems> {
        let DataflowText { name, text, .. } = &self.recording.dataflow;
        Dataflow::parse(name, text, table)
    }

    /// Verifies that the items of the request exist and match their digests.
    ///
    /// # Errors
    /// An item is missing or was changed; the first one is named.
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

    /// The recorded bytes with this digest.
    pub fn bytes(&self, digest: Digest) -> Option<Vec<u8>> {
        (self.bytes)(digest)
    }

    /// Recorded files with their bytes; `None` if any is missing.
    pub fn files(&self, artifacts: &[Artifact]) -> Option<Vec<step::File>> {
        let file = |artifact: &Artifact| {
            let bytes = self.bytes(artifact.digest)?;
            Some(step::File::new(&artifact.name, artifact.media_type.clone(), bytes))
        };
        artifacts.iter().map(file).collect()
    }

    /// The bytes of any content of the recording, for an archive.
    ///
    /// # Errors
    /// The bytes are missing.
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

/// The histories of the requests that this one supersedes, oldest first: runs of theirs were reused.
fn earlier(reader: &Reader, request: &Request) -> Result<Vec<History>, JournalError> {
    let mut histories: Vec<History> = Vec::new();
    let mut next = request.supersedes;
    while let Some(id) = next.take() {
        let rows = reader.find(&id.to_string(), &|_| Vec::new())?;
        let is_new = |row: &&Row| histories.iter().all(|history| history.row.number != row.number);
        if let Some(row) = rows.iter().find(is_new) {
            let history = reader.history(row.number)?;
            next = history.request().ok().and_then(|(request, _)| request.supersedes);
            histories.insert(0, history);
        }
    }
    Ok(histories)
}

/// Whether a step appears in the response; without a response, any step may.
fn has_run(step: &str, response: Option<&Response>) -> bool {
    let is_skipped =
        |report: &Report| report.item.is_none() && matches!(report.outcome, Outcome::Skipped { .. });
    response
        .is_none_or(|response| response.steps.iter().any(|report| report.step == step && !is_skipped(report)))
}

/// A run of an earlier request as a run of a later one, whose items may be in another order.
fn moved(run: Run, from: &History, to: &Request) -> Option<Run> {
    let Some(item) = run.item else { return Some(run) };
    let digest = from.request().ok()?.0.items.get(item)?.digest;
    let item = to.items.iter().position(|item| item.digest == digest)?;
    Some(Run { item: Some(item), ..run })
}

/// Access to recorded bytes, which are in the store or in the journal itself.
struct Shelf {
    store: Store,
    requests: Vec<Digest>,
    here: BTreeMap<Digest, Vec<u8>>,
}

impl Shelf {
    /// The last run of each key in a history, in the order in which they ended.
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

    /// Values that are only needed while a request is in work have been removed.
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
