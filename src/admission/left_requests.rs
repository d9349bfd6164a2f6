//! Requests that were accepted and are not in the engine yet, until they are taken up.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dataflow::RequestPriority;
use crate::journal::RequestRow;
use crate::step::Digest;

/// The requests that are not resumed yet: those of earlier processes, and those that are deferred. Each is resumed once.
#[derive(Default)]
pub struct LeftRequests {
    numbers: Mutex<LeftNumbers>,
    changed: Condvar,
}

/// What deferred requests wait for: room in a version of a dataflow, for a priority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DeferralReason {
    pub priority: RequestPriority,
    /// The name of the dataflow.
    pub dataflow: String,
    /// The version that accepted them.
    pub version: Option<Digest>,
}

#[derive(Default)]
struct LeftNumbers {
    /// All, each with the reason if it is deferred.
    all: BTreeMap<i64, Option<DeferralReason>>,
    deferred: BTreeMap<DeferralReason, BTreeMap<i64, RequestRow>>,
    /// The number of deferred ones on their way to the engine.
    moving: usize,
    is_closed: bool,
}

/// A deferred request on its way to the engine, until this is dropped.
pub(super) struct MovingRequest<'a> {
    pub row: RequestRow,
    left: &'a LeftRequests,
}

impl Drop for MovingRequest<'_> {
    fn drop(&mut self) {
        self.left.lock().moving -= 1;
        self.left.changed.notify_all();
    }
}

impl LeftRequests {
    /// Adds requests of earlier processes.
    pub(super) fn add(&self, unanswered: &[RequestRow]) {
        self.lock().all.extend(unanswered.iter().map(|row| (row.number, None)));
    }

    /// Adds a request that is deferred.
    pub(super) fn defer(&self, row: RequestRow, reason: DeferralReason) {
        self.lock().defer(row, reason);
        self.changed.notify_all();
    }

    /// Defers a request of an earlier process, if it is left.
    pub(super) fn defer_left(&self, row: &RequestRow, reason: DeferralReason) {
        let mut left = self.lock();
        if left.all.contains_key(&row.number) {
            left.defer(row.clone(), reason);
        }
        drop(left);
        self.changed.notify_all();
    }

    /// Takes the first deferred request, by priority and then in the order of acceptance, of those that have no reason to
    /// wait any more.
    pub(super) fn take_first(&self, is_over: impl Fn(&DeferralReason) -> bool) -> Option<MovingRequest<'_>> {
        let mut left = self.lock();
        let first = left.deferred.iter().filter(|(reason, _)| is_over(reason));
        let first = first.filter_map(|(reason, rows)| Some((reason.priority, *rows.first_key_value()?.0)));
        let (_, number) = first.min()?;
        let row = left.take(number)??;
        left.moving += 1;
        drop(left);
        Some(MovingRequest { row, left: self })
    }

    /// Waits until a request is deferred. Gives whether one is: else the end has come.
    pub(super) fn wait_for_deferred(&self) -> bool {
        let is_idle = |left: &mut LeftNumbers| left.deferred.is_empty() && !left.is_closed;
        let waited = self.changed.wait_while(self.lock(), is_idle);
        !waited.unwrap_or_else(PoisonError::into_inner).is_closed
    }

    /// Waits until no request is deferred for a reason that counts, nor on its way to the engine, for at most `time`. Gives
    /// whether that is so.
    pub(super) fn wait_for_none(&self, time: Duration, counts: impl Fn(&DeferralReason) -> bool) -> bool {
        let is_some = |left: &mut LeftNumbers| left.moving > 0 || left.deferred.keys().any(&counts);
        let waited = self.changed.wait_timeout_while(self.lock(), time, is_some);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Puts a deferred request before all that are not urgent. Gives whether the request is deferred.
    pub(super) fn hurry(&self, number: i64) -> bool {
        let mut left = self.lock();
        let Some(Some(reason)) = left.all.get(&number).cloned() else { return false };
        if let Some(Some(row)) = left.take(number) {
            left.defer(row, DeferralReason { priority: RequestPriority::Urgent, ..reason });
        }
        drop(left);
        self.changed.notify_all();
        true
    }

    /// From now on, nothing waits for deferred requests.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Whether the request with this number is left; from then on it is not.
    pub(super) fn take(&self, number: i64) -> bool {
        let taken = self.lock().take(number).is_some();
        self.changed.notify_all();
        taken
    }

    fn lock(&self) -> MutexGuard<'_, LeftNumbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeftNumbers {
    fn defer(&mut self, row: RequestRow, reason: DeferralReason) {
        self.all.insert(row.number, Some(reason.clone()));
        self.deferred.entry(reason).or_default().insert(row.number, row);
    }

    /// The request with this number, if it is left, with its row if it is deferred.
    fn take(&mut self, number: i64) -> Option<Option<RequestRow>> {
        let Some(reason) = self.all.remove(&number)? else { return Some(None) };
        let rows = self.deferred.get_mut(&reason);
        let row = rows.and_then(|rows| rows.remove(&number));
        self.deferred.retain(|_, rows| !rows.is_empty());
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::{Journal, RequestArrival};
    use crate::step::{Item, Request};
    use crate::store::Store;

    #[test]
    fn deferred_requests_go_by_priority_and_acceptance_each_with_the_version_that_accepted_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::at(folder.path().join("store")).unwrap());
        let journal = Journal::open(folder.path(), store, 0).unwrap();
        let [old, new] = [b"old", b"new"].map(|text| Digest::of(text));
        let left = LeftRequests::default();
        use RequestPriority::{Normal, OffPeak};
        for (name, priority, version) in
            [("a", OffPeak, old), ("b", Normal, new), ("c", Normal, old), ("d", Normal, old)]
        {
            let item = Item::inline(name, name.as_bytes());
            let arrival = RequestArrival {
                request: Request::new(name, Default::default(), vec![item]).into(),
                dataflow: "work".to_owned(),
                version,
                program: new,
                lookup_texts: Vec::new(),
            };
            let number = journal.accept(arrival).unwrap().number().unwrap();
            let row = journal.history(number).unwrap().unwrap().row;
            left.defer(row, DeferralReason { priority, dataflow: "work".to_owned(), version: Some(version) });
        }
        assert!(left.wait_for_deferred());
        // There is room in the old version alone.
        let has_room = |reason: &DeferralReason| reason.version == Some(old);
        let numbers: Vec<i64> = left.lock().all.keys().copied().collect();
        assert!(left.hurry(numbers[0]) && !left.hurry(numbers[3] + 1), "one that is not here");
        let urgent = left.take_first(has_room).unwrap();
        assert_eq!(urgent.row.name, "a", "as an operator asked, though it was off-peak");
        let first = left.take_first(has_room).unwrap();
        assert_eq!(first.row.name, "c");
        assert!(!left.take(first.row.number), "each is resumed once");
        let second = left.take_first(has_room).unwrap();
        assert_eq!(second.row.name, "d");
        assert!(left.take_first(has_room).is_none());
        assert!(!left.wait_for_none(Duration::ZERO, has_room), "three are on their way");
        drop((urgent, first, second));
        assert!(left.wait_for_none(Duration::ZERO, has_room));
        assert!(!left.wait_for_none(Duration::ZERO, |_| true));
        left.close();
        assert!(!left.wait_for_deferred());
    }
}
