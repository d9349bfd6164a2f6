//! Requests that an earlier process accepted and did not answer.

use std::thread;
use std::time::{Duration, Instant};

use crate::engine::RequestSubmission;
use crate::journal::{JournalError, RequestRow};
use crate::step::Fault;

use super::accept::again;
use super::{Admission, AdmissionEvent};

/// The most starts in a row after which a request that was in work when the process died, and had got
/// nowhere, is begun once more. An operator who kills flow again and again must not be taken for a
/// request that does.
const FUTILE_STARTS_MAX: usize = 10;

/// The longest time that other requests wait for one that may be why a process died.
const SUSPECTED_MAX: Duration = Duration::from_secs(60);

/// The time between two looks whether it has got anywhere.
const LOOK: Duration = Duration::from_millis(20);

impl Admission<'_> {
    /// The requests that earlier processes accepted and did not answer. To be read before anything new is
    /// accepted.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn unanswered(&self) -> Result<Vec<RequestRow>, JournalError> {
        // What was asked for while no flow was running is part of the records from now on.
        self.journal.operator_requests()?;
        let mut rows = Vec::new();
        for name in self.dataflow_names() {
            rows.extend(self.journal.unanswered(&name)?);
        }
        rows.sort_by_key(|row| row.number);
        Ok(rows)
    }

    /// Goes on with these requests where they stand. Those that were in work when a process died, and had
    /// got nowhere, are begun one after the other: one may be why it died, and the others are not to
    /// be blamed.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn resume_all(&self, unanswered: &[RequestRow]) -> Result<(), JournalError> {
        let left = self.left;
        let mut suspects = Vec::new();
        for row in unanswered {
            match self.is_suspect(row)? {
                true => suspects.push(row),
                false if left.take(row.number) => self.resume(row)?,
                // An operator has cancelled it in the meantime, and it is answered.
                false => {}
            }
        }
        for row in suspects {
            if !left.take(row.number) {
                continue;
            }
            self.resume(row)?;
            let end = Instant::now() + SUSPECTED_MAX;
            while self.is_suspect(row)? && Instant::now() < end {
                thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// A request that was cancelled does not begin again.
    fn is_suspect(&self, row: &RequestRow) -> Result<bool, JournalError> {
        let history = self.journal.history(row.number)?;
        Ok(history.is_some_and(|history| history.futile_starts() > 0 && !history.is_cancelled()))
    }

    /// Goes on with a request where it stands: with its response, if that is made, or with the steps that
    /// have not ended. One of a dataflow that is not here is left alone.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn resume(&self, row: &RequestRow) -> Result<(), JournalError> {
        let Some(history) = self.journal.history(row.number)? else { return Ok(()) };
        // It may have been cancelled, and answered, while it waited to be taken up.
        if !history.row.is_open() {
            return Ok(());
        }
        let Some(dataflow) = self.dataflows.accepted(&row.dataflow, history.version()) else {
            return Ok(());
        };
        let receipt = self.journal.receipt(&history)?;
        let name = row.name.as_str();
        let held = self.journal.store().held(row.id);
        if let Some(response) = self.made(&history, &dataflow) {
            self.tell(&AdmissionEvent::ResponseMade { name });
            self.queue.deliver(receipt, response);
            return Ok(());
        }
        drop(held);
        let submission = again(receipt, &dataflow, &history);
        let starts = history.futile_starts();
        let refused = match starts {
            _ if history.is_cancelled() => Some(Fault::cancelled()),
            FUTILE_STARTS_MAX.. => Some(deadly(starts)),
            _ => None,
        };
        if refused.is_some() {
            self.queue.submit(RequestSubmission { refused, ..submission });
            return Ok(());
        }
        self.tell(&AdmissionEvent::Resumed { name, runs: history.runs().len() });
        self.queue.resume(submission, Some(&history));
        Ok(())
    }
}

fn deadly(starts: usize) -> Fault {
    Fault::new(
        format!("flow ended {starts} times while this request was in work, and no step of it finished"),
        "See in the log why it ended. `flow retry` with the request's name runs it once more.",
    )
}
