//! Where each request stands: the rows of `request`, each with a digest of itself.

use rusqlite::{Connection, OptionalExtension, Row as Columns, params};
use serde::{Deserialize, Serialize};

use crate::step::Digest;

use super::DatabaseError;

/// Where a request stands.
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
    /// The last response is an error response.
    pub failed: bool,
    /// An operator has asked to keep the request.
    pub kept: bool,
    /// Bytes of the request's own received files and of its results.
    pub bytes: u64,
    /// Names of what the source keeps for this request; only the source understands them. The column is
    /// `folders`.
    pub claims: Vec<String>,
    pub(super) records: i64,
    pub(super) head: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// In work, or waiting for it.
    Accepted,
    /// The response is made and on its way.
    Responded,
    /// The response is in its folder, but some destination does not take it.
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

const COLUMNS: &str = "number, id, dataflow, name, subject, state, accepted_ms, changed_ms, failed, kept, bytes, \
                       folders, records, head, seal";

impl RequestRow {
    /// Whether something is still to be done for it.
    pub fn is_open(&self) -> bool {
        match self.state {
            RequestState::Accepted | RequestState::Responded | RequestState::Undelivered => true,
            RequestState::Answered | RequestState::Removed => false,
        }
    }

    fn seal(&self) -> [u8; 16] {
        let numbers = [
            self.number,
            self.accepted_ms,
            self.changed_ms,
            self.records,
            self.failed.into(),
            self.kept.into(),
            self.bytes_stored(),
        ];
        let numbers = numbers.map(i64::to_le_bytes);
        let claims = self.claims_text();
        let texts = [&self.dataflow, &self.name, &self.subject, self.state.name(), &claims];
        let parts = numbers.iter().map(<[u8; 8]>::as_slice).chain(texts.map(str::as_bytes));
        short(Digest::of_parts(parts.chain([self.id.as_bytes().as_slice(), &self.head])))
    }

    fn bytes_stored(&self) -> i64 {
        i64::try_from(self.bytes).unwrap_or(i64::MAX)
    }

    fn claims_text(&self) -> String {
        serde_json::to_string(&self.claims).expect("a list of texts can be written")
    }

    /// The row as it is stored, if nothing has changed it.
    fn read(columns: &Columns) -> rusqlite::Result<Result<RequestRow, DatabaseError>> {
        let (id, state, claims): (String, String, String) =
            (columns.get(1)?, columns.get(5)?, columns.get(11)?);
        let number = columns.get(0)?;
        let damaged =
            || DatabaseError::Damaged(format!("the row of request {number} is not as it was written"));
        let state = RequestState::ALL.into_iter().find(|known| known.name() == state);
        let (Ok(id), Some(state), Ok(claims)) = (id.parse(), state, serde_json::from_str(&claims)) else {
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
            failed: columns.get(8)?,
            kept: columns.get(9)?,
            bytes: columns.get::<_, i64>(10)?.unsigned_abs(),
            claims,
            records: columns.get(12)?,
            head: columns.get(13)?,
        };
        let seal: Vec<u8> = columns.get(14)?;
        Ok(if row.seal().as_slice() == seal { Ok(row) } else { Err(damaged()) })
    }

    pub(super) fn insert(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let text = format!("INSERT INTO request ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
        let values = params![
            self.number,
            self.id.to_string(),
            self.dataflow,
            self.name,
            self.subject,
            self.state.name(),
            self.accepted_ms,
            self.changed_ms,
            self.failed,
            self.kept,
            self.bytes_stored(),
            self.claims_text(),
            self.records,
            self.head,
            self.seal(),
        ];
        connection.prepare_cached(&text)?.execute(values)?;
        change_total(connection, 1, u128::from_le_bytes(self.seal()))
    }

    /// Puts this row in the place of `before`.
    pub(super) fn update(&self, connection: &Connection, before: &RequestRow) -> Result<(), DatabaseError> {
        // What a request is about stays: only where it stands is written, and no index changes.
        let text = "UPDATE request SET state = ?, changed_ms = ?, failed = ?, kept = ?, bytes = ?, records = ?, \
                    head = ?, seal = ? WHERE number = ?";
        let values = params![
            self.state.name(),
            self.changed_ms,
            self.failed,
            self.kept,
            self.bytes_stored(),
            self.records,
            self.head,
            self.seal(),
            self.number,
        ];
        connection.prepare_cached(text)?.execute(values)?;
        let (new, old) = (u128::from_le_bytes(self.seal()), u128::from_le_bytes(before.seal()));
        change_total(connection, 0, new.wrapping_sub(old))
    }

    /// Marks the request as one whose files are being removed.
    pub(super) fn marked_removed(&self, connection: &Connection) -> Result<RequestRow, DatabaseError> {
        let row = RequestRow { state: RequestState::Removed, ..self.clone() };
        row.update(connection, self)?;
        Ok(row)
    }

    /// Forgets the request with all its records.
    pub(super) fn delete(&self, connection: &Connection) -> Result<(), DatabaseError> {
        connection.prepare_cached("DELETE FROM record WHERE request = ?")?.execute([self.number])?;
        connection.prepare_cached("DELETE FROM request WHERE number = ?")?.execute([self.number])?;
        change_total(connection, -1, 0u128.wrapping_sub(u128::from_le_bytes(self.seal())))
    }
}

fn change_total(connection: &Connection, requests: i64, seals: u128) -> Result<(), DatabaseError> {
    let (count, sum) = total(connection)?;
    let sum = sum.wrapping_add(seals).to_le_bytes();
    connection
        .prepare_cached("UPDATE total SET requests = ?, seals = ?")?
        .execute(params![count + requests, sum])?;
    Ok(())
}

fn total(connection: &Connection) -> Result<(i64, u128), DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT requests, seals FROM total")?;
    Ok(statement.query_row([], |row| Ok((row.get(0)?, u128::from_le_bytes(row.get(1)?))))?)
}

/// Reads every row, and makes sure that none is lost.
pub(super) fn verify_all(connection: &Connection) -> Result<(), DatabaseError> {
    let (mut count, mut sum) = (0, 0u128);
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM request ORDER BY number"))?;
    let mut rows = statement.query([])?;
    while let Some(columns) = rows.next()? {
        let row = RequestRow::read(columns)??;
        count += 1;
        sum = sum.wrapping_add(u128::from_le_bytes(row.seal()));
    }
    if (count, sum) == total(connection)? {
        return Ok(());
    }
    Err(DatabaseError::Damaged("rows of requests are missing, or are there twice".to_owned()))
}

/// The rows that a condition selects.
fn select(
    connection: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<RequestRow>, DatabaseError> {
    let text = format!("SELECT {COLUMNS} FROM request WHERE {condition}");
    let mut statement = connection.prepare_cached(&text)?;
    let rows = statement.query_map(values, RequestRow::read)?;
    rows.map(|row| row?).collect()
}

/// Without an index on the state: one damaged bit in it must not hide a request.
pub(super) fn unanswered(connection: &Connection) -> Result<Vec<RequestRow>, DatabaseError> {
    select(connection, "+state NOT IN ('answered', 'removed') ORDER BY number", [])
}

pub(super) fn all(connection: &Connection) -> Result<Vec<RequestRow>, DatabaseError> {
    select(connection, "1 ORDER BY number", [])
}

pub(super) fn at(connection: &Connection, number: i64) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(select(connection, "number = ?", [number])?.pop())
}

pub(super) fn get(connection: &Connection, number: i64) -> Result<RequestRow, DatabaseError> {
    at(connection, number)?.ok_or_else(|| DatabaseError::Damaged(format!("request {number} is missing")))
}

/// Name and text of the dataflow with this version.
pub(super) fn dataflow(
    connection: &Connection,
    version: Digest,
) -> Result<Option<(String, String)>, DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT name, text FROM dataflow WHERE version = ?")?;
    let read = statement.query_row([version.to_string()], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(read.optional()?)
}

pub(super) fn find(
    connection: &Connection,
    id: Digest,
    dataflow: &str,
) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(select(connection, "id = ? AND dataflow = ?", params![id.to_string(), dataflow])?.pop())
}

pub(super) fn latest(
    connection: &Connection,
    dataflow: &str,
    subject: &str,
) -> Result<Option<RequestRow>, DatabaseError> {
    let condition = "subject = ? AND dataflow = ? AND +state <> 'removed' ORDER BY number DESC LIMIT 1";
    Ok(select(connection, condition, [subject, dataflow])?.pop())
}

/// A number is not used again when its request is forgotten: an operator request may still
/// name it.
pub(super) fn next_number(connection: &Connection) -> Result<i64, DatabaseError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'request'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0) + 1)
}

/// The first half: enough against accidents.
pub(super) fn short(digest: Digest) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest.as_bytes()[..16]);
    half
}
