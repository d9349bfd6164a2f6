//! The durable record: what was accepted, what became of each step, what was answered to whom.
//!
//! A SQLite file, so that an operator can look into it with an ordinary tool. `record` is a log that is
//! only added to; `request` has a row for each request that says where it stands. One thread writes.
//! What is waiting is committed together, so that many receipts cost one sync of the disk.
//!
//! SQLite does not notice a bit that the disk has turned. So every record carries a digest of itself
//! and of the one before it of the same request, every row of `request` a digest of itself, and the
//! file the sum of these: what is read is either as it was written or refused.
//!
//! | file | what |
//! |---|---|
//! | `entry` | what is recorded |
//! | `schema` | the tables and their version |
//! | `row`, `log` | reading and adding, with the digests |
//! | `writer` | the thread that commits |
//! | `history` | all records of one request, read back |
//! | `receipt` | the proof that a request was accepted |
//! | `reader` | looking in from beside, and what operators ask for |
//! | `collector` | forgetting what is old |

mod collector;
mod entry;
mod history;
mod log;
mod reader;
mod receipt;
mod row;
mod schema;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::Connection;

use crate::step::{Digest, Request};
use crate::store::{Store, free_bytes};

pub use collector::{CollectedTotals, Release, RetentionLimits, hold_back_collector};
pub use entry::{JournalEntry, OutputRecord, RunRecord, ValuePlace};
pub use history::{DatedEntry, RequestHistory};
pub use reader::{JournalReader, OperatorRequest, RequestNames};
pub use receipt::{Receipt, RequestStanding};
pub use row::{RequestRow, RequestState};

use writer::JournalWriter;

/// The journal of one process. Dropping it commits what waits.
pub struct Journal {
    writer: Option<JournalWriter>,
    state: PathBuf,
    store: Arc<Store>,
    free_bytes_min: u64,
    /// Held by whoever relies on what is remembered, and by the collector.
    memory: Mutex<()>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the disk of the journal is full")]
    Full,
    #[error(
        "only {} MiB are free on the disk of --state, and --free-min wants {} MiB",
        free >> 20, wanted >> 20
    )]
    Low { free: u64, wanted: u64 },
    #[error("the journal {path} is damaged: {what}", path = path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the journal {path} has format {found}, and this flow knows {known}", path = path.display())]
    Format { path: PathBuf, found: i64, known: i64 },
    #[error("could not use the journal {path}: {what}", path = path.display())]
    Failed { path: PathBuf, what: String },
}

/// A request as it is brought to the journal.
pub struct RequestArrival {
    pub request: Arc<Request>,
    /// The dataflow that is to run it.
    pub dataflow: String,
    pub version: Digest,
    /// The digest of the program that is to run it.
    pub program: Digest,
}

impl Journal {
    /// The name of the file below the state folder.
    pub const FILE: &'static str = "journal.sqlite";

    /// Opens the journal of a state folder for writing, and makes it if it is not there. Only one
    /// process may do this at a time. With less than `free_bytes_min` free on its disk it accepts
    /// nothing: what is accepted needs room to be answered.
    ///
    /// # Errors
    /// If it cannot be used, is damaged, or was made by another version of flow.
    pub fn open(state: &Path, store: Arc<Store>, free_bytes_min: u64) -> Result<Journal, JournalError> {
        let path = state.join(Journal::FILE);
        let connection = schema::open(&path)?;
        row::verify_all(&connection).map_err(|error| error.at(&path))?;
        let writer = Some(JournalWriter::start(connection, path)?);
        Ok(Journal { writer, state: state.to_owned(), store, free_bytes_min, memory: Mutex::new(()) })
    }

    /// A journal that keeps nothing: what it accepts is lost with the process. For benchmarks and tests
    /// of what does not concern the disk.
    pub fn none(store: Arc<Store>) -> Journal {
        let state = PathBuf::new();
        Journal { writer: None, state, store, free_bytes_min: 0, memory: Mutex::new(()) }
    }

    /// As long as this is held, nothing is forgotten.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the files of the requests are.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn state(&self) -> Option<&Path> {
        self.writer.as_ref().map(|_| self.state.as_path())
    }

    /// Whether anything is kept.
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
        let free = free_bytes(writer.path());
        if free < self.free_bytes_min {
            return Err(JournalError::Low { free, wanted: self.free_bytes_min });
        }
        let (number, standing) = writer.commit(move |connection| log::accept(connection, &arrival))?;
        Ok(Receipt::new(number, request, standing))
    }

    /// Records an entry of a request, and waits until it is on the disk.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn append(&self, request: &Receipt, entry: JournalEntry) -> Result<(), JournalError> {
        let (Some(writer), Some(number)) = (&self.writer, request.number()) else { return Ok(()) };
        writer.commit(move |connection| log::append(connection, number, &entry, &[]))
    }

    /// Records an entry soon, and does not wait. What a process that is killed has not recorded yet is
    /// done again by the next.
    pub fn note(&self, number: i64, entry: JournalEntry, content: Vec<u8>) {
        if let Some(writer) = &self.writer {
            writer.note(move |connection| log::append(connection, number, &entry, &content));
        }
    }

    /// Records an entry as soon as can be, and does not wait: what is recorded so is seldom lost with
    /// the process.
    pub fn expedite(&self, number: i64, entry: JournalEntry) {
        if let Some(writer) = &self.writer {
            writer.expedite(move |connection| log::append(connection, number, &entry, &[]));
        }
    }

    /// Remembers the text of a dataflow, by which a request can be run again as it was.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn remember(&self, version: Digest, name: &str, text: &str) -> Result<(), JournalError> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let (name, text) = (name.to_owned(), text.to_owned());
        writer.commit(move |connection| log::remember(connection, version, &name, &text))
    }

    /// The requests of a dataflow that have not been answered, in the order of their acceptance; those
    /// in work are noted as taken up once more.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn unanswered(&self, dataflow: &str) -> Result<Vec<RequestRow>, JournalError> {
        let Some(writer) = &self.writer else { return Ok(Vec::new()) };
        let dataflow = dataflow.to_owned();
        writer.commit(move |connection| {
            let rows = row::unanswered(connection)?;
            let ours: Vec<RequestRow> = rows.into_iter().filter(|row| row.dataflow == dataflow).collect();
            for row in ours.iter().filter(|row| row.state == RequestState::Accepted) {
                log::append(connection, row.number, &JournalEntry::TakenUp, &[])?;
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
        let texts = self.within(move |connection| {
            let mut texts = BTreeMap::new();
            let rows = row::unanswered(connection)?;
            for row in rows.iter().filter(|row| row.dataflow == dataflow) {
                let version = RequestHistory::read(connection, row.number)?.request()?.1;
                if let Some((_, text)) = row::dataflow(connection, version)? {
                    texts.insert(version, text);
                }
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
        writer.commit(move |connection| RequestHistory::read(connection, number).map(Some))
    }

    /// The receipt of a request that an earlier process accepted.
    ///
    /// # Errors
    /// If the history does not say that.
    pub fn receipt(&self, history: &RequestHistory) -> Result<Receipt, JournalError> {
        let path = self.writer.as_ref().map_or(Path::new(""), JournalWriter::path);
        Receipt::again(history).map_err(|trouble| trouble.at(path))
    }

    /// Every request that is remembered, in the order of their acceptance.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn requests(&self) -> Result<Vec<RequestRow>, JournalError> {
        self.within(row::all).map(Option::unwrap_or_default)
    }

    /// The last request about the same thing, if any is remembered.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn latest(&self, dataflow: &str, subject: &str) -> Result<Option<RequestRow>, JournalError> {
        let Some(writer) = &self.writer else { return Ok(None) };
        let (dataflow, subject) = (dataflow.to_owned(), subject.to_owned());
        writer.commit(move |connection| row::latest(connection, &dataflow, &subject))
    }

    /// Operator requests that were recorded since the last call; each is given once.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub fn operator_requests(&self) -> Result<Vec<(RequestRow, OperatorRequest)>, JournalError> {
        self.within(reader::take_operator_requests).map(Option::unwrap_or_default)
    }

    /// Runs `work` on the writing connection within a transaction; what it wrote is on the disk when
    /// this returns.
    fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<Option<T>, JournalError> {
        self.writer.as_ref().map(|writer| writer.commit(work)).transpose()
    }

    /// Calls `then` when the journal can no longer be written, for example after the disk has failed to
    /// sync: nobody knows then what is on it, and only a new process can find out.
    pub fn when_broken(&self, then: impl Fn(&JournalError) + Send + Sync + 'static) {
        if let Some(writer) = &self.writer {
            writer.when_broken(Box::new(then));
        }
    }
}

/// Errors of the database, before the path of the journal is added to them.
#[derive(Clone, Debug)]
pub enum DatabaseError {
    Full,
    Damaged(String),
    Failed(String),
}

impl DatabaseError {
    fn at(self, path: &Path) -> JournalError {
        let path = path.to_owned();
        match self {
            DatabaseError::Full => JournalError::Full,
            DatabaseError::Damaged(what) => JournalError::Damaged { path, what },
            DatabaseError::Failed(what) => JournalError::Failed { path, what },
        }
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> DatabaseError {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
        };
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        match (error.sqlite_error_code(), &error) {
            (Some(DiskFull), _) => DatabaseError::Full,
            (Some(DatabaseCorrupt | NotADatabase), _)
            // A column holds what was never written there.
            | (None, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..))
            | (None, Utf8Error(..)) => DatabaseError::Damaged(error.to_string()),
            _ => DatabaseError::Failed(error.to_string()),
        }
    }
}

type BrokenHook = OnceLock<Box<dyn Fn(&JournalError) + Send + Sync>>;
