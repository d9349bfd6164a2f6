//! How many remembered requests stand where: counts that every commit updates, so that nobody counts rows.
//! The thread that reads all rows after a start compares them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::error::DatabaseError;
use super::row::{AnswerKind, RequestRow, RequestState};

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StandingKey {
    pub dataflow: String,
    pub state: RequestState,
    pub answer: AnswerKind,
}

/// The requests that stand somewhere, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandingTotals {
    pub requests: i64,
    /// Bytes of received files and of results.
    pub bytes: i64,
}

/// Totals, or changes of totals.
pub type StandingCounts = BTreeMap<StandingKey, StandingTotals>;

pub(super) const TABLE: &str = "
CREATE TABLE standing (             -- derived: the number of requests by where they stand
  dataflow TEXT NOT NULL, state TEXT NOT NULL, failed INTEGER NOT NULL,
  requests INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (dataflow, state, failed)
) WITHOUT ROWID;
";

impl StandingTotals {
    pub fn add(&mut self, other: StandingTotals) {
        self.requests += other.requests;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn subtract(&mut self, other: StandingTotals) {
        self.requests -= other.requests;
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// The share of a row in the counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingShare {
    key: StandingKey,
    totals: StandingTotals,
}

impl StandingShare {
    pub fn of(row: &RequestRow) -> StandingShare {
        let (dataflow, state, answer) = (row.dataflow.clone(), row.state, row.answer);
        let totals = StandingTotals { requests: 1, bytes: row.bytes_stored() };
        StandingShare { key: StandingKey { dataflow, state, answer }, totals }
    }

    pub fn add_to(&self, counts: &mut StandingCounts) {
        counts.entry(self.key.clone()).or_default().add(self.totals);
    }

    pub fn subtract_from(&self, counts: &mut StandingCounts) {
        counts.entry(self.key.clone()).or_default().subtract(self.totals);
    }
}

/// The counts of these rows.
pub fn of(rows: &[RequestRow]) -> StandingCounts {
    let mut counts = StandingCounts::new();
    rows.iter().for_each(|row| StandingShare::of(row).add_to(&mut counts));
    counts
}

/// Adds changes to the table.
pub fn write(connection: &Connection, changes: &StandingCounts) -> Result<(), DatabaseError> {
    let text = "INSERT INTO standing VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE \
                SET requests = requests + excluded.requests, bytes = bytes + excluded.bytes";
    let mut statement = connection.prepare_cached(text)?;
    for (key, totals) in changes.iter().filter(|(_, totals)| **totals != StandingTotals::default()) {
        let values =
            params![key.dataflow, key.state.name(), key.answer.number(), totals.requests, totals.bytes];
        statement.execute(values)?;
    }
    Ok(())
}

/// All totals; `None` in a journal of an earlier format.
pub fn read(connection: &Connection) -> Result<Option<StandingCounts>, DatabaseError> {
    let has_table: Option<i64> = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'standing'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    if has_table.is_none() {
        return Ok(None);
    }
    let text = "SELECT dataflow, state, failed, requests, bytes FROM standing WHERE requests <> 0";
    let mut statement = connection.prepare_cached(text)?;
    let (mut rows, mut counts) = (statement.query([])?, StandingCounts::new());
    while let Some(row) = rows.next()? {
        let state = RequestState::named(row.get_ref(1)?.as_str().unwrap_or_default());
        let answer = AnswerKind::numbered(row.get(2)?);
        let (Some(state), Some(answer)) = (state, answer) else {
            return Err(DatabaseError::Damaged("a count of requests is not as it was written".to_owned()));
        };
        let totals = StandingTotals { requests: row.get(3)?, bytes: row.get(4)? };
        counts.insert(StandingKey { dataflow: row.get(0)?, state, answer }, totals);
    }
    Ok(Some(counts))
}
