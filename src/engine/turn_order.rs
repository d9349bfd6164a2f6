//! The order in which waiting requests begin: by priority, and by share among those of the same priority.
//!
//! Urgent requests begin before normal ones, and these before those off-peak. Nobody starves: the request that has waited
//! longest in its priority begins at the latest when so many of higher priorities have begun before it as
//! [`passed_max`] says. Among accounts of the same priority, each begins requests in proportion to its share
//! (start-time fair queueing; Goyal, Vin, Cheng 1996). Nothing here reads a clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::dataflow::RequestPriority;

/// The requests of higher priorities that begin before one of this priority, at most, while it waits.
fn passed_max(priority: RequestPriority) -> u32 {
    match priority {
        RequestPriority::Urgent => u32::MAX,
        RequestPriority::Normal => 4,
        RequestPriority::OffPeak => 16,
    }
}

/// The virtual time that a request of an account with the share 1 takes: all shares up to 16 divide it.
const REQUEST_TIME: u64 = 720_720;

/// The state of the order.
#[derive(Default)]
pub struct TurnOrder {
    /// By priority, the requests of higher ones that have begun since one of this priority did, while one waits.
    passed: BTreeMap<RequestPriority, u32>,
    /// The virtual time at which the last request of each account ends.
    ends: BTreeMap<String, u64>,
    /// The accounts that had waiting requests at the last choice.
    waited: BTreeSet<String>,
    now: u64,
}

/// The request that would begin next of a dataflow and a priority.
#[derive(Clone, Copy, Debug)]
pub struct TurnCandidate<'a> {
    pub priority: RequestPriority,
    /// The account, that of a customer or of a dataflow, and its share.
    pub account: &'a str,
    pub share: u32,
    /// The number of the request, in the order of arrival.
    pub number: u64,
}

impl TurnOrder {
    /// The index of the candidate that begins now; `None` if there is none.
    pub fn choose(&mut self, candidates: &[TurnCandidate]) -> Option<usize> {
        let priority = self.priority(candidates)?;
        // An account that had nothing to begin has not saved anything.
        for TurnCandidate { account, .. } in candidates {
            if !self.waited.contains(*account) {
                let end = self.ends.entry((*account).to_owned()).or_default();
                *end = (*end).max(self.now);
            }
        }
        self.note_waiting(candidates);
        let of_priority = candidates.iter().enumerate().filter(|(_, one)| one.priority == priority);
        let start = |one: &TurnCandidate| self.ends.get(one.account).copied().unwrap_or_default();
        let (index, chosen) = of_priority.min_by_key(|(_, one)| (start(one), one.number))?;
        let start = start(chosen);
        self.now = self.now.max(start);
        // Every account that waits has got its entry above.
        let end = self.ends.get_mut(chosen.account)?;
        *end = start + REQUEST_TIME / u64::from(chosen.share.max(1));
        self.pass(priority, candidates);
        Some(index)
    }

    /// Notes the accounts that wait. They are mostly the same as before: nothing is allocated then.
    fn note_waiting(&mut self, candidates: &[TurnCandidate]) {
        let waits = |account: &String| candidates.iter().any(|one| one.account == account);
        let is_known = |one: &TurnCandidate| self.waited.contains(one.account);
        if !self.waited.iter().all(waits) || !candidates.iter().all(is_known) {
            self.waited = candidates.iter().map(|one| one.account.to_owned()).collect();
        }
    }

    /// The priority whose turn it is.
    fn priority(&self, candidates: &[TurnCandidate]) -> Option<RequestPriority> {
        let waits = |priority: &RequestPriority| candidates.iter().any(|one| one.priority == *priority);
        let waiting = || RequestPriority::ALL.into_iter().filter(waits);
        let passed = |priority: &RequestPriority| self.passed.get(priority).copied().unwrap_or_default();
        waiting().find(|priority| passed(priority) >= passed_max(*priority)).or_else(|| waiting().next())
    }

    /// Counts a beginning for all priorities below.
    fn pass(&mut self, begun: RequestPriority, candidates: &[TurnCandidate]) {
        for priority in RequestPriority::ALL {
            let waits = candidates.iter().any(|one| one.priority == priority);
            let passed = self.passed.entry(priority).or_default();
            *passed = match waits && priority != begun {
                true => *passed + u32::from(begun < priority),
                false => 0,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RequestPriority::{Normal, OffPeak, Urgent};

    fn candidate(priority: RequestPriority, account: &str, share: u32, number: u64) -> TurnCandidate<'_> {
        TurnCandidate { priority, account, share, number }
    }

    /// The first letters of the accounts that begin, where all candidates always wait.
    fn order(candidates: &[TurnCandidate], count: usize) -> String {
        let mut order = TurnOrder::default();
        (0..count).map(|_| &candidates[order.choose(candidates).unwrap()].account[..1]).collect()
    }

    #[test]
    fn higher_priorities_go_first_and_no_other_starves() {
        let all = [candidate(OffPeak, "o", 1, 1), candidate(Normal, "n", 1, 2), candidate(Urgent, "u", 1, 3)];
        assert_eq!(order(&all, 40), "uuuunuuuunuuuunuouuunuuuunuuuunuuouunuuu");
        assert_eq!(order(&all[..2], 20), "nnnnnnnnnnnnnnnnonnn");
        assert_eq!(order(&[all[0], all[2]], 20), "uuuuuuuuuuuuuuuuouuu");
    }

    #[test]
    fn whoever_begins_to_wait_is_passed_as_often_as_everybody() {
        let (low, high) = (candidate(Normal, "n", 1, 1), candidate(Urgent, "u", 1, 2));
        let mut order = TurnOrder::default();
        (0..10).for_each(|_| assert_eq!(order.choose(&[high]), Some(0)));
        let begun: Vec<usize> = (0..6).map(|_| order.choose(&[low, high]).unwrap()).collect();
        assert_eq!(begun, [1, 1, 1, 1, 0, 1]);
    }

    #[test]
    fn accounts_begin_in_proportion_to_their_shares() {
        let all = [candidate(Normal, "a", 1, 1), candidate(Normal, "b", 3, 2)];
        let begun = order(&all, 40);
        assert_eq!(begun.matches('b').count(), 30, "{begun}");
        assert!(!begun.contains("aa") && !begun.contains("bbbb"), "{begun}");
        let same = [candidate(Normal, "a", 2, 3), candidate(Normal, "b", 2, 1), candidate(Normal, "b", 2, 2)];
        assert_eq!(order(&same, 6), "bababa", "in turn, the oldest first");
        assert_eq!(order(&[all[0]], 3), "aaa");
        assert_eq!(TurnOrder::default().choose(&[]), None);
    }

    #[test]
    fn an_account_that_had_nothing_to_begin_has_not_saved_turns() {
        let (a, b) = (candidate(Normal, "a", 1, 1), candidate(Normal, "b", 1, 2));
        let mut order = TurnOrder::default();
        (0..100).for_each(|_| assert_eq!(order.choose(&[a]), Some(0)));
        let begun: Vec<usize> = (0..6).map(|_| order.choose(&[a, b]).unwrap()).collect();
        assert_eq!(begun.iter().filter(|index| **index == 0).count(), 3, "{begun:?}");
    }
}
