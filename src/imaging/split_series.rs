//! Slices of one stack in several series, as a broken exporter leaves them that gives each image a Series Instance UID of
//! its own.
//!
//! They are joined where nothing but that UID tells them apart: one regular grid without two slices at one place, of one
//! reconstruction, with instance numbers that say the same. Whole series are parts of one stack only if they have one
//! series number and one frame of reference, too, and the instance numbers go on from one to the next.

use std::collections::{BTreeMap, BTreeSet};

use super::InstanceHeader;
use super::slice_sets::{ACQUISITION, CONTRAST, IMAGE_TYPE, KERNEL, VOLTAGE};
use super::slices::{AxialSlice, align, check_spacing};
use crate::printable::counted;
use crate::step::StepReservation;

/// The slices of each series of a study, those joined that are of one stack. A series has at least `slices_least` slices.
pub fn joined_series<'a>(
    series: impl IntoIterator<Item = Vec<AxialSlice<'a>>>,
    slices_least: usize,
) -> Vec<Vec<AxialSlice<'a>>> {
    let mut alike: BTreeMap<String, Vec<Vec<AxialSlice>>> = BTreeMap::new();
    for slices in series {
        alike.entry(reconstruction(&slices)).or_default().push(slices);
    }
    alike.into_values().flat_map(|series| joined(series, slices_least)).collect()
}

/// The attributes that all slices of one reconstruction have in common, as text.
fn reconstruction(slices: &[AxialSlice]) -> String {
    let Some(AxialSlice { header, .. }) = slices.first() else { return String::new() };
    let values = [KERNEL, VOLTAGE, CONTRAST, IMAGE_TYPE].map(|(_, value)| value(header));
    format!(
        "{:?} {:?} {} {} {values:?}",
        header.series_description, header.manufacturer, header.rows, header.columns
    )
}

/// Series of one reconstruction: as they are, or as one, or as one of each acquisition.
fn joined<'a>(series: Vec<Vec<AxialSlice<'a>>>, slices_least: usize) -> Vec<Vec<AxialSlice<'a>>> {
    let least = slices_least.max(2);
    if series.len() < 2 {
        return series;
    }
    let are_parts = series.iter().any(|slices| slices.len() >= least);
    let stack = |slices: Vec<AxialSlice<'a>>| {
        // By the orientation of each: in order, they have that of all.
        let are_alike = slices.iter().all(|slice| slice.difference(&slices[0]).is_empty());
        let slices = in_order(slices);
        let is_stack = are_alike && slices.len() >= least && is_one_stack(&slices);
        (is_stack && (!are_parts || are_one_series(&slices))).then_some(slices)
    };
    if let Some(whole) = stack(series.concat()) {
        return vec![whole];
    }
    let mut acquisitions: BTreeMap<String, Vec<AxialSlice>> = BTreeMap::new();
    for slice in series.iter().flatten() {
        acquisitions.entry(ACQUISITION.1(slice.header)).or_default().push(*slice);
    }
    let stacks = || acquisitions.into_values().map(stack).collect::<Option<Vec<Vec<AxialSlice>>>>();
    if are_parts { None } else { stacks() }.unwrap_or(series)
}

fn in_order(mut slices: Vec<AxialSlice>) -> Vec<AxialSlice> {
    align(&mut slices);
    slices.sort_by(AxialSlice::order);
    slices
}

/// Whether slices in order are one regular grid, and their numbers do not say otherwise.
fn is_one_stack(slices: &[AxialSlice]) -> bool {
    let frames: BTreeSet<&str> = slices.iter().map(frame_of_reference).collect();
    let is_one_frame = frames.len() == 1;
    let numbers = |number: fn(&InstanceHeader) -> Option<i32>| -> Vec<Option<i32>> {
        slices.iter().map(|slice| number(slice.header)).collect()
    };
    let instances = numbers(|header| header.instance_number);
    // An exporter that makes each image a series may number each as the first one.
    let is_numbered =
        goes_on(&instances) || (is_one_frame && instances.iter().all(|number| *number == instances[0]));
    let acquisitions = numbers(|header| header.acquisition_number);
    // An exporter that makes each image a series may give each a frame of its own, too; a few are registrations.
    (is_one_frame || frames.len() == slices.len())
        && is_numbered
        && (acquisitions.is_sorted() || acquisitions.iter().rev().is_sorted())
        && check_spacing(slices).is_ok()
}

/// Whether slices in order can be parts of one series by their numbers.
fn are_one_series(slices: &[AxialSlice]) -> bool {
    let (first, instances) = (&slices[0], slices.iter().map(|slice| slice.header.instance_number));
    let is_of_first = |slice: &AxialSlice| {
        slice.header.series_number == first.header.series_number
            && frame_of_reference(slice) == frame_of_reference(first)
    };
    first.header.series_number.is_some()
        && slices.iter().all(is_of_first)
        && goes_on(&instances.collect::<Vec<_>>())
}

fn frame_of_reference<'a>(slice: &AxialSlice<'a>) -> &'a str {
    &slice.header.frame_of_reference_uid
}

/// Whether all numbers are there, and go up or go down.
fn goes_on(numbers: &[Option<i32>]) -> bool {
    let is_all = |rises: fn(i32, i32) -> bool| {
        numbers.windows(2).all(|pair| matches!(pair, [Some(one), Some(next)] if rises(*one, *next)))
    };
    is_all(|one, next| one < next) || is_all(|one, next| one > next)
}

/// A reservation if the slices of a volume name several series.
pub fn several_series(slices: &[AxialSlice]) -> Option<StepReservation> {
    let mut uids: Vec<&str> = slices.iter().map(|slice| slice.header.series_instance_uid.as_str()).collect();
    uids.sort_unstable();
    uids.dedup();
    let label = slices.first()?.header.series_label();
    let text = format!(
        "the {} of {label} have {}: they were taken for one series, as their positions form one grid and nothing else tells \
         them apart; if they are of several scans, volumes and densities are wrong, so send the series with one UID",
        counted(slices.len(), "slice"),
        counted(uids.len(), "Series Instance UID")
    );
    (uids.len() > 1).then(|| StepReservation { code: "several_series".to_owned(), text })
}
