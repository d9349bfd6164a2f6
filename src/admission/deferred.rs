//! Deferred requests: accepted ones that wait on the disk and not in the engine.
//!
//! Requests of a paused dataflow are deferred, and those off-peak for which the engine has no room. So they take no memory,
//! and do not hold up the source that brings them. Where the dataflow has a deadline, requests wait in the engine, which
//! answers them in time.

use std::sync::mpsc::channel;
use std::thread::Scope;
use std::time::Duration;

use crate::dataflow::{Dataflow, RequestPriority};

use super::Admission;
use super::left_requests::DeferredRequest;

/// The longest wait for one request to enter the engine.
const LOOK: Duration = Duration::from_millis(250);

impl Admission<'_> {
    /// Whether a request waits on the disk.
    pub(super) fn defers(&self, dataflow: &Dataflow, priority: RequestPriority) -> bool {
        let is_paused = self.queue.control().pauses.is_dataflow_paused(dataflow.name());
        let is_crowded =
            priority == RequestPriority::OffPeak && !self.queue.has_room(dataflow.digest(), priority);
        self.journal.keeps() && dataflow.deadline().is_none() && (is_paused || is_crowded)
    }

    /// Hands on those deferred requests that wait no longer, in the order of priority and acceptance.
    pub(super) fn take_up<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        for DeferredRequest { row, priority } in self.left.deferred() {
            let Some(dataflow) = self.dataflows.accepted(&row.dataflow, None) else { continue };
            // Others go on meanwhile; one that needs room waits for the next look.
            let has_room = self.queue.has_room(dataflow.digest(), priority);
            if has_room && !self.defers(&dataflow, priority) && self.left.take(row.number) {
                let (done, resumed) = channel::<()>();
                scope.spawn(move || {
                    super::operator::resume(self, &row);
                    drop(done);
                });
                // As there is room, it is in the engine before the next one is looked at; if others were faster, nobody
                // waits for it here.
                let _ = resumed.recv_timeout(LOOK);
            }
        }
    }
}
