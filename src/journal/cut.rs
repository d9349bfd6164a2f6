//! The journal at one commit: what views start from, and what each commit after it changes.

use rusqlite::Connection;

use super::entry::JournalEntry;
use super::error::DatabaseError;
use super::health::{self, DownDestinations};
use super::history::RequestHistory;
use super::query;
use super::standing::{self, StandingCounts};
use super::summary::{RecordMeaning, RecordSummary};
use super::tally::{self, TallyCounts};

/// The changes of one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalCommit {
    /// The number of the commit: one more than that before it, also after a restart.
    pub number: i64,
    pub records: Vec<RecordSummary>,
    /// Changes of the number of requests by where they stand.
    pub standing: StandingCounts,
    /// Additions to the counts.
    pub tally: TallyCounts,
}

/// The journal as it was after one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalCut {
    /// The number of the commit.
    pub number: i64,
    /// All records of the unanswered requests, in the order in which they were recorded for each.
    pub records: Vec<RecordSummary>,
    pub standing: StandingCounts,
    pub tally: TallyCounts,
    pub down: DownDestinations,
}

/// A callback on the writer thread after each commit that has changed something. It must not block.
pub type CommitObserver = Box<dyn Fn(JournalCommit) + Send + Sync>;

/// Reads the journal in one transaction.
pub fn read(connection: &Connection) -> Result<JournalCut, DatabaseError> {
    let transaction = connection.unchecked_transaction()?;
    let standing = match standing::read(&transaction)? {
        Some(standing) => standing,
        None => return read_earlier(&transaction),
    };
    let number = commits(&transaction)?;
    let (records, tally) = (open_records(&transaction)?, tally::read(&transaction)?);
    Ok(JournalCut { number, records, standing, tally, down: health::read(&transaction)? })
}

/// A journal of an earlier format has no counts: its rows are counted, and there is no tally.
fn read_earlier(connection: &Connection) -> Result<JournalCut, DatabaseError> {
    let standing = standing::of(&query::all(connection)?);
    Ok(JournalCut { records: open_records(connection)?, standing, ..JournalCut::default() })
}

fn open_records(connection: &Connection) -> Result<Vec<RecordSummary>, DatabaseError> {
    let mut records = Vec::new();
    for row in query::open(connection)? {
        let history = RequestHistory::read(connection, row.number)?;
        // One that was answered before an operator had it run again is open.
        let entries = history.entries.iter().filter(|dated| !matches!(dated.entry, JournalEntry::Answered));
        records.extend(entries.map(|dated| RecordSummary {
            request: row.number,
            time_ms: dated.time_ms,
            meaning: RecordMeaning::of(&dated.entry),
        }));
    }
    Ok(records)
}

/// The number of commits so far.
pub fn commits(connection: &Connection) -> Result<i64, DatabaseError> {
    Ok(connection.prepare_cached("SELECT commits FROM total")?.query_row([], |row| row.get(0))?)
}
