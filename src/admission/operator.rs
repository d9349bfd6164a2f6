//! Work beside the requests: operator requests are carried out, and old requests are removed.

use std::thread::Scope;
use std::time::{Duration, Instant};

use crate::engine::ResponseSink;
use crate::journal::{
    CollectedTotals, JournalError, OperatorRequest, RequestRow, RequestState, RetentionLimits,
};

use super::{Admission, AdmissionEvent, DataflowUpdates, StopSignal};

/// The time between two looks for operator requests.
const LOOK: Duration = Duration::from_millis(250);

/// The time between two looks for old requests.
const COLLECT: Duration = Duration::from_secs(60);

/// Settings of the work beside the requests.
#[derive(Clone, Copy)]
pub(super) struct UpkeepSettings<'a> {
    pub sink: &'a dyn ResponseSink,
    pub retention: RetentionLimits,
    pub updates: &'a DataflowUpdates,
}

/// Carries out operator requests, takes over new dataflows and removes old requests, until `end` is requested.
pub(super) fn maintain<'scope>(
    scope: &'scope Scope<'scope, '_>,
    admission: &'scope Admission,
    upkeep: UpkeepSettings,
    end: &StopSignal,
) {
    let UpkeepSettings { sink, retention, updates } = upkeep;
    let mut next = Instant::now();
    let mut seen = 0;
    loop {
        let changes = admission.queue.control().pauses.changes();
        if std::mem::replace(&mut seen, changes) != changes {
            admission.queue.notice_pauses();
        }
        if let Err(error) = serve_operator_requests(scope, admission, sink) {
            tracing::error!(%error, "operator requests cannot be read");
        }
        if let Some(new) = updates.take() {
            admission.adopt(&new);
        }
        if Instant::now() >= next {
            collect(admission, retention);
            next = Instant::now() + COLLECT;
        }
        if end.wait(LOOK) {
            return;
        }
    }
}

fn serve_operator_requests<'scope>(
    scope: &'scope Scope<'scope, '_>,
    admission: &'scope Admission,
    sink: &dyn ResponseSink,
) -> Result<(), JournalError> {
    for (row, operator_request) in admission.journal.operator_requests()? {
        let name = row.name.as_str();
        match (operator_request, row.state) {
            (OperatorRequest::Cancel, RequestState::Accepted) => {
                admission.tell(&AdmissionEvent::Cancelled { name });
                admission.queue.canceller().cancel(row.id);
                // A request of an earlier process may not be resumed yet. It is resumed now, to be answered
                // as cancelled.
                if admission.left.take(row.number) {
                    scope.spawn(move || resume(admission, &row));
                }
            }
            (OperatorRequest::Retry, RequestState::Accepted)
                if admission.dataflows.accepted(&row.dataflow, None).is_some() =>
            {
                admission.tell(&AdmissionEvent::Retried { name });
                admission.left.take(row.number);
                // Resuming may block until the engine has room; other operator requests are served meanwhile.
                scope.spawn(move || resume(admission, &row));
            }
            (OperatorRequest::Retry, RequestState::Responded) => {
                admission.tell(&AdmissionEvent::Hurried { name });
                sink.expedite(row.id);
            }
            (OperatorRequest::Hurry, RequestState::Accepted) => {
                admission.queue.hurry(row.id);
                // A deferred one stays so, before the others. One of an earlier process begins its way to the engine.
                let is_deferred = admission.left.hurry(row.number);
                admission.tell(&AdmissionEvent::Urgent { name });
                if !is_deferred && !admission.is_suspect(&row)? && admission.left.take(row.number) {
                    scope.spawn(move || resume(admission, &row));
                }
            }
            (
                OperatorRequest::Cancel
                | OperatorRequest::Retry
                | OperatorRequest::Keep
                | OperatorRequest::Release
                | OperatorRequest::Hurry
                | OperatorRequest::Replay,
                _,
            ) => {}
        }
    }
    Ok(())
}

pub(super) fn resume(admission: &Admission, row: &RequestRow) {
    if let Err(error) = admission.resume(row) {
        tracing::error!(%error, request = row.name, "the request could not be resumed; the next start resumes it");
    }
}

pub(super) fn collect(admission: &Admission, retention: RetentionLimits) {
    let release = |row: &RequestRow, claims: &[String]| admission.release_row(row, claims);
    match admission.journal.collect(retention, &release) {
        Ok(CollectedTotals { requests: 0, .. }) => {}
        Ok(CollectedTotals { requests, bytes }) => {
            tracing::info!(requests, bytes, "old requests were removed");
        }
        Err(error) => tracing::error!(%error, "old requests cannot be removed"),
    }
}
