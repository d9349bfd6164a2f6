//! Series of which only a part was received again with other pixels, rescale values or geometry.
//!
//! The rest may be of another reconstruction, which no attribute need tell. So the request names these series
//! in its attribute [`MIXED_SERIES`], until they are received again as a whole. In doubt they are named.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::imaging::InstanceHeader;
use crate::step::{AttributeValues, Item, Request};

use super::replacement::{ArrivalEffect, Replacement, instance_key};

/// The request's attribute with the Series Instance UIDs of mixed series.
pub(in crate::dicom) const MIXED_SERIES: &str = "mixed_series";

/// The session of a sender, among those of all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dicom) struct ArrivalSession {
    /// The time at which the process began.
    pub process: u64,
    pub number: u64,
}

/// One arrival of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dicom) struct InstanceArrived {
    /// The name of its item.
    pub name: String,
    /// `None` if it is not known any more.
    pub session: Option<ArrivalSession>,
    pub effect: ArrivalEffect,
}

impl InstanceArrived {
    /// An arrival of which nothing but its effect is known.
    pub fn once(name: &str, effect: ArrivalEffect) -> InstanceArrived {
        InstanceArrived { name: name.to_owned(), session: None, effect }
    }
}

/// The arrivals of the instances of one study, in their order.
#[derive(Clone, Debug, Default)]
pub(in crate::dicom) struct ArrivalOrder {
    arrivals: u64,
    instances: BTreeMap<String, InstanceHistory>,
}

#[derive(Clone, Debug, Default)]
struct InstanceHistory {
    series_instance_uid: String,
    /// Position of its last arrival among all arrivals.
    last: u64,
    /// The session of the last arrival, and how often the instance has arrived in it.
    session: Option<ArrivalSession>,
    count: u64,
    /// How often it was replaced.
    replacements: u64,
    /// Its history at the last replacement.
    replaced: Option<ReplacementPoint>,
}

#[derive(Clone, Copy, Debug)]
struct ReplacementPoint {
    position: u64,
    session: Option<ArrivalSession>,
    count: u64,
    replacements: u64,
}

impl InstanceHistory {
    /// Whether the instance is still of the version that another one of its series had before it was replaced.
    /// It is not if it was received since, or before in the same session and as often there, or was replaced
    /// as often.
    fn is_left_at(&self, other: &ReplacementPoint) -> bool {
        let came_with = self.session.is_some() && self.session == other.session && self.count >= other.count;
        self.last < other.position && self.replacements < other.replacements && !came_with
    }
}

impl ArrivalOrder {
    /// Notes that an instance was received.
    pub fn note(&mut self, arrival: &InstanceArrived, series_instance_uid: &str) {
        self.arrivals += 1;
        let one = self.instances.entry(instance_key(&arrival.name).to_owned()).or_default();
        one.series_instance_uid = series_instance_uid.to_owned();
        let is_same_session = arrival.session.is_some() && one.session == arrival.session;
        one.count = if is_same_session { one.count + 1 } else { 1 };
        (one.session, one.last) = (arrival.session, self.arrivals);
        if arrival.effect == ArrivalEffect::Mixing {
            one.replacements += 1;
            one.replaced = Some(ReplacementPoint {
                position: one.last,
                session: one.session,
                count: one.count,
                replacements: one.replacements,
            });
        }
    }

    /// The mixed series: those with an instance that was replaced, and one that was left as it was.
    pub fn mixed_series(&self) -> BTreeSet<String> {
        let mut replaced: BTreeMap<&str, Vec<&ReplacementPoint>> = BTreeMap::new();
        for one in self.instances.values() {
            let points = one.replaced.iter();
            points.for_each(|point| replaced.entry(&one.series_instance_uid).or_default().push(point));
        }
        let is_left = |one: &&InstanceHistory| {
            let points = replaced.get(one.series_instance_uid.as_str());
            points.is_some_and(|points| points.iter().any(|point| one.is_left_at(point)))
        };
        self.instances.values().filter(is_left).map(|one| one.series_instance_uid.clone()).collect()
    }
}

/// The arrivals in a folder of an earlier process, in their order. What was not noted is doubtful: such instances
/// count as received before all others, and such replacements as the last ones.
pub(in crate::dicom) fn all_arrivals(
    names: &[String],
    noted: Vec<InstanceArrived>,
    replaced: &[Replacement],
) -> Vec<InstanceArrived> {
    let keys: BTreeSet<&str> = noted.iter().map(|one| instance_key(&one.name)).collect();
    let unnoted = names.iter().filter(|name| !keys.contains(instance_key(name)));
    let mut all: Vec<InstanceArrived> =
        unnoted.map(|name| InstanceArrived::once(name, ArrivalEffect::None)).collect();
    let mut mixing: BTreeMap<String, u64> = BTreeMap::new();
    for one in noted.iter().filter(|one| one.effect == ArrivalEffect::Mixing) {
        *mixing.entry(instance_key(&one.name).to_owned()).or_default() += 1;
    }
    all.extend(noted);
    for one in replaced.iter().filter(|one| one.effect() == ArrivalEffect::Mixing) {
        match mixing.get_mut(instance_key(&one.name)) {
            Some(left) if *left > 0 => *left -= 1,
            _ => all.push(InstanceArrived::once(&one.name, ArrivalEffect::Mixing)),
        }
    }
    all
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

    /// Instances of series `s`, with capital letters for those that replace others, and `|` between sessions.
    fn mixed(arrivals: &str) -> bool {
        let mut order = ArrivalOrder::default();
        let mut number = 0;
        for letter in arrivals.chars() {
            if letter == '|' {
                number += 1;
                continue;
            }
            let name = format!("1.{}.dcm", letter.to_ascii_lowercase());
            let effect =
                if letter.is_ascii_uppercase() { ArrivalEffect::Mixing } else { ArrivalEffect::None };
            let session = Some(ArrivalSession { process: 1, number });
            order.note(&InstanceArrived { name, session, effect }, "s");
        }
        order.mixed_series() == BTreeSet::from(["s".to_owned()])
    }

    #[test]
    fn a_series_is_mixed_where_a_part_was_not_received_again() {
        let in_one_session = ["abcdAB", "abcdCD", "abcdabcdAB", "abA", "abcdABab", "abcdABCDAB"];
        let in_several = ["abcd|AB", "abcd|cd|AB", "abcd|c|d|AB", "ab|cd|AB", "abcd|abcd|AB", "abcd|ABCD|AB"];
        for arrivals in in_one_session.iter().chain(&in_several) {
            assert!(mixed(arrivals), "{arrivals}");
        }
    }

    #[test]
    fn a_series_that_was_received_again_as_a_whole_is_not_mixed() {
        // The sender broke off and began anew; some slices are equal in both reconstructions.
        let in_one_session = ["abcd", "abcdABCD", "abABcd", "abcdabCD", "abcdab", "abcdABcd"];
        let in_several =
            ["abcd|abCD", "abcd|ABCD", "a|b|A|B", "abcd|AC|BD", "abcd|AB|ABCD", "abcd|AB|abCD", "abcd|AB|cd"];
        for arrivals in in_one_session.iter().chain(&in_several) {
            assert!(!mixed(arrivals), "{arrivals}");
        }
    }
}
