//! The journal of one process: recording entries and reading requests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::step::{Digest, Request};
use crate::store::{Store, free_bytes};

use super::arrival::RequestArrival;
use super::checkpointer::{WRITER_PAGES, WalCheckpointer};
use super::cut::CommitObserver;
use super::entry::JournalEntry;
use super::error::{DatabaseError, JournalError};
use super::history::RequestHistory;
use super::log::{self, PreparedEntry};
use super::operator_request::OperatorRequest;
use super::receipt::{Receipt, RequestStanding};
use super::row::{RequestRow, RequestState};
use super::transaction::LogTransaction;
use super::verifier::JournalVerifier;
use super::writer::{JournalWriter, WriteUrgency};
use super::{query, reader, schema};

/// The journal of one process. Dropping it commits what waits.
pub struct Journal {
    /// Ends before the writer.
    _verifier: Option<JournalVerifier>,
    writer: Option<JournalWriter>,
    state: PathBuf,
    store: Arc<Store>,
    free_bytes_min: u64,
    /// Locked for reading by callers that rely on remembered requests, and for writing by the collector.
    memory: RwLock<()>,
    /// Locks for subjects, chosen by their hash.
    subjects: [Mutex<()>; SUBJECT_LOCKS],
}

/// The most requests with subjects that can be accepted at the same time.
const SUBJECT_LOCKS: usize = 64;

impl Journal {
    /// The name of the file below the state folder.
    pub const FILE: &'static str = schema::FILE;

    /// Opens the journal of a state folder for writing, and makes it if it is not there. Only one
    /// process may do this at a time. With less than `free_bytes_min` free on its disk it accepts
    /// nothing: what is accepted needs room to be answered.
    ///
    /// # Errors
    /// If it cannot be used, is damaged, or was made by another version of flow.
    pub fn open(state: &Path, store: Arc<Store>, free_bytes_min: u64) -> Result<Journal, JournalError> {
        let path = state.join(Journal::FILE);
        let connection = schema::open(&path)?;
        query::unanswered(&connection).map_err(|error| error.at(&path))?;
        let writer = JournalWriter::start(connection, path.clone())?;
        let verifier = Some(JournalVerifier::start(&path, writer.breaker())?);
        Ok(Journal::new(verifier, Some(writer), state.to_owned(), store, free_bytes_min))
    }

    /// A journal that records nothing: what it accepts is lost with the process. For benchmarks and tests
    /// that are not about the disk.
    pub fn none(store: Arc<Store>) -> Journal {
        Journal::new(None, None, PathBuf::new(), store, 0)
    }

    fn new(
        verifier: Option<JournalVerifier>,
        writer: Option<JournalWriter>,
        state: PathBuf,
        store: Arc<Store>,
        free_bytes_min: u64,
    ) -> Journal {
        let memory = RwLock::default();
        let subjects = std::array::from_fn(|_| Mutex::default());
        Journal { _verifier: verifier, writer, state, store, free_bytes_min, memory, subjects }
    }

    /// Takes the lock under which no remembered request is removed.
    pub fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock under which no other request about the same subject is accepted by callers that take
    /// it, too. It must be taken before [`Journal::hold`].
    pub fn hold_subject(&self, subject: &str) -> MutexGuard<'_, ()> {
        let digest = Digest::of(subject.as_bytes());
        let lock = &self.subjects[usize::from(digest.as_bytes()[0]) % SUBJECT_LOCKS];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock under which no caller relies on remembered requests.
    pub(super) fn hold_alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store with the files of the requests.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn state(&self) -> Option<&Path> {
        self.writer.as_ref().map(|_| self.state.as_path())
    }

    /// Whether the journal records anything.
    pub fn keeps(&self) -> bool {
        self.writer.is_some()
    }

    /// Records a request. When this returns, the record is on the disk.
    ///
    /// The same request again is the same row: one that is in work stays as it is, one that has been
    /// answered is opened again.
    ///
    /// # Errors
    /// If it cannot be recorded; then it is not accepted.
    pub fn accept(&self, arrival: RequestArrival) -> Result<Receipt, JournalError> {
        let request = Arc::clone(&arrival.request);
        let Some(writer) = &self.writer else { return Ok(Receipt::unrecorded(request)) };
        self.has_room(writer)?;
        let entry = [PreparedEntry::accepted(&arrival)];
        let (number, standing) = writer.commit(move |transaction| transaction.accept(&arrival, &entry))?;
        Ok(Receipt::new(number, request, standing))
    }

    /// Records requests together, as [`Journal::accept`] does one.
    ///
    /// # Errors
    /// If they cannot be recorded; then none is accepted.
    pub fn accept_all(&self, arrivals: Vec<RequestArrival>) -> Result<Vec<Receipt>, JournalError> {
        let requests: Vec<Arc<Request>> =
            arrivals.iter().map(|arrival| Arc::clone(&arrival.request)).collect();
        let Some(writer) = &self.writer else {
            return Ok(requests.into_iter().map(Receipt::unrecorded).collect());
        };
        self.has_room(writer)?;
        let entries: Vec<[PreparedEntry; 1]> =
            arrivals.iter().map(|arrival| [PreparedEntry::accepted(arrival)]).collect();
        let accepted: Vec<(i64, RequestStanding)> = writer.commit(move |transaction| {
            let each = arrivals.iter().zip(&entries);
            each.map(|(arrival, entry)| transaction.accept(arrival, entry)).collect()
        })?;
        let receipts = requests.into_iter().zip(accepted);
        Ok(receipts.map(|(request, (number, standing))| Receipt::new(number, request, standing)).collect())
    }

    pub(super) fn writer(&self) -> Option<&JournalWriter> {
        self.writer.as_ref()
    }

    pub(super) fn has_room(&self, writer: &JournalWriter) -> Result<(), JournalError> {
        let free = free_bytes(writer.path());
        match free < self.free_bytes_min {
            true => Err(JournalError::Low { free, wanted: self.free_bytes_min }),
            false => Ok(()),
        }
    }

    /// Records an entry of a request, and waits until it is on the disk.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn append(&self, request: &Receipt, entry: JournalEntry) -> Result<(), JournalError> {
        self.append_with(request, &entry, Vec::new())
    }

    /// Records an entry with its content, and waits until both are on the disk.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn append_with(
        &self,
        request: &Receipt,
        entry: &JournalEntry,
        content: Vec<u8>,
    ) -> Result<(), JournalError> {
        let (Some(writer), Some(number)) = (&self.writer, request.number()) else { return Ok(()) };
        writer.append(number, PreparedEntry::of(entry, content))
    }

    /// Records an entry of a request, and calls `then` once it is on the disk or could not be recorded.
    /// Entries recorded so share commits.
    pub fn append_then(
        &self,
        request: &Receipt,
        entry: &JournalEntry,
        content: Vec<u8>,
        then: impl FnOnce(Result<(), JournalError>) + Send + 'static,
    ) {
        match (&self.writer, request.number()) {
            (Some(writer), Some(number)) => {
                let urgency = WriteUrgency::Told(Box::new(then));
                writer.note(number, PreparedEntry::of(entry, content), urgency);
            }
            (None, _) | (_, None) => then(Ok(())),
        }
    }

    /// Records an entry at the next commit, without waiting for it. On a full disk it is tried again until it
    /// succeeds.
    pub fn append_surely(&self, request: &Receipt, entry: JournalEntry) {
        if let (Some(writer), Some(number)) = (&self.writer, request.number()) {
            writer.note(number, PreparedEntry::of(&entry, Vec::new()), WriteUrgency::Surely);
        }
    }

    /// Records an entry with its content within about 50 ms, without waiting for it. On a full disk it is tried
    /// again until it succeeds.
    pub fn append_eventually(&self, request: &Receipt, entry: &JournalEntry, content: Vec<u8>) {
        if let (Some(writer), Some(number)) = (&self.writer, request.number()) {
            writer.note(number, PreparedEntry::of(entry, content), WriteUrgency::Eventually);
        }
    }

    /// Records an entry within about 50 ms, without waiting for it. If the process is killed before, the next
    /// one does that work again.
    pub fn note(&self, number: i64, entry: JournalEntry, content: Vec<u8>) {
        if let Some(writer) = &self.writer {
            writer.note(number, PreparedEntry::of(&entry, content), WriteUrgency::Soon);
        }
    }

    /// Records an entry of a request that is accepted and not answered; does nothing for any other. When this returns,
    /// it is on the disk.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn note_if_open(
        &self,
        request: Digest,
        number: i64,
        entry: JournalEntry,
        content: Vec<u8>,
    ) -> Result<(), JournalError> {
        let noted = self.within(move |transaction| {
            let row = query::at(transaction.written()?, number)?;
            let is_open = |row: RequestRow| row.id == request && row.state == RequestState::Accepted;
            if row.is_some_and(is_open) {
                transaction.append(number, &PreparedEntry::of(&entry, content))?;
            }
            Ok(())
        });
        noted.map(Option::unwrap_or_default)
    }

    /// Records an entry at the next commit, without waiting for it, so that it is rarely lost if the process
    /// is killed.
    pub fn expedite(&self, number: i64, entry: JournalEntry) {
        if let Some(writer) = &self.writer {
            writer.note(number, PreparedEntry::of(&entry, Vec::new()), WriteUrgency::Now);
        }
    }

    /// Records the text of a dataflow, with which a request can be run again as it was.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn remember(&self, version: Digest, name: &str, text: &str) -> Result<(), JournalError> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let (name, text) = (name.to_owned(), text.to_owned());
        writer.commit(move |transaction| log::remember(transaction.written()?, version, &name, &text))
    }

    /// The unanswered requests of a dataflow, in the order of their acceptance. Each of them that is in work
    /// gets a record that it was resumed.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn unanswered(&self, dataflow: &str) -> Result<Vec<RequestRow>, JournalError> {
        let Some(writer) = &self.writer else { return Ok(Vec::new()) };
        let dataflow = dataflow.to_owned();
        writer.commit(move |transaction| {
            let rows = query::unanswered(transaction.written()?)?;
            let ours: Vec<RequestRow> = rows.into_iter().filter(|row| row.dataflow == dataflow).collect();
            for row in ours.iter().filter(|row| row.state == RequestState::Accepted) {
                transaction.append(row.number, &PreparedEntry::of(&JournalEntry::TakenUp, Vec::new()))?;
            }
            Ok(ours)
        })
    }

    /// The versions of a dataflow under which unanswered requests were accepted, with their texts.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn unanswered_versions(&self, dataflow: &str) -> Result<BTreeMap<Digest, String>, JournalError> {
        let dataflow = dataflow.to_owned();
        let texts = self.within(move |transaction| {
            let connection = transaction.written()?;
            let mut texts = BTreeMap::new();
            let rows = query::unanswered(connection)?;
            for row in rows.iter().filter(|row| row.dataflow == dataflow) {
                let version = RequestHistory::read(connection, row.number)?.version();
                let text = version.map(|version| query::dataflow(connection, version)).transpose()?.flatten();
                texts.extend(version.zip(text).map(|(version, (_, text))| (version, text)));
            }
            Ok(texts)
        });
        texts.map(Option::unwrap_or_default)
    }

    /// All that is recorded of a request.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn history(&self, number: i64) -> Result<Option<RequestHistory>, JournalError> {
        let Some(writer) = &self.writer else { return Ok(None) };
        writer.commit(move |transaction| {
            let connection = transaction.written()?;
            // The request may have been removed meanwhile. A row that is lost is noticed by the sums over all
            // rows.
            let known = query::at(connection, number)?;
            known.map(|_| RequestHistory::read(connection, number)).transpose()
        })
    }

    /// The receipt of a request that an earlier process accepted.
    ///
    /// # Errors
    /// If the history does not say that.
    pub fn receipt(&self, history: &RequestHistory) -> Result<Receipt, JournalError> {
        let path = self.writer.as_ref().map_or(Path::new(""), JournalWriter::path);
        Receipt::again(history).map_err(|trouble| trouble.at(path))
    }

    /// The requests that are not answered, of all dataflows, in the order of their acceptance.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn open_requests(&self) -> Result<Vec<RequestRow>, JournalError> {
        self.within(|transaction| query::unanswered(transaction.written()?)).map(Option::unwrap_or_default)
    }

    /// The claims of all requests that are remembered: names of what their sources keep for them.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn claims(&self) -> Result<Vec<String>, JournalError> {
        self.within(|transaction| query::claims(transaction.written()?)).map(Option::unwrap_or_default)
    }

    /// Records names of results of a request, for example UIDs, by which they are known again as long as the
    /// request is remembered. When this returns, they are on the disk.
    ///
    /// # Errors
    /// If they cannot be recorded.
    pub fn note_delivered(&self, request: Digest, objects: &[String]) -> Result<(), JournalError> {
        let objects = objects.to_vec();
        let noted = self.within(move |transaction| {
            let connection = transaction.written()?;
            objects.iter().try_for_each(|object| query::note_delivered(connection, request, object))
        });
        noted.map(Option::unwrap_or_default)
    }

    /// The names of results that were recorded so, of all requests that are remembered.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn delivered(&self) -> Result<Vec<String>, JournalError> {
        self.within(|transaction| query::delivered(transaction.written()?)).map(Option::unwrap_or_default)
    }

    /// Every request that is remembered, in the order of their acceptance.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn requests(&self) -> Result<Vec<RequestRow>, JournalError> {
        self.within(|transaction| query::all(transaction.written()?)).map(Option::unwrap_or_default)
    }

    /// The last request about the same thing, if any is remembered.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn latest(&self, dataflow: &str, subject: &str) -> Result<Option<RequestRow>, JournalError> {
        let Some(writer) = &self.writer else { return Ok(None) };
        let (dataflow, subject) = (dataflow.to_owned(), subject.to_owned());
        writer.commit(move |transaction| query::latest(transaction.written()?, &dataflow, &subject))
    }

    /// Operator requests that were recorded since the last call; each is given once.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub fn operator_requests(&self) -> Result<Vec<(RequestRow, OperatorRequest)>, JournalError> {
        self.within(reader::take_operator_requests).map(Option::unwrap_or_default)
    }

    /// Whether operator requests are recorded that [`Journal::operator_requests`] has not given yet.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn has_operator_requests(&self) -> Result<bool, JournalError> {
        self.within(reader::has_operator_requests).map(Option::unwrap_or_default)
    }

    /// Waits until all that was recorded so far is on the disk.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn flush(&self) -> Result<(), JournalError> {
        self.within(|_| Ok(())).map(Option::unwrap_or_default)
    }

    /// Runs `work` on the thread that writes, within a transaction; what it wrote is on the disk when
    /// this returns.
    pub(super) fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut LogTransaction) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<Option<T>, JournalError> {
        self.writer.as_ref().map(|writer| writer.commit(work)).transpose()
    }

    /// Has checkpoints run on a thread of their own from now on, until what is returned is dropped: commits are
    /// quicker then, and the file beside the journal is larger. `None` for a journal that records nothing.
    ///
    /// # Errors
    /// If the journal cannot be used, or the thread not be started.
    pub fn checkpoint_apart(&self) -> Result<Option<WalCheckpointer>, JournalError> {
        let Some(writer) = &self.writer else { return Ok(None) };
        writer.commit(|transaction| {
            Ok(transaction.unwritten().pragma_update(None, "wal_autocheckpoint", WRITER_PAGES)?)
        })?;
        let failed = |error: io::Error| DatabaseError::Failed(error.to_string()).at(writer.path());
        WalCheckpointer::start(writer.path()).map(Some).map_err(failed)
    }

    /// Has an observer told of each commit from now on. Only the first observer is kept.
    pub fn observe(&self, observer: CommitObserver) {
        if let Some(writer) = &self.writer {
            writer.observe(observer);
        }
    }

    /// Calls `then` when the journal can no longer be written, for example after the disk has failed to sync:
    /// it is unknown then what is on the disk, and only a new process can find out.
    pub fn when_broken(&self, then: impl Fn(&JournalError) + Send + Sync + 'static) {
        if let Some(writer) = &self.writer {
            writer.when_broken(Box::new(then));
        }
    }
}
