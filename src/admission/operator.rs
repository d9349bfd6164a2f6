//! Work beside the requests: operators' wishes are carried out, and old requests are forgotten.

use std::thread::Scope;
use std::time::{Duration, Instant};

use crate::engine::Sink;
use crate::journal::{Collected, JournalError, Retention, Row, State, Wish};

use super::{Admission, AdmissionEvent, StopSignal};

/// The time between two looks for wishes.
const LOOK: Duration = Duration::from_millis(250);

/// The time between two looks for old requests.
const COLLECT: Duration = Duration::from_secs(60);

/// Sees to operators' wishes and to what is old, until `end` is requested.
pub(super) fn attend<'scope>(
    scope: &'scope Scope<'scope, '_>,
    admission: &'scope Admission,
    sink: &dyn Sink,
    retention: Retention,
    end: &StopSignal,
) {
    let mut next = Instant::now();
    loop {
        if let Err(error) = see_to_wishes(scope, admission, sink) {
            tracing::error!(%error, "what operators ask for cannot be read");
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

fn see_to_wishes<'scope>(
    scope: &'scope Scope<'scope, '_>,
    admission: &'scope Admission,
    sink: &dyn Sink,
) -> Result<(), JournalError> {
    for (row, wish) in admission.journal.wishes()? {
        let name = row.name.as_str();
        match (wish, row.state) {
            (Wish::Cancel, State::Accepted) => {
                admission.tell(&AdmissionEvent::Cancelled { name });
                admission.entrance.canceller().cancel(row.id);
            }
            (Wish::Retry, State::Accepted) if admission.dataflows.accepted(&row.dataflow, None).is_some() => {
                admission.tell(&AdmissionEvent::Retried { name });
                // It may have to wait for its turn, and others' wishes do not wait with it.
                scope.spawn(move || resume(admission, &row));
            }
            (Wish::Retry, State::Responded) => {
                admission.tell(&AdmissionEvent::Hurried { name });
                sink.hurry(row.id);
            }
            (Wish::Cancel | Wish::Retry | Wish::Keep | Wish::Release, _) => {}
        }
    }
    Ok(())
}

fn resume(admission: &Admission, row: &Row) {
    if let Err(error) = admission.resume(row) {
        tracing::error!(%error, request = row.name, "it is taken up at the next start");
    }
}

pub(super) fn collect(admission: &Admission, retention: Retention) {
    let release = |row: &Row, claims: &[String]| admission.release_row(row, claims);
    match admission.journal.collect(retention, &release) {
        Ok(Collected { requests: 0, .. }) => {}
        Ok(Collected { requests, bytes }) => {
            tracing::info!(requests, bytes, "old requests are forgotten");
        }
        Err(error) => tracing::error!(%error, "old requests cannot be removed"),
    }
}
