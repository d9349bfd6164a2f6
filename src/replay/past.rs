//! A past request that can be run again: its recording and access to the recorded bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Cursor, Read};
use std::path::PathBuf;

use crate::dataflow::{Dataflow, Response};
use crate::journal::{
    self, JournalEntry, JournalError, JournalReader, RequestHistory, RequestRow, RunRecord,
};
use crate::step::{self, Artifact, Digest, ItemPlace, Outcome, Request, StepReport, StepTable};
use crate::store::Store;
use crate::yaml::Problems;

use super::digester::RecordedDigester;
use super::{
    DataflowText, RecordingForm, RecordingLog, RecordingOutput, RecordingRun, RequestRecording,
    UnpackedArchive,
};

pub struct PastRequest {
    pub recording: RequestRecording,
    bytes: Box<BytesLookup>,
}

/// A function that gives the bytes with a digest; `None` if they are missing or damaged.
type BytesLookup = dyn Fn(Digest) -> Option<Vec<u8>>;

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

impl PastRequest {
    /// # Errors
    /// The journal cannot be read or is incomplete.
    pub fn of_journal(
        reader: &JournalReader,
        row: &RequestRow,
        store: Store,
    ) -> Result<PastRequest, PastError> {
        let history = reader.history(row.number)?;
        let (request, accepted) = history.request().map_err(|_| PastError::NotAccepted(row.name.clone()))?;
        let version = history.version().unwrap_or(accepted);
        let request = Request { edition: history.rejected(), ..request.clone() };
        let (name, text) = reader.dataflow(version)?.ok_or(PastError::NoDataflow(version))?;
        let mut recorded = RecordedBytes { store, requests: Vec::new(), here: BTreeMap::new() };
        let mut runs = Vec::new();
        for earlier in earlier(reader, &request)? {
            let inherited =
                recorded.runs(&earlier).into_iter().filter(|run| has_run(&run.step, history.response()));
            runs.extend(inherited.filter_map(|run| moved(run, &earlier, &request)));
        }
        runs.extend(recorded.runs(&history));
        let request = recorded.with_stored_items(request);
        let recording = RequestRecording {
            flow: env!("CARGO_PKG_VERSION").to_owned(),
            request,
            dataflow: DataflowText { name, version, text },
            runs,
            response: history.response().cloned(),
        };
        Ok(PastRequest::new(recording, move |digest| recorded.get(digest)))
    }

    pub fn of_archive(unpacked: UnpackedArchive) -> PastRequest {
        let (recording, paths) = unpacked.into_parts();
        let bytes = move |digest| {
            let bytes = fs::read(paths.get(&digest)?).ok()?;
            (Digest::of(&bytes) == digest).then_some(bytes)
        };
        PastRequest::new(recording, bytes)
    }

    pub(super) fn new(
        recording: RequestRecording,
        bytes: impl Fn(Digest) -> Option<Vec<u8>> + 'static,
    ) -> PastRequest {
        PastRequest { recording, bytes: Box::new(bytes) }
    }

    /// The recorded dataflow, with the present versions of its steps.
    ///
    /// # Errors
    /// The dataflow does not fit the present steps, which may have changed since.
    pub fn dataflow(&self, table: &StepTable) -> Result<Dataflow, Problems> {
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
            let digester = item.reader().and_then(digested);
            let digester =
                digester.map_err(|source| PastError::Gone { name: name(), path: path(), source })?;
            if digester.is(item.digest) {
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
    pub fn files(&self, artifacts: &[Artifact]) -> Option<Vec<step::ResponseFile>> {
        let file = |artifact: &Artifact| {
            let bytes = self.bytes(artifact.digest)?;
            Some(step::ResponseFile::new(&artifact.name, artifact.media_type.clone(), bytes))
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
            Some(item) => Ok(Box::new(item.reader()?)),
            None => {
                let bytes = self.bytes(digest).ok_or(io::ErrorKind::NotFound)?;
                Ok(Box::new(Cursor::new(bytes)))
            }
        }
    }
}

/// The histories of the requests that this one supersedes, oldest first: runs of theirs were reused.
fn earlier(reader: &JournalReader, request: &Request) -> Result<Vec<RequestHistory>, JournalError> {
    let mut histories: Vec<RequestHistory> = Vec::new();
    let mut next = request.supersedes;
    while let Some(id) = next.take() {
        let rows = reader.find(&id.to_string(), &|_| Vec::new())?;
        let is_new = |row: &&RequestRow| histories.iter().all(|history| history.row.number != row.number);
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
        |report: &StepReport| report.item.is_none() && matches!(report.outcome, Outcome::Skipped { .. });
    response.is_none_or(|response| {
        response.steps.iter().any(|report| &*report.step == step && !is_skipped(report))
    })
}

/// A run of an earlier request as a run of a later one, whose items may be in another order.
fn moved(run: RecordingRun, from: &RequestHistory, to: &Request) -> Option<RecordingRun> {
    let Some(item) = run.item else { return Some(run) };
    let digest = from.request().ok()?.0.items.get(item)?.digest;
    let item = to.items.iter().position(|item| item.digest == digest)?;
    Some(RecordingRun { item: Some(item), ..run })
}

/// Access to recorded bytes, which are in the store or in the journal itself.
struct RecordedBytes {
    store: Store,
    requests: Vec<Digest>,
    here: BTreeMap<Digest, Vec<u8>>,
}

impl RecordedBytes {
    /// The last run of each key in a history, in the order in which they ended.
    fn runs(&mut self, history: &RequestHistory) -> Vec<RecordingRun> {
        self.requests.push(history.row.id);
        let response = history.small_files().into_iter();
        self.here.extend(response.map(|(file, bytes)| (file.digest, bytes.to_vec())));
        let counts = history.runs_of_response();
        let runs = history.entries.iter().filter_map(|dated| match &dated.entry {
            JournalEntry::Run(run)
                if counts.get(&run.key).is_some_and(|(last, _)| std::ptr::eq(*last, run)) =>
            {
                Some(self.run(run, &dated.content))
            }
            _ => None,
        });
        runs.collect()
    }

    fn run(&mut self, run: &RunRecord, content: &[u8]) -> RecordingRun {
        let mut content = content;
        let output = |record: &journal::OutputRecord| RecordingOutput {
            name: record.name.clone(),
            digest: record.digest,
            kept: self.kept(&record.kept, &mut content),
        };
        let outputs = run.outputs.iter().map(output).collect();
        let logs = run.logs.iter().filter_map(|log| self.log(log)).collect();
        let RunRecord { step, item, key, version, inputs, outcome, took_us, place, batches, .. } =
            run.clone();
        RecordingRun { step, item, key, version, inputs, outcome, took_us, place, batches, outputs, logs }
    }

    fn log(&self, log: &journal::ItemLogRecord) -> Option<RecordingLog> {
        let size = self.get(log.digest)?.len() as u64;
        Some(RecordingLog { step: log.step.clone(), item: log.item.clone(), digest: log.digest, size })
    }

    /// Values that are only needed while a request is in work have been removed.
    fn kept(&mut self, kept: &journal::ValuePlace, content: &mut &[u8]) -> RecordingForm {
        let mut here = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            self.here.insert(digest, bytes.to_vec());
            RecordingForm::Form { digest, size: bytes.len() as u64 }
        };
        match kept {
            journal::ValuePlace::No => RecordingForm::No,
            journal::ValuePlace::Here { bytes } => {
                content.split_off(..*bytes).map_or(RecordingForm::No, &mut here)
            }
            journal::ValuePlace::Stored { form } => match self.get(*form) {
                Some(bytes) => RecordingForm::Form { digest: *form, size: bytes.len() as u64 },
                None => RecordingForm::No,
            },
            journal::ValuePlace::Files { artifacts } => {
                for (file, bytes) in journal::small_files::take(artifacts, content) {
                    self.here.insert(file.digest, bytes.to_vec());
                }
                let there = artifacts.iter().all(|artifact| self.get(artifact.digest).is_some());
                if there { RecordingForm::Files(artifacts.clone()) } else { RecordingForm::No }
            }
        }
    }

    /// The request with the bytes of its stored items, which nothing but the store could open. One whose bytes
    /// are missing is left as it is.
    fn with_stored_items(&self, mut request: Request) -> Request {
        for item in &mut request.items {
            if let ItemPlace::Stored(digest) = item.place
                && let Some(bytes) = self.get(digest)
            {
                item.place = ItemPlace::Inline(bytes.into());
            }
        }
        request
    }

    fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        let here = self.here.get(&digest).cloned();
        here.or_else(|| self.requests.iter().rev().find_map(|request| self.store.get(*request, digest)))
    }
}

/// The digest of all that is read.
fn digested(mut from: Box<dyn BufRead + Send>) -> io::Result<RecordedDigester> {
    let mut digester = RecordedDigester::default();
    loop {
        let bytes = from.fill_buf()?;
        let read = bytes.len();
        if read == 0 {
            return Ok(digester);
        }
        digester.update(bytes);
        from.consume(read);
    }
}
