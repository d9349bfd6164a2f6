//! Queries of the rows of requests.

use rusqlite::{Connection, OptionalExtension, params};

use crate::step::Digest;

use super::error::DatabaseError;
use super::row::{COLUMNS, RequestRow, RequestState};
use super::total::{JournalTotal, RowShare};

/// The rows that a condition selects.
fn select(
    connection: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<RequestRow>, DatabaseError> {
    let text = format!("SELECT {COLUMNS} FROM request {condition}");
    let mut statement = connection.prepare_cached(&text)?;
    let rows = statement.query_map(values, RequestRow::read)?;
    rows.map(|row| row?).collect()
}

/// The unanswered requests, in the order of their acceptance. They have an index of their own, so that the
/// answered ones cost nothing here.
///
/// # Errors
/// If one is missing: a damaged bit must not hide a request.
pub fn unanswered(connection: &Connection) -> Result<Vec<RequestRow>, DatabaseError> {
    let open = open(connection)?;
    JournalTotal::read(connection)?.check_open(&open)?;
    Ok(open)
}

/// The unanswered requests, without a comparison with their sum, which a journal of format 1 lacks.
pub fn open(connection: &Connection) -> Result<Vec<RequestRow>, DatabaseError> {
    let rows = select(connection, "WHERE state <> 'answered' ORDER BY number", [])?;
    Ok(rows.into_iter().filter(RequestRow::is_open).collect())
}

/// The last requests that are answered or being removed, in the order of their acceptance.
pub fn last_ended(connection: &Connection, count: usize) -> Result<Vec<RequestRow>, DatabaseError> {
    let condition = "WHERE +state IN ('answered', 'removed') ORDER BY number DESC LIMIT ?";
    let mut rows = select(connection, condition, [i64::try_from(count).unwrap_or(i64::MAX)])?;
    rows.reverse();
    Ok(rows)
}

/// Up to this many requests, the last first, below a number and in one of some states.
pub fn page(
    connection: &Connection,
    below: i64,
    states: &[RequestState],
    count: usize,
) -> Result<Vec<RequestRow>, DatabaseError> {
    let states: Vec<String> = states.iter().map(|state| format!("'{}'", state.name())).collect();
    let condition =
        format!("WHERE number < ? AND +state IN ({}) ORDER BY number DESC LIMIT ?", states.join(", "));
    select(connection, &condition, [below, i64::try_from(count).unwrap_or(i64::MAX)])
}

/// Every request, in the order of acceptance.
///
/// # Errors
/// If one is missing.
pub fn all(connection: &Connection) -> Result<Vec<RequestRow>, DatabaseError> {
    let rows = select(connection, "ORDER BY number", [])?;
    JournalTotal::of(&rows).check_all(connection)?;
    Ok(rows)
}

/// Reads and counts every row, and gives their sums; `None` if `go_on` ends the reading.
pub fn verify(
    connection: &Connection,
    go_on: &dyn Fn() -> bool,
    mut seen: impl FnMut(&RequestRow),
) -> Result<Option<JournalTotal>, DatabaseError> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM request ORDER BY number"))?;
    let (mut rows, mut total) = (statement.query([])?, JournalTotal::default());
    while let Some(columns) = rows.next()? {
        let row = RequestRow::read(columns)??;
        total.add(RowShare::of(&row, row.seal()));
        seen(&row);
        if !go_on() {
            return Ok(None);
        }
    }
    total.check_all(connection)?;
    Ok(Some(total))
}

/// The time at which a request was last opened.
pub fn opened_ms(connection: &Connection, request: i64) -> Result<i64, DatabaseError> {
    let text = "SELECT max(time_ms) FROM record WHERE request = ?1 AND (kind = 'accepted' OR \
                (kind = 'asked' AND json_extract(body, '$.what') = 'retry'))";
    let opened: Option<i64> = connection.prepare_cached(text)?.query_row([request], |row| row.get(0))?;
    Ok(opened.unwrap_or_default())
}

/// Requests that are being removed, in the order of their acceptance.
pub fn removed(connection: &Connection) -> Result<Vec<RequestRow>, DatabaseError> {
    select(connection, "WHERE state <> 'answered' AND state = 'removed' ORDER BY number", [])
}

/// Up to this many answered requests that no operator keeps, those first that changed longest ago.
pub fn oldest_answered(connection: &Connection, count_max: u32) -> Result<Vec<RequestRow>, DatabaseError> {
    let condition = "WHERE state = 'answered' AND kept = 0 ORDER BY changed_ms, number LIMIT ?";
    select(connection, condition, [count_max])
}

/// Up to this many requests after this number that have claims and are not being removed.
pub fn claiming(
    connection: &Connection,
    after: i64,
    count_max: u32,
) -> Result<Vec<RequestRow>, DatabaseError> {
    let condition = "WHERE number > ? AND folders <> '[]' AND state <> 'removed' ORDER BY number LIMIT ?";
    select(connection, condition, params![after, count_max])
}

/// The claims of all requests. Rows are not verified here: that is done once after each start.
pub fn claims(connection: &Connection) -> Result<Vec<String>, DatabaseError> {
    let mut statement = connection.prepare("SELECT folders FROM request WHERE folders <> '[]'")?;
    let (mut rows, mut claims) = (statement.query([])?, Vec::new());
    while let Some(columns) = rows.next()? {
        let damaged =
            |_| DatabaseError::Damaged("the claims of a request are not as they were written".to_owned());
        let of_request: Vec<String> =
            serde_json::from_str(columns.get_ref(0)?.as_str().unwrap_or_default()).map_err(damaged)?;
        claims.extend(of_request);
    }
    Ok(claims)
}

/// Notes the name of a result of the request with these items.
pub fn note_delivered(connection: &Connection, id: Digest, object: &str) -> Result<(), DatabaseError> {
    let text = "INSERT OR IGNORE INTO delivered SELECT number, ?2 FROM request WHERE id = ?1";
    connection.prepare_cached(text)?.execute(params![id.to_string(), object])?;
    Ok(())
}

/// The names of all results that were noted.
pub fn delivered(connection: &Connection) -> Result<Vec<String>, DatabaseError> {
    let mut statement = connection.prepare("SELECT object FROM delivered")?;
    let objects = statement.query_map([], |row| row.get(0))?;
    Ok(objects.collect::<Result<Vec<String>, rusqlite::Error>>()?)
}

/// Whether any request with these items is remembered that is not being removed.
pub fn is_remembered(connection: &Connection, id: Digest) -> Result<bool, DatabaseError> {
    let rows = select(connection, "WHERE id = ?", [id.to_string()])?;
    Ok(rows.iter().any(|row| row.state != RequestState::Removed))
}

pub fn at(connection: &Connection, number: i64) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(select(connection, "WHERE number = ?", [number])?.pop())
}

pub fn get(connection: &Connection, number: i64) -> Result<RequestRow, DatabaseError> {
    at(connection, number)?.ok_or_else(|| DatabaseError::Damaged(format!("request {number} is missing")))
}

/// The name and the text of the dataflow with this version.
pub fn dataflow(connection: &Connection, version: Digest) -> Result<Option<(String, String)>, DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT name, text FROM dataflow WHERE version = ?")?;
    let read = statement.query_row([version.to_string()], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(read.optional()?)
}

/// The names and texts of all dataflows, in the order in which they came.
pub fn dataflows(connection: &Connection) -> Result<Vec<(String, String)>, DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT name, text FROM dataflow ORDER BY rowid")?;
    let read = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(read.collect::<Result<_, _>>()?)
}

pub fn find(
    connection: &Connection,
    id: Digest,
    dataflow: &str,
) -> Result<Option<RequestRow>, DatabaseError> {
    Ok(select(connection, "WHERE id = ? AND dataflow = ?", params![id.to_string(), dataflow])?.pop())
}

pub fn latest(
    connection: &Connection,
    dataflow: &str,
    subject: &str,
) -> Result<Option<RequestRow>, DatabaseError> {
    let condition = "WHERE subject = ? AND dataflow = ? AND +state <> 'removed' ORDER BY number DESC LIMIT 1";
    Ok(select(connection, condition, [subject, dataflow])?.pop())
}

/// The next number of a request. The number of a removed request is not used again: an operator request may
/// still name it.
pub fn next_number(connection: &Connection) -> Result<i64, DatabaseError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'request'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0) + 1)
}
