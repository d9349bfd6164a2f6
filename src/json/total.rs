//! Totals of whole numbers, by groups.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::step::{Fault, Payload};

/// A number that counts for a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NumberOfGroup {
    /// The value that names the group, as JSON: the number 1 and the text "1" are two groups.
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

/// The totals of the groups, by the value that names each, as JSON.
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
    ///
    /// # Errors
    /// If the sum of the group would not be within ±2^63. The group stays as it was.
    pub fn add(&mut self, group: String, number: i64) -> Result<(), Fault> {
        let entry = self.0.entry(group);
        let before = match &entry {
            Entry::Occupied(group) => *group.get(),
            Entry::Vacant(_) => TotalGroup::default(),
        };
        let (count, sum) = (before.count + 1, before.sum.checked_add(number));
        let sum = sum.ok_or_else(|| {
            let group = entry.key();
            too_large(format!("the sum of group {group}, {} and {number} with its item {count},", before.sum))
        })?;
        *entry.or_default() = TotalGroup { count, sum };
        Ok(())
    }

    /// The groups by their names: a text is its own name. Where another value would have the same one, texts that can be
    /// read as JSON stand in quotation marks.
    pub fn by_name(&self) -> BTreeMap<String, TotalGroup> {
        let named = |name: fn(&str) -> String| -> BTreeMap<String, TotalGroup> {
            self.0.iter().map(|(json, group)| (name(json), *group)).collect()
        };
        let groups = named(plain_name);
        if groups.len() == self.0.len() { groups } else { named(distinct_name) }
    }

    /// All groups together.
    ///
    /// # Errors
    /// If their sum is not within ±2^63.
    pub fn all(&self) -> Result<TotalGroup, Fault> {
        let count = self.0.values().map(|group| group.count).sum();
        // So many groups that this overflows have no room in a memory.
        let sum: i128 = self.0.values().map(|group| i128::from(group.sum)).sum();
        let sum = i64::try_from(sum).map_err(|_| too_large(format!("the sum of all groups, {sum},")))?;
        Ok(TotalGroup { count, sum })
    }
}

fn plain_name(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

fn distinct_name(json: &str) -> String {
    let plain = plain_name(json);
    let is_json = serde_json::from_str::<IgnoredAny>(&plain).is_ok();
    if is_json { json.to_owned() } else { plain }
}

fn too_large(sum: String) -> Fault {
    Fault::new(
        format!("{sum} is not within ±2^63"),
        "Correct the numbers, or give them in a larger unit, so that their sum is smaller.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::FaultKind;

    #[test]
    fn values_of_other_types_are_other_groups_with_other_names() {
        let names = |values: &[&str]| {
            let mut total = JsonTotal::default();
            values.iter().for_each(|json| total.add((*json).to_owned(), 1).unwrap());
            total.by_name().into_keys().collect::<Vec<String>>()
        };
        assert_eq!(names(&["\"b\"", "\"1\"", "\"null\"", "true"]), ["1", "b", "null", "true"]);
        let values = ["null", "\"null\"", "1", "\"1\"", "\"a\"", "\"\\\"1\\\"\"", "\"\\\"null\""];
        let named = ["\"1\"", "\"\\\"1\\\"\"", "\"null", "\"null\"", "1", "a", "null"];
        assert_eq!(names(&values), named);
    }

    #[test]
    fn a_sum_that_is_too_large_is_a_fault_of_the_data_and_names_its_group() {
        let mut total = JsonTotal::default();
        total.add("\"a\"".to_owned(), i64::MAX).unwrap();
        total.add("\"b\"".to_owned(), -5).unwrap();
        assert_eq!(total.all().unwrap(), TotalGroup { count: 2, sum: i64::MAX - 5 });
        let fault = total.add("\"a\"".to_owned(), 7).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Data);
        assert_eq!(
            fault.reason,
            "the sum of group \"a\", 9223372036854775807 and 7 with its item 2, is not within ±2^63"
        );
        assert_eq!(total.0["\"a\""], TotalGroup { count: 1, sum: i64::MAX });
        total.add("\"b\"".to_owned(), 6).unwrap();
        assert!(total.all().unwrap_err().reason.contains("all groups, 9223372036854775808,"));
    }
}
