//! Requests that an earlier process accepted and did not answer.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::dataflow::{Dataflow, RequestPriority};
use crate::engine::RequestSubmission;
use crate::journal::{JournalError, RequestHistory, RequestRow};
use crate::step::{Fault, Request};

use super::accept::again;
use super::left_requests::DeferralReason;
use super::{Admission, AdmissionEvent};

/// The number of starts in a row after which a request is no longer run. Counted are starts after which the
/// process died while the request was in work and before any of its steps had ended. The limit is this high
/// so that an operator who kills flow repeatedly is not mistaken for a request that crashes it.
const FUTILE_STARTS_MAX: usize = 10;

/// The longest time that other such requests wait for one of them.
const SUSPECTED_MAX: Duration = Duration::from_secs(60);

/// The interval at which the progress of such a request is checked.
const LOOK: Duration = Duration::from_millis(20);

impl Admission<'_> {
    /// The requests that earlier processes accepted and did not answer. To be read before anything new is
    /// accepted.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn unanswered(&self) -> Result<Vec<RequestRow>, JournalError> {
        // Operator requests recorded while no flow was running take effect first.
        self.journal.operator_requests()?;
        let mut rows = Vec::new();
        for name in self.dataflow_names() {
            rows.extend(self.journal.unanswered(&name)?);
        }
        rows.sort_by_key(|row| row.number);
        Ok(rows)
    }

    /// Resumes these requests. Those that were in work when a process died, and of which no step had ended,
    /// are resumed one after the other: if one of them crashes the process again, the journal shows which.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn resume_all(&self, unanswered: &[RequestRow]) -> Result<(), JournalError> {
        let left = self.left;
        let mut suspects = Vec::new();
        let mut rows = Vec::new();
        for row in unanswered {
            match self.standing(row)? {
                (_, Some(reason)) => left.defer_left(row, reason),
                (priority, None) => rows.push((priority, row)),
            }
        }
        rows.sort_by_key(|(priority, row)| (*priority, row.number));
        for (_, row) in rows {
            match self.is_suspect(row)? {
                true => suspects.push(row),
                false if left.take(row.number) => self.resume(row)?,
                // It was taken up meanwhile, because an operator had cancelled it.
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

    /// The priority of a request, and the reason if it waits on the disk. A cancelled or answered one does not.
    fn standing(&self, row: &RequestRow) -> Result<(RequestPriority, Option<DeferralReason>), JournalError> {
        let history = self.journal.history(row.number)?;
        let dataflow = history.as_ref().and_then(|history| self.dataflow_of(history));
        let Some((history, dataflow)) = history.zip(dataflow) else { return Ok(Default::default()) };
        let Ok((request, _)) = history.request() else { return Ok(Default::default()) };
        let priority = self.priority(&history, request, &dataflow);
        let is_open = !history.is_cancelled() && history.response().is_none();
        Ok((priority, if is_open { self.defers(&dataflow, priority) } else { None }))
    }

    /// The dataflow of an accepted request, if one of its name is known here.
    fn dataflow_of(&self, history: &RequestHistory) -> Option<Arc<Dataflow>> {
        let (name, version) = (&history.row.dataflow, history.version());
        match history.is_retried() {
            true => self.dataflows.retried(name, version),
            false => self.dataflows.accepted(name, version),
        }
    }

    /// The priority of a request of an earlier process: urgent, if an operator has asked for that.
    fn priority(&self, history: &RequestHistory, request: &Request, dataflow: &Dataflow) -> RequestPriority {
        match history.is_hurried() {
            true => RequestPriority::Urgent,
            false => self.dataflows.priority(request, dataflow),
        }
    }

    /// Whether the request may be the one that ended the process. A cancelled one is not run, so it is not.
    pub(super) fn is_suspect(&self, row: &RequestRow) -> Result<bool, JournalError> {
        let history = self.journal.history(row.number)?;
        Ok(history.is_some_and(|history| history.futile_starts() > 0 && !history.is_cancelled()))
    }

    /// Resumes a request: delivers its response if that is recorded, else runs the steps that have not ended.
    /// A request whose dataflow is not known here is left as it is.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn resume(&self, row: &RequestRow) -> Result<(), JournalError> {
        let Some(history) = self.journal.history(row.number)? else { return Ok(()) };
        // It may have been cancelled and answered since it was listed.
        if !history.row.is_open() {
            return Ok(());
        }
        let Some(dataflow) = self.dataflow_of(&history) else { return Ok(()) };
        let receipt = self.journal.receipt(&history)?;
        let name = row.name.as_str();
        let held = self.journal.store().held(row.id);
        if let Some(response) = self.made(&history, &dataflow) {
            self.tell(&AdmissionEvent::ResponseMade { name });
            self.queue.deliver(receipt, response);
            return Ok(());
        }
        drop(held);
        let priority = self.priority(&history, receipt.request(), &dataflow);
        let submission = again(receipt, &dataflow, &history, priority);
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
