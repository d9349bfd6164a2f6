//! Slices of several phases or reconstructions in one series.
//!
//! Where an attribute alternates along the patient and the slices of each value are a whole stack of their own, the
//! series is several stacks. Where an attribute changes on the way, or stacks cannot be told apart, the series is used
//! as it is, with a reservation that names what changes, and where.

use std::collections::{BTreeMap, BTreeSet};

use crate::printable::counted;
use crate::step::StepReservation;

use super::InstanceHeader;
use super::slices::{AxialSlice, check_spacing, z};

/// An attribute by which slices may be told apart: its name, and its value in words.
pub type Discriminator = (&'static str, fn(&InstanceHeader) -> String);

pub const DISCRIMINATORS: [Discriminator; 5] = [
    ("temporal position", |header| number(header.temporal_position)),
    ("acquisition", |header| number(header.acquisition_number)),
    ("kernel", |header| header.kernel.clone()),
    ("acquisition time", |header| header.acquisition_time.clone()),
    ("image type", |header| header.image_type.join("\\")),
];

/// Attributes that are one for all slices of a reconstruction. Acquisitions are not: a scan in steps has many.
const OF_RECONSTRUCTION: [Discriminator; 4] = [
    ("temporal position", |header| number(header.temporal_position)),
    ("kernel", |header| header.kernel.trim().to_owned()),
    ("tube voltage", |header| header.peak_kilovoltage.map_or(String::new(), |kv| format!("{kv} kV"))),
    ("image type", |header| header.image_type.join("\\")),
];

/// The share of its length in which each of several stacks lies beside the others. Positions of the table share less.
const SHARED_LENGTH_LEAST: f64 = 0.5;

fn number(number: Option<i32>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}

/// Sets of slices in order, by the value of an attribute.
pub type SliceSets<'a> = BTreeMap<String, Vec<AxialSlice<'a>>>;

pub fn sets_by<'a>(slices: &[AxialSlice<'a>], value: fn(&InstanceHeader) -> String) -> SliceSets<'a> {
    let mut sets = SliceSets::new();
    slices.iter().for_each(|slice| sets.entry(value(slice.header)).or_default().push(*slice));
    sets
}

/// The stacks of a series whose slices, in order, lie between each other, and the attribute that tells them apart.
/// Each is regular, has at least `slices_least` slices and lies beside the others.
pub fn interleaved_sets<'a>(
    slices: &[AxialSlice<'a>],
    slices_least: usize,
) -> Option<(&'static str, SliceSets<'a>)> {
    DISCRIMINATORS.into_iter().find_map(|(name, value)| {
        let sets = sets_by(slices, value);
        let is_stack = |set: &Vec<AxialSlice>| set.len() >= slices_least.max(2) && check_spacing(set).is_ok();
        let are_stacks = sets.len() > 1 && sets.values().all(is_stack);
        (are_stacks && lie_beside_each_other(&sets)).then_some((name, sets))
    })
}

/// Whether stacks share most of the shortest one's length.
fn lie_beside_each_other(sets: &SliceSets) -> bool {
    let ends = |set: &Vec<AxialSlice>| [set[0].along_mm, set[set.len() - 1].along_mm];
    let ends: Vec<[f64; 2]> = sets.values().map(ends).collect();
    let first = ends.iter().map(|[first, _]| *first).fold(f64::NEG_INFINITY, f64::max);
    let last = ends.iter().map(|[_, last]| *last).fold(f64::INFINITY, f64::min);
    let shortest = ends.iter().map(|[first, last]| last - first).fold(f64::INFINITY, f64::min);
    last - first >= SHARED_LENGTH_LEAST * shortest
}

/// Reservations for what changes between the slices of a series, in order along the patient.
pub fn mixed_slices(slices: &[AxialSlice]) -> Vec<StepReservation> {
    let Some(first) = slices.first() else { return Vec::new() };
    let label = first.header.series_label();
    let changes = OF_RECONSTRUCTION.into_iter().filter_map(|(name, value)| {
        let changes = ValueChanges::of(slices, value);
        let (before, after, place) = changes.first?;
        let more = match changes.count {
            1 => String::new(),
            count => format!(" and at {}", counted(count - 1, "further place")),
        };
        Some(format!(
            "the {name} of {label} changes from {before} to {after} at z = {place}{more}: densities before and after \
             it are not comparable, so send each reconstruction in a series of its own"
        ))
    });
    let mut texts: Vec<String> = changes.collect();
    let (name, value) = DISCRIMINATORS[1];
    let acquisitions = ValueChanges::of(slices, value);
    if texts.is_empty() && acquisitions.count >= 2 * acquisitions.values.max(1) {
        texts.push(format!(
            "slices of {} alternate in {label} by {name}: if they were not taken in one breath, volumes and densities \
             are wrong, so send each {name} in a series of its own",
            counted(acquisitions.values, name)
        ));
    }
    let reservation = |text| StepReservation { code: "mixed_slices".to_owned(), text };
    texts.into_iter().map(reservation).collect()
}

/// The changes of a value from slice to slice; slices without one do not count.
struct ValueChanges {
    /// The values at the first change, and its place.
    first: Option<(String, String, String)>,
    count: usize,
    /// The number of different values.
    values: usize,
}

impl ValueChanges {
    fn of(slices: &[AxialSlice], value: fn(&InstanceHeader) -> String) -> ValueChanges {
        let told = slices.iter().map(|slice| (value(slice.header), slice));
        let told: Vec<(String, &AxialSlice)> = told.filter(|(value, _)| !value.is_empty()).collect();
        let changes: Vec<_> = told.windows(2).filter(|pair| pair[0].0 != pair[1].0).collect();
        let first = changes.first().map(|pair| (pair[0].0.clone(), pair[1].0.clone(), z(pair[1].1)));
        let values = told.iter().map(|(value, _)| value).collect::<BTreeSet<_>>().len();
        ValueChanges { first, count: changes.len(), values }
    }
}
