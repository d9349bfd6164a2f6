//! The rows of the table `request`: the state of each request, with a digest of the row.

use std::borrow::Cow;

use rusqlite::{Connection, Row as Columns, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataflow::ResponseVerdict;
use crate::step::Digest;

use super::error::DatabaseError;

/// The row of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    pub number: i64,
    pub id: Digest,
    pub dataflow: String,
    pub name: String,
    pub subject: String,
    pub state: RequestState,
    /// Milliseconds of Unix time.
    pub accepted_ms: i64,
    pub changed_ms: i64,
    /// The kind of the last response. The column is `failed`.
    pub answer: AnswerKind,
    /// An operator has asked to keep the request.
    pub kept: bool,
    /// Bytes of the received files of the request and of its results.
    pub bytes: u64,
    /// Claims on what the source keeps for this request; only the source understands them. The column is
    /// `folders`.
    pub claims: Vec<String>,
    pub(super) records: i64,
    pub(super) head: Vec<u8>,
}

/// The kind of a request's last response, as a number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// Complete, or no response yet.
    #[default]
    Complete,
    /// An error response.
    Failed,
    /// Complete, with reservations: since format 3.
    Reserved,
}

impl AnswerKind {
    const ALL: [AnswerKind; 3] = [AnswerKind::Complete, AnswerKind::Failed, AnswerKind::Reserved];

    /// The kind of a response with this verdict.
    pub fn of(verdict: ResponseVerdict) -> AnswerKind {
        match verdict {
            ResponseVerdict::Complete | ResponseVerdict::Unfinished => AnswerKind::Complete,
            ResponseVerdict::CompleteWithReservations => AnswerKind::Reserved,
            ResponseVerdict::Failed => AnswerKind::Failed,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            AnswerKind::Complete => "complete",
            AnswerKind::Failed => "failed",
            AnswerKind::Reserved => "reserved",
        }
    }

    pub(super) fn named(name: &str) -> Option<AnswerKind> {
        AnswerKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(super) fn number(self) -> i64 {
        match self {
            AnswerKind::Complete => 0,
            AnswerKind::Failed => 1,
            AnswerKind::Reserved => 2,
        }
    }

    pub(super) fn numbered(number: i64) -> Option<AnswerKind> {
        AnswerKind::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// The request waits or is in work.
    Accepted,
    /// The response is made and is being delivered.
    Responded,
    /// The response is in the folder of responses, but a destination has not taken it.
    Undelivered,
    Answered,
    /// The retention limits are exceeded: the request's files are being removed.
    Removed,
}

impl RequestState {
    pub const ALL: [RequestState; 5] = [
        RequestState::Accepted,
        RequestState::Responded,
        RequestState::Undelivered,
        RequestState::Answered,
        RequestState::Removed,
    ];

    /// Whether something is left to do for a request in this state.
    pub fn is_open(self) -> bool {
        match self {
            RequestState::Accepted | RequestState::Responded | RequestState::Undelivered => true,
            RequestState::Answered | RequestState::Removed => false,
        }
    }

    pub(super) fn named(name: &str) -> Option<RequestState> {
        RequestState::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            RequestState::Accepted => "accepted",
            RequestState::Responded => "responded",
            RequestState::Undelivered => "undelivered",
            RequestState::Answered => "answered",
            RequestState::Removed => "removed",
        }
    }
}

/// The columns of a row, in the order in which they are read.
pub(super) const COLUMNS: &str = "number, id, dataflow, name, subject, state, accepted_ms, changed_ms, failed, \
                                  kept, bytes, folders, records, head, seal";

/// The column of claims where there are none.
const NO_CLAIMS: &str = "[]";

impl RequestRow {
    /// A request that was accepted, for tests of what is shown of it.
    #[cfg(test)]
    pub fn accepted(number: i64, name: &str) -> RequestRow {
        RequestRow {
            number,
            id: Digest::of(name.as_bytes()),
            dataflow: "d".to_owned(),
            name: name.to_owned(),
            subject: String::new(),
            state: RequestState::Accepted,
            accepted_ms: 0,
            changed_ms: 0,
            answer: AnswerKind::default(),
            kept: false,
            bytes: 0,
            claims: Vec::new(),
            records: 1,
            head: Vec::new(),
        }
    }

    /// Whether something is left to do for the request.
    pub fn is_open(&self) -> bool {
        self.state.is_open()
    }

    /// The digest of the row, which is stored with it.
    pub(super) fn seal(&self) -> [u8; 16] {
        let numbers = [
            self.number,
            self.accepted_ms,
            self.changed_ms,
            self.records,
            self.answer.number(),
            self.kept.into(),
            self.bytes_stored(),
        ];
        let numbers = numbers.map(i64::to_le_bytes);
        let claims = self.claims_text();
        let texts = [&self.dataflow, &self.name, &self.subject, self.state.name(), claims.as_ref()];
        let parts = numbers.iter().map(<[u8; 8]>::as_slice).chain(texts.map(str::as_bytes));
        short(Digest::of_parts(parts.chain([self.id.as_bytes().as_slice(), &self.head])))
    }

    pub(super) fn bytes_stored(&self) -> i64 {
        i64::try_from(self.bytes).unwrap_or(i64::MAX)
    }

    fn claims_text(&self) -> Cow<'static, str> {
        match self.claims.is_empty() {
            true => NO_CLAIMS.into(),
            false => serde_json::to_string(&self.claims).expect("a list of texts can be written").into(),
        }
    }

    /// Reads a row; an error if it does not match its digest.
    pub(super) fn read(columns: &Columns) -> rusqlite::Result<Result<RequestRow, DatabaseError>> {
        let (id, state, claims): (String, String, String) =
            (columns.get(1)?, columns.get(5)?, columns.get(11)?);
        let number = columns.get(0)?;
        let damaged =
            || DatabaseError::Damaged(format!("the row of request {number} is not as it was written"));
        let state = RequestState::named(&state);
        let claims = if claims == NO_CLAIMS { Ok(Vec::new()) } else { serde_json::from_str(&claims) };
        let answer = AnswerKind::numbered(columns.get(8)?);
        let (Ok(id), Some(state), Ok(claims), Some(answer)) = (id.parse(), state, claims, answer) else {
            return Ok(Err(damaged()));
        };
        let row = RequestRow {
            number,
            id,
            dataflow: columns.get(2)?,
            name: columns.get(3)?,
            subject: columns.get(4)?,
            state,
            accepted_ms: columns.get(6)?,
            changed_ms: columns.get(7)?,
            answer,
            kept: columns.get(9)?,
            bytes: columns.get::<_, i64>(10)?.unsigned_abs(),
            claims,
            records: columns.get(12)?,
            head: columns.get(13)?,
        };
        let seal: Vec<u8> = columns.get(14)?;
        Ok(if row.seal().as_slice() == seal { Ok(row) } else { Err(damaged()) })
    }

    pub(super) fn insert(&self, connection: &Connection, seal: [u8; 16]) -> Result<(), DatabaseError> {
        let values = params![
            self.number,
            self.id.to_string(),
            self.dataflow,
            self.name,
            self.subject,
            self.state.name(),
            self.accepted_ms,
            self.changed_ms,
            self.answer.number(),
            self.kept,
            self.bytes_stored(),
            self.claims_text(),
            self.records,
            self.head,
            seal,
        ];
        let text = format!("INSERT INTO request ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
        connection.prepare_cached(&text)?.execute(values)?;
        Ok(())
    }

    /// Writes the state of the request. The columns that say what it is about stay as they are.
    pub(super) fn update(&self, connection: &Connection, seal: [u8; 16]) -> Result<(), DatabaseError> {
        let text = "UPDATE request SET state = ?, changed_ms = ?, failed = ?, kept = ?, bytes = ?, records = ?, \
                    head = ?, seal = ? WHERE number = ?";
        let values = params![
            self.state.name(),
            self.changed_ms,
            self.answer.number(),
            self.kept,
            self.bytes_stored(),
            self.records,
            self.head,
            seal,
            self.number,
        ];
        connection.prepare_cached(text)?.execute(values)?;
        Ok(())
    }

    /// Writes the claims of the request; its other columns, with the seal over all, are written in the same transaction.
    pub(super) fn write_claims(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let text = "UPDATE request SET folders = ? WHERE number = ?";
        connection.prepare_cached(text)?.execute(params![self.claims_text(), self.number])?;
        Ok(())
    }

    /// Removes the row and all records of the request.
    pub(super) fn delete(&self, connection: &Connection) -> Result<(), DatabaseError> {
        connection.prepare_cached("DELETE FROM record WHERE request = ?")?.execute([self.number])?;
        connection.prepare_cached("DELETE FROM request WHERE number = ?")?.execute([self.number])?;
        connection.prepare_cached("DELETE FROM lookup WHERE request = ?")?.execute([self.number])?;
        connection.prepare_cached("DELETE FROM delivered WHERE request = ?")?.execute([self.number])?;
        Ok(())
    }
}

/// The first half of a digest: enough to notice accidental changes.
pub(super) fn short(digest: Digest) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest.as_bytes()[..16]);
    half
}
