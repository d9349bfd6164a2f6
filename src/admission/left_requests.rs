//! Requests that were accepted and are not in the engine yet, until they are taken up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::dataflow::RequestPriority;
use crate::journal::RequestRow;

/// The requests that are not resumed yet: those of earlier processes, and those that are deferred. Each is resumed once.
#[derive(Default)]
pub struct LeftRequests(Mutex<LeftNumbers>);

/// A request that was accepted and is not in the engine.
#[derive(Clone, Debug)]
pub(super) struct DeferredRequest {
    pub row: RequestRow,
    pub priority: RequestPriority,
}

#[derive(Default)]
struct LeftNumbers {
    all: BTreeSet<i64>,
    deferred: BTreeMap<i64, DeferredRequest>,
}

impl LeftRequests {
    /// Adds requests of earlier processes.
    pub(super) fn add(&self, unanswered: &[RequestRow]) {
        self.lock().all.extend(unanswered.iter().map(|row| row.number));
    }

    /// Adds a request that is deferred.
    pub(super) fn defer(&self, request: DeferredRequest) {
        let mut left = self.lock();
        left.all.insert(request.row.number);
        left.deferred.insert(request.row.number, request);
    }

    /// The deferred requests, by priority and then in the order of acceptance.
    pub(super) fn deferred(&self) -> Vec<DeferredRequest> {
        let mut deferred: Vec<DeferredRequest> = self.lock().deferred.values().cloned().collect();
        deferred.sort_by_key(|request| (request.priority, request.row.number));
        deferred
    }

    /// Whether a request is deferred.
    pub(super) fn has_deferred(&self) -> bool {
        !self.lock().deferred.is_empty()
    }

    /// Whether the request with this number is left; from then on it is not.
    pub(super) fn take(&self, number: i64) -> bool {
        let mut left = self.lock();
        left.deferred.remove(&number);
        left.all.remove(&number)
    }

    fn lock(&self) -> MutexGuard<'_, LeftNumbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
