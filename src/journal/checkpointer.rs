//! Checkpoints of a SQLite file on a thread of their own, so that no commit waits for one.
//!
//! A checkpoint copies what the write-ahead log has into the file, and takes milliseconds. Here it runs beside the
//! commits. Now and then the writer has to do one after all, because only then the log begins anew: it is short, as
//! little is left to copy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

/// The pages of the log after which the writer checkpoints itself: 16 MiB.
pub const WRITER_PAGES: u32 = 4_000;

/// The bytes of the log above which there is a checkpoint.
const LOG_BYTES: u64 = 2 << 20;

/// The time between two looks at the log.
const LOOK: Duration = Duration::from_millis(500);

/// A thread that checkpoints a file until this is dropped.
pub struct WalCheckpointer {
    end: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl WalCheckpointer {
    /// Starts the thread. The writer of the file should checkpoint itself after [`WRITER_PAGES`] only.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(path: &Path) -> io::Result<WalCheckpointer> {
        let end = Arc::<(Mutex<bool>, Condvar)>::default();
        let (path, ended) = (path.to_owned(), Arc::clone(&end));
        let thread = std::thread::Builder::new().name("flow:checkpoint".to_owned());
        let thread = thread.spawn(move || run(&path, &ended))?;
        Ok(WalCheckpointer { end, thread: Some(thread) })
    }
}

impl Drop for WalCheckpointer {
    fn drop(&mut self) {
        let (ended, changed) = &*self.end;
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(path: &Path, (ended, changed): &(Mutex<bool>, Condvar)) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let mut connection = None;
    let mut checkpointed = 0;
    loop {
        let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, LOOK, |ended| !*ended);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 {
            return;
        }
        if std::fs::metadata(&log).map_or(0, |log| log.len()) < LOG_BYTES {
            continue;
        }
        if connection.is_none() {
            connection = Connection::open(path).ok();
        }
        let Some(connection) = &connection else { continue };
        // The file of the log does not shrink, so that its size says nothing of what is to be copied.
        match checkpoint(connection, checkpointed) {
            Ok(pages) => checkpointed = pages,
            // The writer does it later, and reports what is wrong with the disk.
            Err(error) => tracing::debug!(%error, "a checkpoint was put off"),
        }
    }
}

/// Checkpoints if the file has changed since; gives its version.
fn checkpoint(connection: &Connection, since: i64) -> Result<i64, rusqlite::Error> {
    let version: i64 = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
    if version != since {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_the_log_has_comes_into_the_file_without_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.pragma_update(None, "wal_autocheckpoint", WRITER_PAGES).unwrap();
        writer.execute_batch("CREATE TABLE t (x)").unwrap();
        let checkpointer = WalCheckpointer::start(&path).unwrap();
        writer.execute("INSERT INTO t VALUES (zeroblob(3000000))", []).unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while std::fs::metadata(&path).unwrap().len() < 3_000_000 {
            assert!(Instant::now() < deadline, "there was no checkpoint");
            std::thread::yield_now();
        }
        drop(checkpointer);
        let count: i64 = writer.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1);
    }
}
