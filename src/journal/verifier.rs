//! The thread that reads all of a journal once after each start, beside the requests.
//!
//! What is needed at a start is verified by the start itself. The rest may be much, and is read here: a row
//! that is missing or changed must be noticed before somebody asks for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::error::{DatabaseError, JournalError};
use super::{query, schema};

/// The verification under way. Dropping it ends it.
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
                .and_then(|transaction| query::verify(&transaction, &go_on));
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

impl Drop for JournalVerifier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
