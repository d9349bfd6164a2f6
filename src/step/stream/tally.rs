//! Tallies: what became of the items that a step took, as counts with the first faults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::Fault;

use super::ordinal::ItemOrdinal;

/// The fault of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemFault {
    /// The place of the item in its stream, from 1: `18`; and `18.3` for the third that was made of the 18th.
    pub item: String,
    /// The fault.
    pub fault: Fault,
}

/// The items that a step took, or, of a step that makes a stream, those that it made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemTally {
    /// Items with which the step did its work.
    pub done: u64,
    /// Items with which it could not.
    pub failed: u64,
    /// Calls that were made again: one for each item and further attempt.
    pub retried: u64,
    /// The faults of the first failed items, at most [`ItemTally::FAULTS_MAX`], in their order.
    pub faults: Vec<(ItemOrdinal, Fault)>,
    /// The fault of the step as a whole, if there is one. Then the counts mean nothing.
    pub whole: Option<Fault>,
}

impl ItemTally {
    /// The number of faults that are kept; the others are only counted.
    pub const FAULTS_MAX: usize = 20;

    /// Counts an item that failed.
    pub fn fail(&mut self, place: ItemOrdinal, fault: Fault) {
        self.failed += 1;
        self.keep(place, fault);
    }

    fn keep(&mut self, place: ItemOrdinal, fault: Fault) {
        let at = self.faults.partition_point(|(before, _)| *before <= place);
        if at < ItemTally::FAULTS_MAX {
            self.faults.insert(at, (place, fault));
            self.faults.truncate(ItemTally::FAULTS_MAX);
        }
    }

    /// Adds the counts of another tally of the same step.
    pub fn add(&mut self, other: &ItemTally) {
        self.done += other.done;
        self.failed += other.failed;
        self.retried += other.retried;
        other.faults.iter().for_each(|(place, fault)| self.keep(*place, fault.clone()));
        other.whole.iter().for_each(|fault| self.fail_whole(fault.clone()));
    }

    /// The faults by the places of their items, as people count them.
    pub fn item_faults(&self) -> Vec<ItemFault> {
        let fault = |(place, fault): &(ItemOrdinal, Fault)| ItemFault {
            item: place.to_string(),
            fault: fault.clone(),
        };
        self.faults.iter().map(fault).collect()
    }

    /// Notes a fault of the step as a whole. The first one counts.
    pub fn fail_whole(&mut self, fault: Fault) {
        self.whole.get_or_insert(fault);
    }
}
