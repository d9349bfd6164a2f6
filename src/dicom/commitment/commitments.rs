//! The commitments that we have requested from destinations, until their outcomes are known and used.
//!
//! A destination may take hours: a delivery that waited in vain finds the outcome at its next try, and does
//! not ask again meanwhile. An object's outcome counts, whichever transaction reported it. The number of
//! remembered transactions is limited; objects of the oldest ones would be asked for again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::transaction::{CommitmentOutcome, ObjectReference, PROCESSING_FAILURE};

/// The commitments that we have requested. Deliveries wait here for the outcomes.
#[derive(Debug, Default)]
pub struct RequestedCommitments {
    asked: Mutex<CommitmentState>,
    changed: Condvar,
}

const TRANSACTIONS_MAX: usize = 10_000;

/// The time within which commitment for an object is not requested again.
const ASKED_FOR: Duration = Duration::from_secs(10 * 60);

/// The node and the SOP Instance UID.
type CommitmentKey = (String, String);

#[derive(Debug, Default)]
struct CommitmentState {
    transactions: BTreeMap<String, Vec<CommitmentKey>>,
    /// UIDs of the transactions, the oldest first.
    order: VecDeque<String>,
    objects: BTreeMap<CommitmentKey, RequestedObject>,
    /// The listener has stopped, so no outcome can arrive any more.
    closed: bool,
}

#[derive(Debug)]
struct RequestedObject {
    /// UID of the latest transaction that asked for the object; `at` is its time.
    transaction: String,
    at: Instant,
    /// Committed, or the failure reason; `None` until the report arrives.
    outcome: Option<Result<(), u16>>,
}

impl RequestedCommitments {
    /// Objects for which commitment is still to be requested: the others have an outcome, or a recent
    /// request.
    pub(in crate::dicom) fn unasked(
        &self,
        node: &str,
        references: &[ObjectReference],
        now: Instant,
    ) -> Vec<ObjectReference> {
        let asked = self.lock();
        let is_asked = |reference: &&ObjectReference| {
            let object = asked.objects.get(&key(node, reference));
            let is_recent = |object: &RequestedObject| now.saturating_duration_since(object.at) < ASKED_FOR;
            object.is_some_and(|object| object.outcome.is_some() || is_recent(object))
        };
        references.iter().filter(|reference| !asked.closed && !is_asked(reference)).cloned().collect()
    }

    pub(in crate::dicom) fn expect(
        &self,
        node: &str,
        transaction: &str,
        references: &[ObjectReference],
        at: Instant,
    ) {
        let mut asked = self.lock();
        let keys: Vec<CommitmentKey> = references.iter().map(|reference| key(node, reference)).collect();
        for key in &keys {
            let transaction = transaction.to_owned();
            asked.objects.insert(key.clone(), RequestedObject { transaction, at, outcome: None });
        }
        if asked.transactions.insert(transaction.to_owned(), keys).is_none() {
            asked.order.push_back(transaction.to_owned());
        }
        if asked.order.len() > TRANSACTIONS_MAX
            && let Some(oldest) = asked.order.pop_front()
        {
            asked.forget(&oldest);
        }
    }

    /// Removes a transaction whose request could not be sent.
    pub(in crate::dicom) fn forget(&self, transaction: &str) {
        let mut asked = self.lock();
        asked.order.retain(|one| one != transaction);
        asked.forget(transaction);
    }

    /// Notes an outcome, also a late one. Gives whether the transaction is known. Objects that the outcome
    /// does not name count as not committed.
    pub(in crate::dicom) fn settle(&self, transaction: &str, outcome: &CommitmentOutcome) -> bool {
        let mut asked = self.lock();
        let Some(keys) = asked.transactions.get(transaction).cloned() else { return false };
        let safe = outcome.safe.iter().map(|one| (one.sop_instance_uid.as_str(), Ok(())));
        let failed = outcome.failed.iter().map(|(one, why)| (one.sop_instance_uid.as_str(), Err(*why)));
        let told: BTreeMap<&str, Result<(), u16>> = safe.chain(failed).collect();
        for key in keys {
            let outcome = told.get(key.1.as_str()).copied().unwrap_or(Err(PROCESSING_FAILURE));
            if let Some(object) = asked.objects.get_mut(&key) {
                object.outcome = Some(outcome);
            }
        }
        self.changed.notify_all();
        true
    }

    /// Waits until the outcome of all objects is known, and removes it. `None` if it does not arrive in time,
    /// or the listener has stopped.
    pub(in crate::dicom) fn wait(
        &self,
        node: &str,
        references: &[ObjectReference],
        time: Duration,
    ) -> Option<CommitmentOutcome> {
        let keys: Vec<CommitmentKey> = references.iter().map(|reference| key(node, reference)).collect();
        let is_open = |asked: &mut CommitmentState| !asked.closed && !asked.is_known(&keys);
        let waited = self.changed.wait_timeout_while(self.lock(), time, is_open);
        let (mut asked, _) = waited.expect(NO_PANIC);
        asked.is_known(&keys).then(|| asked.take(&keys, references))
    }

    /// Ends all waits: the listener has stopped, so no outcome can arrive.
    pub(in crate::dicom) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, CommitmentState> {
        self.asked.lock().expect(NO_PANIC)
    }
}

impl CommitmentState {
    fn is_known(&self, keys: &[CommitmentKey]) -> bool {
        keys.iter().all(|key| self.objects.get(key).is_some_and(|object| object.outcome.is_some()))
    }

    fn take(&mut self, keys: &[CommitmentKey], references: &[ObjectReference]) -> CommitmentOutcome {
        let (mut committed, mut used) = (CommitmentOutcome::default(), BTreeSet::new());
        for (key, reference) in keys.iter().zip(references) {
            // The list may have an object twice.
            let Some(object) = self.objects.remove(key) else { continue };
            match object.outcome {
                Some(Ok(())) => committed.safe.push(reference.clone()),
                Some(Err(reason)) => committed.failed.push((reference.clone(), reason)),
                None => {}
            }
            used.insert(object.transaction);
        }
        used.iter().for_each(|transaction| self.tidy(transaction));
        committed
    }

    /// A transaction is remembered as long as one of its objects is.
    fn tidy(&mut self, transaction: &str) {
        let keys = self.transactions.get(transaction);
        if keys.is_some_and(|keys| keys.iter().all(|key| !self.objects.contains_key(key))) {
            self.transactions.remove(transaction);
            self.order.retain(|one| one != transaction);
        }
    }

    /// Removes a transaction. Objects that a later transaction asked for again stay.
    fn forget(&mut self, transaction: &str) {
        for key in self.transactions.remove(transaction).unwrap_or_default() {
            if self.objects.get(&key).is_some_and(|object| object.transaction == transaction) {
                self.objects.remove(&key);
            }
        }
    }
}

fn key(node: &str, reference: &ObjectReference) -> CommitmentKey {
    (node.to_owned(), reference.sop_instance_uid.clone())
}

const NO_PANIC: &str = "nothing panics while it holds the commitments";

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn references(numbers: std::ops::Range<u32>) -> Vec<ObjectReference> {
        let reference = |number| ObjectReference {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: format!("1.2.{number}"),
        };
        numbers.map(reference).collect()
    }

    fn safe(numbers: std::ops::Range<u32>) -> CommitmentOutcome {
        CommitmentOutcome { safe: references(numbers), failed: Vec::new() }
    }

    #[test]
    fn an_outcome_that_comes_late_is_found_and_not_asked_for_again() {
        let (commitments, now) = (RequestedCommitments::default(), Instant::now());
        let both = references(0..2);
        assert_eq!(commitments.unasked("PACS", &both, now), both);
        commitments.expect("PACS", "1", &both, now);
        assert_eq!(commitments.wait("PACS", &both, Duration::ZERO), None);
        assert!(commitments.unasked("PACS", &both, now + 9 * MINUTE).is_empty(), "it is on its way");
        assert_eq!(commitments.unasked("OTHER", &both, now), both, "another node has not been asked");
        assert_eq!(commitments.unasked("PACS", &both, now + 10 * MINUTE), both, "it may be lost");

        assert!(commitments.settle("1", &safe(0..2)));
        assert!(commitments.unasked("PACS", &both, now + 20 * MINUTE).is_empty(), "it is known");
        assert_eq!(commitments.wait("PACS", &both, Duration::ZERO), Some(safe(0..2)));
        assert_eq!(commitments.unasked("PACS", &both, now), both, "what is used is not kept");
    }

    #[test]
    fn only_what_was_asked_for_is_settled() {
        let (commitments, now) = (RequestedCommitments::default(), Instant::now());
        assert!(!commitments.settle("1", &safe(0..1)));
        commitments.expect("PACS", "1", &references(0..2), now);
        commitments.expect("PACS", "2", &references(2..3), now);
        assert!(commitments.settle("1", &safe(1..3)));
        let failed = vec![(references(0..1).remove(0), PROCESSING_FAILURE)];
        let expected = CommitmentOutcome { safe: references(1..2), failed };
        assert_eq!(commitments.wait("PACS", &references(0..2), Duration::ZERO), Some(expected));
        assert_eq!(commitments.wait("PACS", &references(2..3), Duration::ZERO), None, "of another one");
        assert!(!commitments.settle("1", &safe(0..2)), "that is used");
    }

    #[test]
    fn only_so_many_are_remembered_and_none_is_waited_for_at_the_stop() {
        let (commitments, now) = (RequestedCommitments::default(), Instant::now());
        for number in 0..=TRANSACTIONS_MAX as u32 {
            commitments.expect("PACS", &number.to_string(), &references(number..number + 1), now);
        }
        assert!(!commitments.settle("0", &safe(0..1)), "the oldest one is forgotten");
        assert!(commitments.settle("1", &safe(1..2)));
        assert_eq!(commitments.lock().objects.len(), TRANSACTIONS_MAX);
        commitments.close();
        assert_eq!(commitments.wait("PACS", &references(2..3), Duration::MAX), None);
        assert_eq!(commitments.wait("PACS", &references(1..2), Duration::MAX), Some(safe(1..2)));
        assert!(commitments.unasked("PACS", &references(0..1), now).is_empty(), "nobody hears the answer");
    }
}
