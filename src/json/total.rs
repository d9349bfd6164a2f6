//! Totals of whole numbers, by groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::step::Payload;

/// A number that counts for a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NumberOfGroup {
    /// The text that names the group.
    pub group: String,
    /// The number.
    pub number: i64,
}

impl Payload for NumberOfGroup {
    const TYPE: &'static str = "number-of-group";

    fn bytes_in_memory(&self) -> usize {
        size_of::<Self>() + self.group.len()
    }
}

/// The totals of the groups, by the text that names each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonTotal(pub BTreeMap<String, TotalGroup>);

/// The total of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalGroup {
    /// Items.
    pub count: u64,
    /// The sum of their numbers: whole and exact, so that no order matters.
    pub sum: i64,
}

impl Payload for JsonTotal {
    const TYPE: &'static str = "json-total";
}

impl JsonTotal {
    /// Adds a number to a group.
    pub fn add(&mut self, group: String, number: i64) {
        let group = self.0.entry(group).or_default();
        group.count += 1;
        group.sum = group.sum.checked_add(number).expect("the sum is below 2^63");
    }

    /// All groups together.
    pub fn all(&self) -> TotalGroup {
        let add = |all: TotalGroup, group: &TotalGroup| TotalGroup {
            count: all.count + group.count,
            sum: all.sum.checked_add(group.sum).expect("the sum is below 2^63"),
        };
        self.0.values().fold(TotalGroup::default(), add)
    }
}
