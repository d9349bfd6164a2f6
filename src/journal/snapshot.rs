//! Copies of SQLite files, also while a process writes them.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::error::{DatabaseError, JournalError};

/// The number of tries where the file is locked, [`PAUSE`] apart.
const TRIES: usize = 300;

const PAUSE: Duration = Duration::from_millis(100);

/// Copies a SQLite file as it is at one commit. When this returns, the copy is on the disk.
///
/// All pages are copied in one step: they are of one commit then, and no commit meanwhile makes the copy begin
/// anew. Whoever writes the file goes on, as it has a write-ahead log.
///
/// # Errors
/// If the file cannot be read, or the copy cannot be written.
pub fn copy_database(from: &Path, to: &Path) -> Result<(), JournalError> {
    copy(from, to).map_err(|error| error.at(from))?;
    let synced = File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| DatabaseError::Failed(error.to_string()).at(to))
}

fn copy(from: &Path, to: &Path) -> Result<(), DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags)?;
    let mut copy = Connection::open(to)?;
    let backup = Backup::new(&source, &mut copy)?;
    for _ in 0..TRIES {
        match backup.step(-1)? {
            StepResult::Done => return Ok(()),
            _ => thread::sleep(PAUSE),
        }
    }
    Err(DatabaseError::Failed("it was locked for too long".to_owned()))
}

/// The number of findings that are told of one file.
const FINDINGS_MAX: usize = 3;

/// Damage that SQLite finds in a file that nobody writes: pages, and indexes that do not fit their tables. `None` if
/// the file is whole. Reads all of it; SQLite's quick check would pass over the indexes.
///
/// # Errors
/// If the file cannot be opened or read.
pub fn damage(database: &Path) -> Result<Option<String>, JournalError> {
    match findings(database) {
        Ok(findings) if findings.is_empty() => Ok(None),
        Ok(findings) => Ok(Some(findings.join("; "))),
        Err(DatabaseError::Damaged(what)) => Ok(Some(what)),
        Err(error) => Err(error.at(database)),
    }
}

fn findings(database: &Path) -> Result<Vec<String>, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let rows: Vec<String> = rows.collect::<Result<_, _>>()?;
    // A finding on a page of a tree has a heading on a line of its own.
    let finding = |row: &String| row.lines().collect::<Vec<&str>>().join(" ");
    Ok(rows.iter().filter(|row| *row != "ok").map(finding).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_copy_has_what_was_committed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.sqlite"), folder.path().join("to.sqlite"));
        let writer = Connection::open(&from).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        // The first row is in the log beside the file only, the second one not committed.
        let open = writer.unchecked_transaction().unwrap();
        open.execute("INSERT INTO t VALUES (2)", []).unwrap();
        copy_database(&from, &to).unwrap();
        open.commit().unwrap();
        let copy = Connection::open(&to).unwrap();
        let sum: i64 = copy.query_row("SELECT sum(x) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 1);
        assert!(copy_database(&folder.path().join("nothing"), &to).is_err());
    }

    #[test]
    fn a_damaged_page_of_an_index_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of.sqlite");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1), (2)").unwrap();
        let page: u32 = writer
            .query_row("SELECT rootpage FROM sqlite_master WHERE type = 'index'", [], |row| row.get(0))
            .unwrap();
        drop(writer);
        assert_eq!(damage(&path).unwrap(), None);
        let mut bytes = fs::read(&path).unwrap();
        bytes[(page as usize - 1) * 4096..][..8].fill(0xff);
        fs::write(&path, bytes).unwrap();
        assert!(damage(&path).unwrap().is_some_and(|what| !what.contains('\n')));
        fs::write(&path, "no database at all").unwrap();
        assert!(damage(&path).unwrap().is_some());
        assert!(damage(&folder.path().join("nothing")).is_err());
    }
}
