//! The tables, and the version of their format.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::{DatabaseError, JournalError};
use super::row::RequestRow;
use super::standing::{self, StandingCounts, StandingShare};
use super::total::JournalTotal;
use super::{health, query, recount, tally, tally_fold};

/// The name of the journal below the state folder.
pub const FILE: &str = "journal.sqlite";

/// The application id in the header of the file (`PRAGMA application_id`): "flow".
const APPLICATION: i64 = 0x666c_6f77;

/// The format in the header of the file (`PRAGMA user_version`); raised when the tables change. Format 3 has
/// more tables than format 2 and one more verdict, which earlier versions cannot read; format 4 has counts,
/// which earlier versions would not update.
const FORMAT: i64 = 4;

/// The oldest format that can be read. It is upgraded to the newest when it is opened for writing.
const FORMAT_OLDEST: i64 = 1;

/// Format 1.
const TABLES: &str = "
CREATE TABLE request (
  number      INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again; in the order of acceptance
  id          TEXT NOT NULL,        -- digest of the items
  dataflow    TEXT NOT NULL,
  name        TEXT NOT NULL,        -- what a person calls it
  subject     TEXT NOT NULL,        -- what it is about: later requests about the same are revisions
  state       TEXT NOT NULL,        -- accepted, responded, undelivered, answered, removed
  accepted_ms INTEGER NOT NULL,     -- Unix time
  changed_ms  INTEGER NOT NULL,
  failed      INTEGER NOT NULL,     -- 1: its last response is an error response; 2, since format 3: it has reservations
  kept        INTEGER NOT NULL,     -- 1: an operator wants it to stay
  bytes       INTEGER NOT NULL,     -- of its received files and its results
  folders     TEXT NOT NULL,        -- claims of its source, a JSON list
  records     INTEGER NOT NULL,     -- how many it has
  head        BLOB NOT NULL,        -- chain of the last one
  seal        BLOB NOT NULL,        -- digest of this row
  UNIQUE (id, dataflow)
);
CREATE INDEX request_subject ON request (subject);
CREATE TABLE record (
  number  INTEGER PRIMARY KEY,
  request INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  body    TEXT NOT NULL,            -- JSON
  content BLOB NOT NULL,            -- small values
  chain   BLOB NOT NULL             -- digest of this record and the one before of the same request
);
CREATE INDEX record_request ON record (request, number);
CREATE TABLE dataflow (version TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE wish (                 -- what operators ask for, until it is seen
  number INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, request INTEGER NOT NULL
);
CREATE TABLE total (requests INTEGER NOT NULL, seals BLOB NOT NULL);  -- count and sum of the seals
INSERT INTO total VALUES (0, zeroblob(16));
";

/// The additions of format 2: indexes of the unanswered requests and of the oldest answered ones, and sums by
/// which a missing row is noticed.
const TABLES_2: &str = "
CREATE INDEX request_open ON request (number) WHERE state <> 'answered';
CREATE INDEX request_answered ON request (changed_ms) WHERE state = 'answered' AND kept = 0;
ALTER TABLE total ADD COLUMN open_requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE total ADD COLUMN open_seals BLOB NOT NULL DEFAULT x'';
ALTER TABLE total ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;  -- of requests that are not removed
ALTER TABLE total ADD COLUMN seal BLOB NOT NULL DEFAULT x'';    -- digest of this row
";

/// The additions of format 3: requests are found by texts, and results by names. `lookup` is derived from the
/// records; a reader verifies what it finds there. `delivered` has names of results, by which they are
/// recognised when they come back as items. An empty text stands for a request whose texts are not listed:
/// those of earlier formats, and those with many texts.
const TABLES_3: &str = "
CREATE TABLE lookup (
  request INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (request, text)
) WITHOUT ROWID;
CREATE INDEX lookup_text ON lookup (text);
CREATE TABLE delivered (
  request INTEGER NOT NULL, object TEXT NOT NULL, PRIMARY KEY (request, object)
) WITHOUT ROWID;
INSERT INTO lookup SELECT number, '' FROM request;
";

/// The additions of format 4 to the tables of before; those of `standing` and `tally` are more. The commits
/// are numbered, the claims have an index, and an operator request says who asked.
const TABLES_4: &str = "
ALTER TABLE total ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wish ADD COLUMN who TEXT;
CREATE INDEX request_claims ON request (folders) WHERE folders <> '[]';
";

/// The number of prepared statements that are cached: more than there are.
const STATEMENTS: usize = 64;

/// Opens the journal for writing, and makes it where there is none.
pub fn open(path: &Path) -> Result<Connection, JournalError> {
    let opened = Connection::open(path).map_err(DatabaseError::from).and_then(|connection| {
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // With these settings a commit is on the disk when it returns.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cell_size_check", true)?;
        // Names of patients are overwritten when their requests are removed.
        connection.pragma_update(None, "secure_delete", true)?;
        if is_new(&connection)? {
            make(&connection)?;
        }
        Ok(connection)
    });
    let connection = opened.map_err(|trouble| trouble.at(path))?;
    let found = check(&connection, path)?;
    let ready = match found < FORMAT {
        true => upgrade(&connection, found),
        // A full disk may have room again later.
        false => tally_fold::fold(&connection).map(drop).or_else(DatabaseError::unless_full),
    };
    ready.map_err(|trouble| trouble.at(path))?;
    Ok(connection)
}

/// Upgrades a journal of an earlier format, in one transaction.
fn upgrade(connection: &Connection, found: i64) -> Result<(), DatabaseError> {
    let transaction = connection.unchecked_transaction()?;
    let mut standing = StandingCounts::new();
    let count = |row: &RequestRow| StandingShare::of(row).add_to(&mut standing);
    let total = query::verify(&transaction, &|| true, count)?;
    if found < 2 {
        transaction.execute_batch(TABLES_2)?;
    }
    if found < 3 {
        transaction.execute_batch(TABLES_3)?;
    }
    make_counts(&transaction)?;
    standing::write(&transaction, &standing)?;
    recount::fill(&transaction)?;
    total.unwrap_or_default().write(&transaction, 0)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(transaction.commit()?)
}

/// Opens a journal for reading, beside a process that writes it or without one.
pub fn open_to_read(path: &Path) -> Result<Connection, JournalError> {
    // SQLite needs to write its shared memory file to read beside a writer, so the journal is opened for
    // writing where that is permitted.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let with_write = Connection::open_with_flags(path, flags).map_err(DatabaseError::from);
    let with_write = with_write.map_err(|trouble| trouble.at(path)).and_then(|connection| {
        let may_write = connection.is_readonly("main").is_ok_and(|readonly| !readonly);
        let folder = path.parent().unwrap_or(Path::new("."));
        let may_write = may_write && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
        if may_write { checked(connection, path).map(Some) } else { Ok(None) }
    });
    match with_write {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) | Err(_) => open_without_write(path).or_else(|error| with_write.and(Err(error))),
    }
}

/// Opens a journal that this user may only read. Beside a process that writes, SQLite reads its files as they
/// are; without one the journal is opened as immutable.
fn open_without_write(path: &Path) -> Result<Connection, JournalError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let options = if Path::new(&log).exists() { "mode=ro" } else { "immutable=1" };
    let escaped: String = path.to_string_lossy().chars().map(uri_letter).collect();
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let opened = Connection::open_with_flags(format!("file:{escaped}?{options}"), flags);
    checked(opened.map_err(DatabaseError::from).map_err(|trouble| trouble.at(path))?, path)
}

/// A character of a path in a URI (sqlite.org/uri.html).
fn uri_letter(letter: char) -> String {
    match letter {
        '%' => "%25".to_owned(),
        '?' => "%3f".to_owned(),
        '#' => "%23".to_owned(),
        other => other.to_string(),
    }
}

fn checked(connection: Connection, path: &Path) -> Result<Connection, JournalError> {
    let waiting = connection.busy_timeout(Duration::from_secs(30)).map_err(DatabaseError::from);
    waiting.map_err(|trouble| trouble.at(path))?;
    check(&connection, path)?;
    Ok(connection)
}

fn is_new(connection: &Connection) -> Result<bool, DatabaseError> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0 && pragma(connection, "user_version")? == 0)
}

fn make(connection: &Connection) -> Result<(), DatabaseError> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(TABLES_2)?;
    transaction.execute_batch(TABLES_3)?;
    make_counts(&transaction)?;
    JournalTotal::default().write(&transaction, 0)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(transaction.commit()?)
}

fn make_counts(connection: &Connection) -> Result<(), DatabaseError> {
    connection.execute_batch(TABLES_4)?;
    connection.execute_batch(standing::TABLE)?;
    connection.execute_batch(health::TABLE)?;
    Ok(connection.execute_batch(tally::TABLE)?)
}

/// The format of a journal, if it can be read.
fn check(connection: &Connection, path: &Path) -> Result<i64, JournalError> {
    let read = |name| pragma(connection, name).map_err(|trouble| trouble.at(path));
    if read("application_id")? != APPLICATION {
        // Its tables come in one transaction with its number.
        if is_new(connection).is_ok_and(|is_new| is_new) {
            return Err(JournalError::New { path: path.to_owned() });
        }
        return Err(DatabaseError::Damaged("it is not a journal of flow".to_owned()).at(path));
    }
    match read("user_version")? {
        found @ FORMAT_OLDEST..=FORMAT => Ok(found),
        found => Err(JournalError::Format { path: path.to_owned(), found, known: FORMAT }),
    }
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, DatabaseError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_is_being_made_is_not_damaged() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        // A program that asks can find this when flow has only just begun to make the journal.
        std::fs::write(&path, "").unwrap();
        let error = open_to_read(&path).expect_err("there is nothing in it");
        assert!(matches!(error, JournalError::New { .. }), "{error}");
        drop(open(&path).unwrap());
        assert!(open_to_read(&path).is_ok());
    }

    #[test]
    fn what_is_removed_leaves_no_trace_in_the_file() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        let connection = open(&path).unwrap();
        let is_there = || {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            std::fs::read(&path).unwrap().windows(8).any(|part| part == b"DOE^JANE")
        };
        connection.execute("INSERT INTO lookup (text, request) VALUES ('DOE^JANE', 1)", []).unwrap();
        assert!(is_there());
        connection.execute("DELETE FROM lookup", []).unwrap();
        assert!(!is_there());
    }
}
