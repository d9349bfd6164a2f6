//! Requests by what people call them: number, name, id, subject, and the texts of their sources.

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::error::DatabaseError;

/// The text that stands for a request whose texts are not listed.
const UNLISTED: &str = "";

/// More texts of a request than this are not listed, nor longer ones: its source is asked instead.
const TEXTS_MAX: usize = 16;
const TEXT_BYTES_MAX: usize = 128;

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

/// The requests whose number this is, or whose name has this text in it.
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
    // The next letter after the last digit.
    let text_after = format!("{text}g");
    let condition = "SELECT number FROM request WHERE id >= ?1 AND id < ?2 ORDER BY number";
    numbers(connection, condition, params![text, text_after])
}

/// The requests that may be about this, or be called so by their sources: whoever wants to know reads them.
pub fn by_text(connection: &Connection, text: &str) -> Result<Vec<i64>, DatabaseError> {
    let has_lookup: Option<i64> = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'lookup'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    match has_lookup {
        // A journal of an earlier format, which nobody has opened for writing since.
        None => numbers(connection, "SELECT number FROM request ORDER BY number", []),
        Some(_) => {
            let condition = "SELECT number FROM request WHERE subject = ?1 \
                             UNION SELECT request FROM lookup WHERE text = ?1 OR text = ?2 ORDER BY 1";
            numbers(connection, condition, params![text, UNLISTED])
        }
    }
}

fn numbers(connection: &Connection, query: &str, values: impl Params) -> Result<Vec<i64>, DatabaseError> {
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map(values, |row| row.get(0))?;
    Ok(rows.collect::<Result<Vec<i64>, rusqlite::Error>>()?)
}
