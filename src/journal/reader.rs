//! Reading a journal from another process than the one that writes it, or when none does.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::step::{Digest, Request};

use super::cut::{self, JournalCut};
use super::entry::JournalEntry;
use super::error::{DatabaseError, JournalError};
use super::history::RequestHistory;
use super::log::{self, PreparedEntry};
use super::lookup;
use super::operator_request::OperatorRequest;
use super::row::{AnswerKind, RequestRow, RequestState};
use super::standing::{self, StandingCounts};
use super::transaction::LogTransaction;
use super::{query, schema};

/// The requests of a journal without the many that are answered.
#[derive(Clone, Debug)]
pub struct RequestOverview {
    pub standing: StandingCounts,
    /// The unanswered ones, in the order of their acceptance.
    pub open: Vec<RequestRow>,
    /// The last of the others, in that order.
    pub ended: Vec<RequestRow>,
}

pub struct JournalReader {
    connection: Connection,
    path: PathBuf,
}

/// A function that gives texts by which a person may call a request.
pub type RequestNames<'a> = dyn Fn(&Request) -> Vec<String> + 'a;

/// The number of digits from which on a text is no number of a request, but the beginning of an id.
const ID_DIGITS_MIN: usize = 12;

impl JournalReader {
    /// Opens the journal of a state folder.
    ///
    /// # Errors
    /// If there is none, or it was made by another version of flow.
    pub fn open(state: &Path) -> Result<JournalReader, JournalError> {
        let path = state.join(schema::FILE);
        let connection = schema::open_to_read(&path)?;
        Ok(JournalReader { connection, path })
    }

    /// Every request that is remembered, in the order of their acceptance.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn requests(&self) -> Result<Vec<RequestRow>, JournalError> {
        self.at_one_commit(query::all)
    }

    /// The journal at its last commit, as views start from it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn cut(&self) -> Result<JournalCut, JournalError> {
        cut::read(&self.connection).map_err(|trouble| trouble.at(&self.path))
    }

    /// The number of the last commit; 0 in a journal of an earlier format.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn commits(&self) -> Result<i64, JournalError> {
        match cut::commits(&self.connection) {
            Err(DatabaseError::Failed(_)) => Ok(0),
            commits => commits.map_err(|trouble| trouble.at(&self.path)),
        }
    }

    /// The number of requests by where they stand, the unanswered ones, and the last `count` of the others.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn overview(&self, count: usize) -> Result<RequestOverview, JournalError> {
        self.at_one_commit(|connection| {
            let standing = match standing::read(connection)? {
                Some(standing) => standing,
                None => standing::of(&query::all(connection)?),
            };
            let (open, ended) = (query::open(connection)?, query::last_ended(connection, count)?);
            let counted = standing.iter().filter(|(key, _)| key.state.is_open());
            let counted: i64 = counted.map(|(_, totals)| totals.requests).sum();
            let all: i64 = standing.values().map(|totals| totals.requests).sum();
            let has_all_ended = usize::try_from(all - counted).is_ok_and(|all| all.min(count) == ended.len());
            match usize::try_from(counted) == Ok(open.len()) && has_all_ended {
                true => Ok(RequestOverview { standing, open, ended }),
                false => Err(DatabaseError::Damaged("a request is missing".to_owned())),
            }
        })
    }

    /// Up to `count` requests in one of these states, the last first, with numbers below `below`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn page(
        &self,
        below: i64,
        states: &[RequestState],
        count: usize,
    ) -> Result<Vec<RequestRow>, JournalError> {
        query::page(&self.connection, below, states, count).map_err(|trouble| trouble.at(&self.path))
    }

    /// The claims of all requests that are remembered.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn claims(&self) -> Result<Vec<String>, JournalError> {
        query::claims(&self.connection).map_err(|trouble| trouble.at(&self.path))
    }

    /// The requests that a person may mean: by number, by name or a part of it, by the first digits of the
    /// id; or else by subject, or by one of the texts that `names` gives for a request. An empty text finds
    /// none. A text that is a number is not searched for in names: the request with that number may have been
    /// removed.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn find(&self, text: &str, names: &RequestNames) -> Result<Vec<RequestRow>, JournalError> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        self.at_one_commit(|connection| {
            let named = rows(connection, lookup::by_number_or_name(connection, text)?)?;
            let exact = |row: &&RequestRow| row.name == text || text.parse() == Ok(row.number);
            let found: Vec<RequestRow> = named.iter().filter(exact).cloned().collect();
            if !found.is_empty() {
                return Ok(found);
            }
            let is_number = text.len() < ID_DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number {
                let mut like = rows(connection, lookup::by_id(connection, text)?)?;
                like.extend(named);
                like.sort_by_key(|row| row.number);
                like.dedup_by_key(|row| row.number);
                if !like.is_empty() {
                    return Ok(like);
                }
            }
            let candidates = rows(connection, lookup::by_text(connection, text)?)?;
            let meant = |row: RequestRow| {
                is_of(connection, &row, text, names).map(|is_meant| is_meant.then_some(row)).transpose()
            };
            candidates.into_iter().filter_map(meant).collect()
        })
    }

    /// Reads in one transaction: what is read belongs to one commit, also while another process writes.
    fn at_one_commit<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, DatabaseError>,
    ) -> Result<T, JournalError> {
        let transaction = self.connection.unchecked_transaction().map_err(DatabaseError::from);
        transaction.and_then(|transaction| read(&transaction)).map_err(|trouble| trouble.at(&self.path))
    }

    /// The row of a request, if it is remembered.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn row(&self, number: i64) -> Result<Option<RequestRow>, JournalError> {
        query::at(&self.connection, number).map_err(|trouble| trouble.at(&self.path))
    }

    /// The row of the request with this id under a dataflow, if it is remembered.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn row_of(&self, id: Digest, dataflow: &str) -> Result<Option<RequestRow>, JournalError> {
        query::find(&self.connection, id, dataflow).map_err(|trouble| trouble.at(&self.path))
    }

    /// All that is recorded of a request.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn history(&self, number: i64) -> Result<RequestHistory, JournalError> {
        self.at_one_commit(|connection| RequestHistory::read(connection, number))
    }

    /// Whether a flow has seen operator requests about a request. That takes no reading of all its records.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn has_asked(&self, number: i64) -> Result<bool, JournalError> {
        let read = || -> Result<bool, DatabaseError> {
            let text = "SELECT EXISTS (SELECT 1 FROM record WHERE request = ? AND kind = 'asked')";
            Ok(self.connection.prepare_cached(text)?.query_row([number], |row| row.get(0))?)
        };
        read().map_err(|trouble| trouble.at(&self.path))
    }

    /// Whether the error response to a request is that an operator has ended it. Records are read only where there is
    /// such a response and an operator request. Damaged ones do not say so: who asks about many requests is to see the
    /// others, and who asks about this one is told of the damage.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn is_ended_by_operator(&self, row: &RequestRow) -> Result<bool, JournalError> {
        let may_be = row.answer == AnswerKind::Failed && self.has_asked(row.number)?;
        match may_be.then(|| self.history(row.number)) {
            None | Some(Err(JournalError::Damaged { .. })) => Ok(false),
            Some(history) => Ok(history?.is_cancelled()),
        }
    }

    /// The operator requests about a request that no running flow has seen yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn unseen(&self, number: i64) -> Result<Vec<OperatorRequest>, JournalError> {
        let read = || -> Result<Vec<OperatorRequest>, DatabaseError> {
            let mut asked = self.connection.prepare_cached("SELECT kind FROM wish WHERE request = ?")?;
            let kinds = asked.query_map([number], |row| row.get::<_, String>(0))?;
            let kinds = kinds.collect::<Result<Vec<String>, _>>()?;
            Ok(kinds.iter().filter_map(|kind| OperatorRequest::named(kind)).collect())
        };
        read().map_err(|trouble| trouble.at(&self.path))
    }

    /// The name and the text of the dataflow with this version.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn dataflow(&self, version: Digest) -> Result<Option<(String, String)>, JournalError> {
        query::dataflow(&self.connection, version).map_err(|trouble| trouble.at(&self.path))
    }

    /// The names and texts of all dataflows, in the order in which they came.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn dataflows(&self) -> Result<Vec<(String, String)>, JournalError> {
        query::dataflows(&self.connection).map_err(|trouble| trouble.at(&self.path))
    }

    /// Records an operator request. When this returns, the record is on the disk.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn operator_request(
        &self,
        operator_request: OperatorRequest,
        number: i64,
        who: &str,
    ) -> Result<(), JournalError> {
        let values = params![log::now_ms(), operator_request.name(), number, who];
        let text = "INSERT INTO wish (time_ms, kind, request, who) VALUES (?,?,?,?)";
        // A journal of an earlier format has no place for who asked.
        let has_who = self.connection.prepare("SELECT who FROM wish").is_ok();
        let noted = if has_who {
            self.connection.execute(text, values)
        } else {
            let text = "INSERT INTO wish (time_ms, kind, request) VALUES (?,?,?)";
            self.connection.execute(text, params![log::now_ms(), operator_request.name(), number])
        };
        noted.map(drop).map_err(|error| DatabaseError::from(error).at(&self.path))
    }
}

/// The rows of the requests with these numbers.
fn rows(connection: &Connection, numbers: Vec<i64>) -> Result<Vec<RequestRow>, DatabaseError> {
    numbers.into_iter().map(|number| query::get(connection, number)).collect()
}

/// Whether a request has this subject or this text of its source.
fn is_of(
    connection: &Connection,
    row: &RequestRow,
    text: &str,
    names: &RequestNames,
) -> Result<bool, DatabaseError> {
    let history = RequestHistory::read(connection, row.number)?;
    let Ok((request, _)) = history.request() else { return Ok(false) };
    let is_called = || names(request).iter().any(|name| name == text);
    Ok(request.subject == text || is_called())
}

/// Whether operator requests are recorded that no process has taken yet.
pub(super) fn has_operator_requests(transaction: &mut LogTransaction) -> Result<bool, DatabaseError> {
    let mut statement = transaction.written()?.prepare_cached("SELECT 1 FROM wish LIMIT 1")?;
    Ok(statement.exists([])?)
}

/// Takes the operator requests that other processes have recorded, and adds them to the records of their
/// requests.
pub(super) fn take_operator_requests(
    transaction: &mut LogTransaction,
) -> Result<Vec<(RequestRow, OperatorRequest)>, DatabaseError> {
    let connection = transaction.written()?;
    let mut statement =
        connection.prepare_cached("SELECT number, kind, request, who FROM wish ORDER BY number")?;
    let read = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let noted = statement.query_map([], read)?;
    let noted: Vec<(i64, String, i64, Option<String>)> = noted.collect::<Result<_, _>>()?;
    let mut operator_requests = Vec::new();
    for (number, kind, request, who) in noted {
        connection.prepare_cached("DELETE FROM wish WHERE number = ?")?.execute([number])?;
        // The request may have been removed since.
        let (Some(operator_request), Some(row)) = (OperatorRequest::named(&kind), transaction.row(request)?)
        else {
            continue;
        };
        match (operator_request, row.state) {
            (_, RequestState::Removed)
            | (OperatorRequest::Retry | OperatorRequest::Replay, RequestState::Accepted)
            | (
                OperatorRequest::Hurry,
                RequestState::Responded | RequestState::Undelivered | RequestState::Answered,
            ) => continue,
            // The response is being delivered; only the next attempt is brought forward.
            (OperatorRequest::Retry, RequestState::Responded) => {
                operator_requests.push((row.clone(), operator_request));
                continue;
            }
            _ => {}
        }
        let entry = PreparedEntry::of(&JournalEntry::Asked { what: kind, who }, Vec::new());
        transaction.append(request, &entry)?;
        operator_requests.extend(transaction.row(request)?.map(|row| (row.clone(), operator_request)));
    }
    Ok(operator_requests)
}
