//! Series of which only a part was received again with other pixels, rescale values or geometry.
//!
//! The rest may be of another reconstruction, which no attribute need tell. So the request names these series
//! in its attribute [`MIXED_SERIES`], until they are received again as a whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::imaging::InstanceHeader;
use crate::step::{AttributeValues, Item, Request};

use super::replacement::instance_key;

/// The request's attribute with the Series Instance UIDs of mixed series.
pub(in crate::dicom) const MIXED_SERIES: &str = "mixed_series";

/// The arrivals of the instances of one study, in their order.
#[derive(Clone, Debug, Default)]
pub(in crate::dicom) struct ArrivalOrder {
    arrivals: u64,
    instances: BTreeMap<String, InstanceHistory>,
}

#[derive(Clone, Debug, Default)]
struct InstanceHistory {
    series_instance_uid: String,
    /// How often the instance was received.
    count: u64,
    /// Position of its last arrival among all arrivals.
    last: u64,
    /// Position of the first arrival with other contents.
    replaced: Option<u64>,
}

impl ArrivalOrder {
    /// Notes that an instance was received.
    pub fn note(&mut self, name: &str, series_instance_uid: &str) {
        self.arrivals += 1;
        let one = self.instances.entry(instance_key(name).to_owned()).or_default();
        one.series_instance_uid = series_instance_uid.to_owned();
        one.count += 1;
        one.last = self.arrivals;
    }

    /// Notes that the last arrival of an instance has replaced its contents.
    pub fn note_replaced(&mut self, name: &str) {
        if let Some(one) = self.instances.get_mut(instance_key(name)) {
            one.replaced.get_or_insert(one.last);
        }
    }

    /// The mixed series: those with an instance that was replaced, and one that was there before and was not
    /// received as often.
    pub fn mixed_series(&self) -> BTreeSet<String> {
        // The first replacement in each series, and the most arrivals of an instance that was replaced.
        let mut replaced: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for one in self.instances.values() {
            let Some(at) = one.replaced else { continue };
            let (first, count) = replaced.entry(&one.series_instance_uid).or_insert((at, one.count));
            (*first, *count) = ((*first).min(at), (*count).max(one.count));
        }
        let is_left = |one: &&InstanceHistory| {
            let replaced = replaced.get(one.series_instance_uid.as_str());
            replaced.is_some_and(|(first, count)| one.last < *first && one.count < *count)
        };
        self.instances.values().filter(is_left).map(|one| one.series_instance_uid.clone()).collect()
    }
}

/// The mixed series of a request that was merged with a later one. Of the later one these instances, by the keys
/// of their names, have replaced earlier ones; of the earlier one these were left as they are.
pub(in crate::dicom) fn mixed_after(
    earlier: &Request,
    later: &Request,
    replaced: &BTreeSet<String>,
    left: &[Item],
) -> AttributeValues {
    let values = |request: &Request| -> BTreeSet<String> {
        let values = request.attributes.get(MIXED_SERIES).into_iter().flat_map(AttributeValues::iter);
        values.filter(|value| !value.is_empty()).map(str::to_owned).collect()
    };
    let mut mixed = values(later);
    let mut suspects = values(earlier);
    let replacing = later.items.iter().filter(|item| replaced.contains(instance_key(&item.name)));
    suspects.extend(replacing.filter_map(series_of));
    if !suspects.is_empty() {
        let left: BTreeSet<String> = left.iter().filter_map(series_of).collect();
        mixed.extend(suspects.intersection(&left).cloned());
    }
    mixed.into_iter().collect()
}

fn series_of(item: &Item) -> Option<String> {
    let header = InstanceHeader::read(&item.name, item.path()?).ok()?;
    Some(header.series_instance_uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instances of series `s`, with capital letters for those that replace others.
    fn mixed(arrivals: &str) -> bool {
        let mut order = ArrivalOrder::default();
        for letter in arrivals.chars() {
            let name = format!("1.{}.dcm", letter.to_ascii_lowercase());
            order.note(&name, "s");
            if letter.is_ascii_uppercase() {
                order.note_replaced(&name);
            }
        }
        order.mixed_series() == BTreeSet::from(["s".to_owned()])
    }

    #[test]
    fn a_series_is_mixed_where_a_part_was_not_received_again() {
        for arrivals in ["abcdAB", "abcdCD", "abcdabcdAB", "abA", "abcdABab"] {
            assert!(mixed(arrivals), "{arrivals}");
        }
    }

    #[test]
    fn a_series_that_was_received_again_as_a_whole_is_not_mixed() {
        // The sender broke off and began anew; some slices are equal in both reconstructions.
        for arrivals in ["abcd", "abcdABCD", "abABcd", "abcdabCD", "abcdab", "abcdABcd"] {
            assert!(!mixed(arrivals), "{arrivals}");
        }
    }
}
