//! Entries in the form of the log, and the changes that they make to the row of their request.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::step::Digest;

use super::arrival::RequestArrival;
use super::entry::{AcceptedForm, JournalEntry};
use super::error::DatabaseError;
use super::operator_request::OperatorRequest;
use super::row::{AnswerKind, RequestRow, RequestState, short};
use super::summary::{RecordMeaning, RecordSummary};

/// An entry in the form of the table `record`. It is made on the thread that records the entry, so that the
/// writer thread has less to do.
pub struct PreparedEntry {
    kind: &'static str,
    body: String,
    content: Vec<u8>,
    change: RowChange,
    meaning: RecordMeaning,
}

/// The changes that an entry makes to its request's row; `None` leaves a column as it is.
#[derive(Clone, Copy, Default)]
struct RowChange {
    state: Option<RequestState>,
    answer: Option<AnswerKind>,
    kept: Option<bool>,
    bytes: u64,
}

impl PreparedEntry {
    pub fn of(entry: &JournalEntry, content: Vec<u8>) -> PreparedEntry {
        let body = serde_json::to_string(entry).expect("an entry is made of texts and numbers");
        let (change, meaning) = (RowChange::of(entry), RecordMeaning::of(entry));
        PreparedEntry { kind: entry.kind(), body, content, change, meaning }
    }

    pub fn accepted(arrival: &RequestArrival) -> PreparedEntry {
        let form = AcceptedForm::of(arrival);
        let body = serde_json::to_string(&form).expect("an entry is made of texts and numbers");
        let change = RowChange { state: Some(RequestState::Accepted), ..RowChange::default() };
        let meaning = RecordMeaning::accepted(arrival);
        PreparedEntry { kind: AcceptedForm::KIND, body, content: Vec::new(), change, meaning }
    }

    /// Adds the entry to the log and changes the row in memory; the row is written at the end of the
    /// transaction.
    pub fn add(&self, connection: &Connection, row: &mut RequestRow) -> Result<RecordSummary, DatabaseError> {
        let PreparedEntry { kind, body, content, change, meaning } = self;
        let time_ms = now_ms();
        let chain = chain(&row.head, row.number, time_ms, kind, body, content);
        let text = "INSERT INTO record (request, time_ms, kind, body, content, chain) VALUES (?,?,?,?,?,?)";
        let values = params![row.number, time_ms, kind, body, content, chain];
        connection.prepare_cached(text)?.execute(values)?;
        row.state = change.state.unwrap_or(row.state);
        row.answer = change.answer.unwrap_or(row.answer);
        row.kept = change.kept.unwrap_or(row.kept);
        row.bytes = row.bytes.saturating_add(change.bytes);
        row.changed_ms = time_ms;
        row.records += 1;
        row.head = chain.to_vec();
        Ok(RecordSummary { request: row.number, time_ms, meaning: meaning.clone() })
    }
}

impl RowChange {
    fn of(entry: &JournalEntry) -> RowChange {
        let nothing = RowChange::default();
        let state = |state| RowChange { state: Some(state), ..nothing };
        match entry {
            JournalEntry::Accepted { .. } => state(RequestState::Accepted),
            JournalEntry::Responded { response } => RowChange {
                answer: Some(AnswerKind::of(response.verdict)),
                bytes: response.files.iter().map(|file| file.size).fold(0, u64::saturating_add),
                ..state(RequestState::Responded)
            },
            JournalEntry::Undelivered => state(RequestState::Undelivered),
            JournalEntry::Answered => state(RequestState::Answered),
            JournalEntry::Asked { what, .. } => match OperatorRequest::named(what) {
                Some(OperatorRequest::Retry) => state(RequestState::Accepted),
                Some(OperatorRequest::Keep) => RowChange { kept: Some(true), ..nothing },
                Some(OperatorRequest::Release) => RowChange { kept: Some(false), ..nothing },
                Some(OperatorRequest::Cancel | OperatorRequest::Hurry | OperatorRequest::Replay) | None => {
                    nothing
                }
            },
            JournalEntry::TakenUp
            | JournalEntry::Began
            | JournalEntry::Run(_)
            | JournalEntry::Interim { .. }
            | JournalEntry::Sent { .. }
            | JournalEntry::Delivered { .. }
            | JournalEntry::Late { .. } => nothing,
        }
    }
}

/// The digest of a record together with the digest of the record before it of the same request.
pub fn chain(before: &[u8], request: i64, time_ms: i64, kind: &str, body: &str, content: &[u8]) -> [u8; 16] {
    let (request, time_ms) = (request.to_le_bytes(), time_ms.to_le_bytes());
    let parts: [&[u8]; 6] = [before, &request, &time_ms, kind.as_bytes(), body.as_bytes(), content];
    short(Digest::of_parts(parts))
}

pub fn remember(
    connection: &Connection,
    version: Digest,
    name: &str,
    text: &str,
) -> Result<(), DatabaseError> {
    connection.prepare_cached("INSERT OR IGNORE INTO dataflow VALUES (?,?,?)")?.execute(params![
        version.to_string(),
        name,
        text
    ])?;
    Ok(())
}

/// The wall clock in milliseconds of Unix time. It is shown to people, and decides only which requests are
/// old enough to be removed.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
