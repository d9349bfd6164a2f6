//! Deferred requests: accepted ones that wait on the disk and not in the engine.
//!
//! Requests of a paused dataflow are deferred, and those off-peak for which the engine has no room. So they take no memory,
//! and do not hold up the source that brings them. Where the dataflow has a deadline, requests wait in the engine, which
//! answers them in time. When flow is to end, those of a paused dataflow are left to the next start; the others are handed
//! on and answered.

use std::sync::mpsc::channel;
use std::thread::Scope;
use std::time::Duration;

use crate::dataflow::{Dataflow, RequestPriority};

use super::Admission;
use super::left_requests::DeferralReason;

/// The longest wait for one request to enter the engine, and between two looks at what is paused.
const LOOK: Duration = Duration::from_millis(250);

impl Admission<'_> {
    /// The reason why a request waits on the disk; `None` if it does not.
    pub(super) fn defers(&self, dataflow: &Dataflow, priority: RequestPriority) -> Option<DeferralReason> {
        let (name, version) = (dataflow.name(), dataflow.digest());
        let is_paused = || self.queue.control().pauses.is_dataflow_paused(name);
        let is_crowded = || priority == RequestPriority::OffPeak && !self.queue.has_room(version, priority);
        let waits = self.journal.keeps() && dataflow.deadline().is_none() && (is_paused() || is_crowded());
        waits.then(|| DeferralReason { priority, dataflow: name.to_owned(), version: Some(version) })
    }

    /// Hands on those deferred requests that wait no longer, in the order of priority and acceptance, until the list of them
    /// is closed.
    pub(super) fn hand_on_deferred<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        while self.left.wait_for_deferred() {
            while let Some(moving) = self.left.take_first(|reason| self.is_over(reason)) {
                let (done, resumed) = channel::<()>();
                scope.spawn(move || {
                    super::operator::resume(self, &moving.row);
                    drop((moving, done));
                });
                // As there is room, it is in the engine before the next one is looked at; if others were faster, nobody
                // waits for it here.
                let _ = resumed.recv_timeout(LOOK);
            }
            self.queue.wait_for_room(LOOK);
        }
    }

    /// Waits until all deferred requests are in the engine; those that are paused only while no end is asked for.
    pub(super) fn wait_for_deferred(&self) {
        let counts = |reason: &DeferralReason| !(self.stop.is_requested() && self.is_paused(reason));
        while !self.left.wait_for_none(LOOK, counts) {}
    }

    fn is_paused(&self, reason: &DeferralReason) -> bool {
        self.queue.control().pauses.is_dataflow_paused(&reason.dataflow)
    }

    /// Whether requests that wait for this can be handed on.
    fn is_over(&self, reason: &DeferralReason) -> bool {
        let dataflow = self.dataflows.accepted(&reason.dataflow, reason.version);
        let has_room = |dataflow: &Dataflow| self.queue.has_room(dataflow.digest(), reason.priority);
        !self.is_paused(reason) && dataflow.is_some_and(|dataflow| has_room(&dataflow))
    }
}
