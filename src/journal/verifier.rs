//! A thread that reads the whole journal once after each start, while requests run. A start itself verifies
//! only what it needs. The rest may be large, so it is read here: a missing or changed row must be noticed
//! before somebody asks for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::error::{DatabaseError, JournalError};
use super::row::RequestRow;
use super::standing::{self, StandingCounts, StandingShare};
use super::{query, schema};

/// A verification under way. Dropping it ends the thread.
pub struct JournalVerifier {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl JournalVerifier {
    /// Begins to verify a journal; `damaged` is called if it is.
    pub fn start(
        path: &Path,
        damaged: impl FnOnce(DatabaseError) + Send + 'static,
    ) -> Result<JournalVerifier, JournalError> {
        let connection = schema::open_to_read(path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let verify = move || {
            let go_on = || !stopped.load(Ordering::Relaxed);
            let verified = connection
                .unchecked_transaction()
                .map_err(DatabaseError::from)
                .and_then(|transaction| verify(&transaction, &go_on));
            match verified {
                Ok(_) => {}
                Err(error @ DatabaseError::Damaged(_)) => damaged(error),
                Err(error) => tracing::warn!(?error, "the journal could not be verified"),
            }
        };
        let spawned = std::thread::Builder::new().name("flow:verify".to_owned()).spawn(verify);
        let thread = spawned.map_err(|error| DatabaseError::Failed(error.to_string()).at(path))?;
        Ok(JournalVerifier { stop, thread: Some(thread) })
    }
}

/// Reads all rows, and compares what is counted of them.
fn verify(connection: &Connection, go_on: &dyn Fn() -> bool) -> Result<(), DatabaseError> {
    let mut counted = StandingCounts::new();
    let count = |row: &RequestRow| StandingShare::of(row).add_to(&mut counted);
    let Some(_) = query::verify(connection, go_on, count)? else { return Ok(()) };
    match standing::read(connection)? {
        Some(standing) if standing != counted => {
            Err(DatabaseError::Damaged("the number of requests in some state is wrong".to_owned()))
        }
        Some(_) | None => Ok(()),
    }
}

impl Drop for JournalVerifier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rusqlite::Connection;

    use super::*;
    use crate::journal::{Journal, JournalEntry, RequestArrival};
    use crate::step::{Digest, Item, Request};
    use crate::store::Store;

    /// A journal with an answered request and one in work, of which something is changed by `text`.
    fn changed(state: &Path, text: &str) -> Result<Journal, JournalError> {
        let open = || Journal::open(state, Arc::new(Store::at(state.join("store")).unwrap()), 0);
        let journal = open().unwrap();
        let accept = |name: &str| {
            let item = Item::inline(name, name.as_bytes());
            let request = Arc::new(Request::new(name, Default::default(), vec![item]));
            let version = Digest::of(b"version");
            let dataflow = "test".to_owned();
            journal
                .accept(RequestArrival {
                    request,
                    dataflow,
                    version,
                    program: version,
                    lookup_texts: Vec::new(),
                })
                .unwrap()
        };
        let answered = accept("answered");
        accept("open");
        journal.append(&answered, JournalEntry::Answered).unwrap();
        drop(journal);
        Connection::open(state.join(Journal::FILE)).unwrap().execute_batch(text).unwrap();
        open()
    }

    fn is_noticed(text: &str) {
        let state = tempfile::tempdir().unwrap();
        let journal = changed(state.path(), text).unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let error = loop {
            match journal.latest("test", "nothing") {
                Err(error) => break error,
                Ok(_) if Instant::now() > end => panic!("not noticed: {text}"),
                Ok(_) => std::thread::yield_now(),
            }
        };
        assert!(matches!(error, JournalError::Damaged { .. }), "{text}: {error}");
        let (tell, told) = std::sync::mpsc::channel();
        let tell = std::sync::Mutex::new(tell);
        journal.when_broken(move |error| tell.lock().unwrap().send(error.to_string()).unwrap());
        assert!(journal.latest("test", "nothing").is_err());
        assert!(told.recv().unwrap().contains("damaged"), "whoever asks later is told, too");
    }

    #[test]
    fn an_answered_request_that_is_missing_or_changed_is_noticed_after_the_start() {
        is_noticed("DELETE FROM request WHERE state = 'answered'");
        is_noticed("UPDATE request SET failed = 1 WHERE state = 'answered'");
        is_noticed("UPDATE standing SET requests = 7 WHERE state = 'answered'");
    }

    #[test]
    fn an_open_request_that_is_missing_or_changed_is_refused_at_the_start() {
        let changes = [
            "DELETE FROM request WHERE state = 'accepted'",
            "UPDATE request SET state = 'answered' WHERE state = 'accepted'",
            "UPDATE request SET state = 'accepuee' WHERE state = 'accepted'",
            "UPDATE request SET state = 'accepted' WHERE state = 'answered'",
            "UPDATE total SET bytes = bytes + 1",
        ];
        for text in changes {
            let state = tempfile::tempdir().unwrap();
            let refused = changed(state.path(), text).err().expect(text);
            assert!(matches!(refused, JournalError::Damaged { .. }), "{text}: {refused}");
        }
    }
}
