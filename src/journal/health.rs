//! The destinations that did not take a response at their last try. A destination is here as long as nothing
//! has been delivered to it since.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::error::DatabaseError;
use super::summary::{RecordMeaning, RecordSummary};

/// The state of a destination that took less than everything at its last try.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationHealth {
    /// The first try since it last took everything: milliseconds of Unix time.
    pub since_ms: i64,
    /// The record of the last try.
    pub detail: serde_json::Value,
}

/// Such destinations by name.
pub type DownDestinations = BTreeMap<String, DestinationHealth>;

pub(super) const TABLE: &str = "
CREATE TABLE down (                 -- derived: destinations that did not take a response at their last try
  destination TEXT PRIMARY KEY, since_ms INTEGER NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
";

/// Notes the state of the destination of a delivery.
pub fn note(connection: &Connection, record: &RecordSummary) -> Result<(), DatabaseError> {
    let RecordMeaning::Delivered { destination, detail } = &record.meaning else { return Ok(()) };
    match detail {
        None => {
            let text = "DELETE FROM down WHERE destination = ?";
            connection.prepare_cached(text)?.execute([destination])?;
        }
        Some(detail) => {
            let text = "INSERT INTO down VALUES (?,?,?) ON CONFLICT DO UPDATE SET detail = excluded.detail";
            let values = params![destination, record.time_ms, detail.to_string()];
            connection.prepare_cached(text)?.execute(values)?;
        }
    }
    Ok(())
}

/// All such destinations.
pub fn read(connection: &Connection) -> Result<DownDestinations, DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT destination, since_ms, detail FROM down")?;
    let (mut rows, mut down) = (statement.query([])?, DownDestinations::new());
    while let Some(row) = rows.next()? {
        let detail = serde_json::from_str(row.get_ref(2)?.as_str().unwrap_or_default()).unwrap_or_default();
        down.insert(row.get(0)?, DestinationHealth { since_ms: row.get(1)?, detail });
    }
    Ok(down)
}
