//! Slices of several phases or reconstructions in one series that could not be taken apart.
//!
//! Where an attribute changes on the way along the patient, the series is used as it is, with a reservation that names
//! what changes, and where.

use std::collections::BTreeSet;

use crate::printable::counted;
use crate::step::StepReservation;

use super::InstanceHeader;
use super::slice_sets::{ACQUISITION, CONTRAST, IMAGE_TYPE, KERNEL, SliceAttribute, TIME_POSITION, VOLTAGE};
use super::slices::{AxialSlice, z};

/// Attributes that are one for all slices of a reconstruction. Acquisitions are not: a scan in steps has many.
const OF_RECONSTRUCTION: [SliceAttribute; 5] = [TIME_POSITION, KERNEL, VOLTAGE, CONTRAST, IMAGE_TYPE];

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
    let (name, value) = ACQUISITION;
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
