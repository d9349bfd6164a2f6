//! Requests by what people call them: number, name, id, subject, and the texts of their sources.

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::error::DatabaseError;

/// The entry of a request whose texts are not listed.
const UNLISTED: &str = "";

/// The most texts of a request that are listed, and below the longest one. For requests with more, the source
/// is asked at each lookup.
const TEXTS_MAX: usize = 16;
const TEXT_BYTES_MAX: usize = 256;

/// Lists the texts of a new request.
pub fn insert(connection: &Connection, number: i64, texts: &[String]) -> Result<(), DatabaseError> {
    let is_long = |text: &String| text.len() > TEXT_BYTES_MAX;
    let mut statement = connection.prepare_cached("INSERT OR IGNORE INTO lookup VALUES (?,?)")?;
    if texts.len() > TEXTS_MAX || texts.iter().any(is_long) {
        statement.execute(params![number, UNLISTED])?;
        return Ok(());
    }
    for text in texts.iter().filter(|text| !text.is_empty()) {
        statement.execute(params![number, text])?;
    }
    Ok(())
}

/// The requests with this number, or with this text in their name.
pub fn by_number_or_name(connection: &Connection, text: &str) -> Result<Vec<i64>, DatabaseError> {
    let number: Option<i64> = text.parse().ok();
    let condition = "SELECT number FROM request WHERE number = ?1 OR instr(name, ?2) > 0 ORDER BY number";
    numbers(connection, condition, params![number, text])
}

/// The requests whose id begins with this text.
pub fn by_id(connection: &Connection, text: &str) -> Result<Vec<i64>, DatabaseError> {
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(Vec::new());
    }
    // The first text after all that begin with it: `g` follows the hexadecimal digits.
    let text_after = format!("{text}g");
    let condition = "SELECT number FROM request WHERE id >= ?1 AND id < ?2 ORDER BY number";
    numbers(connection, condition, params![text, text_after])
}

/// The requests that may have this subject or this text of their source. The caller reads them and compares.
pub fn by_text(connection: &Connection, text: &str) -> Result<Vec<i64>, DatabaseError> {
    let has_lookup: Option<i64> = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'lookup'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    match has_lookup {
        // A journal of an earlier format, which has not been opened for writing since, lists no texts.
        None => numbers(connection, "SELECT number FROM request ORDER BY number", []),
        Some(_) => {
            let condition = "SELECT number FROM request WHERE subject = ?1 \
                             UNION SELECT request FROM lookup WHERE text = ?1 OR text = ?2 ORDER BY 1";
            numbers(connection, condition, params![text, UNLISTED])
        }
    }
}

/// The first request that is listed with this text of its source. One whose texts are not listed is not found.
pub fn exactly(connection: &Connection, text: &str) -> Result<Option<i64>, DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT request FROM lookup WHERE text = ? LIMIT 1")?;
    Ok(statement.query_row([text], |row| row.get(0)).optional()?)
}

fn numbers(connection: &Connection, query: &str, values: impl Params) -> Result<Vec<i64>, DatabaseError> {
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map(values, |row| row.get(0))?;
    Ok(rows.collect::<Result<Vec<i64>, rusqlite::Error>>()?)
}
