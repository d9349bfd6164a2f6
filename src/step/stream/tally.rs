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
    /// The faults of the first failed items, at most [`ItemTally::FAULTS_MAX`].
    pub faults: Vec<ItemFault>,
    /// The fault of the step as a whole, if there is one. Then the counts mean nothing.
    pub whole: Option<Fault>,
}

impl ItemTally {
    /// The number of faults that are kept; the others are only counted.
    pub const FAULTS_MAX: usize = 20;

    /// Counts an item that failed. Items come in the order of their ordinals.
    pub fn fail(&mut self, place: ItemOrdinal, fault: Fault) {
        self.failed += 1;
        if self.faults.len() < ItemTally::FAULTS_MAX {
            self.faults.push(ItemFault { item: place.to_string(), fault });
        }
    }

    /// Notes a fault of the step as a whole. The first one counts.
    pub fn fail_whole(&mut self, fault: Fault) {
        self.whole.get_or_insert(fault);
    }
}
