//! Slices of one stack in several series, as a broken exporter leaves them that gives each image a Series Instance UID of
//! its own.
//!
//! They are joined where nothing but that UID tells them apart: one regular grid without two slices at one place, of one
//! reconstruction, with instance numbers that say the same. Whole series are parts of one stack only if they have one
//! series number and one frame of reference, too, and the instance numbers go on from one to the next.

use std::collections::{BTreeMap, BTreeSet};

use super::InstanceHeader;
use super::slice_sets::{ACQUISITION, CONTRAST, IMAGE_TYPE, KERNEL, SliceAttribute, VOLTAGE};
use super::slices::{AxialSlice, align, check_spacing};
use crate::printable::counted;
use crate::step::StepReservation;

/// Slices in order along their normal.
type SliceStack<'a> = Vec<AxialSlice<'a>>;

/// How well slices must fit together to be joined.
#[derive(Clone, Copy, PartialEq)]
enum StackFit {
    /// They are one regular grid.
    Regular,
    /// Some may be missing or there twice.
    Nearly,
}

/// The slices of each series of a study, those joined that are of one stack. A series has at least `slices_least` slices.
/// Where none has, series that are a stack but for slices that are missing or doubled are joined as well: then that is told
/// as of one series.
pub fn joined_series<'a>(
    series: impl IntoIterator<Item = SliceStack<'a>>,
    slices_least: usize,
) -> Vec<SliceStack<'a>> {
    let alike = alike(series);
    let joined = |fit: StackFit| -> Vec<SliceStack> {
        alike.values().flat_map(|series| joined(series, slices_least.max(2), fit)).collect()
    };
    let regular = joined(StackFit::Regular);
    if regular.iter().any(|slices| slices.len() >= slices_least) { regular } else { joined(StackFit::Nearly) }
}

/// Series by the attributes that all slices of one reconstruction have in common.
fn alike<'a>(
    series: impl IntoIterator<Item = SliceStack<'a>>,
) -> BTreeMap<[String; RECONSTRUCTION.len()], Vec<SliceStack<'a>>> {
    let mut alike: BTreeMap<_, Vec<SliceStack>> = BTreeMap::new();
    for slices in series {
        let Some(AxialSlice { header, .. }) = slices.first() else { continue };
        alike.entry(RECONSTRUCTION.map(|(_, value)| value(header))).or_default().push(slices);
    }
    alike
}

/// Attributes of a reconstruction.
const RECONSTRUCTION: [SliceAttribute; 7] = [
    ("series description", |header| header.series_description.clone()),
    ("manufacturer", |header| header.manufacturer.clone()),
    ("size", |header| format!("{} × {}", header.columns, header.rows)),
    KERNEL,
    VOLTAGE,
    CONTRAST,
    IMAGE_TYPE,
];

/// Series of one reconstruction: as they are, or as one, or as one of each acquisition.
fn joined<'a>(series: &[SliceStack<'a>], least: usize, fit: StackFit) -> Vec<SliceStack<'a>> {
    if series.len() < 2 {
        return series.to_vec();
    }
    let are_parts = series.iter().any(|slices| slices.len() >= least);
    let stack = |slices: SliceStack<'a>| {
        let slices = as_stack(slices).ok()?;
        let is_stack = slices.len() >= least && (fit == StackFit::Nearly || check_spacing(&slices).is_ok());
        (is_stack && (!are_parts || are_one_series(&slices))).then_some(slices)
    };
    if let Some(whole) = stack(series.concat()) {
        return vec![whole];
    }
    let mut acquisitions: BTreeMap<String, SliceStack> = BTreeMap::new();
    for slice in series.iter().flatten() {
        acquisitions.entry(ACQUISITION.1(slice.header)).or_default().push(*slice);
    }
    let stacks = || acquisitions.into_values().map(stack).collect::<Option<Vec<SliceStack>>>();
    if are_parts { None } else { stacks() }.unwrap_or_else(|| series.to_vec())
}

/// Slices in order, if they can be one stack by what their headers say beside their places; otherwise why they cannot, as a
/// fragment.
fn as_stack(mut slices: SliceStack) -> Result<SliceStack, String> {
    // By the orientation of each: in order, they have that of all.
    let first = slices[0];
    let difference = slices.iter().map(|slice| slice.difference(&first)).find(|what| !what.is_empty());
    if let Some(what) = difference {
        return Err(format!("they differ in {what}"));
    }
    align(&mut slices);
    slices.sort_by(AxialSlice::order);
    // A copy of a slice may have any number: it is passed over, whether it comes first or last.
    let one_of_each_place = |mut slices: SliceStack<'_>| {
        slices.dedup_by(|later, earlier| later.is_at_place_of(earlier));
        check_numbers(&slices)
    };
    let backwards = || one_of_each_place(slices.iter().rev().copied().collect());
    one_of_each_place(slices.clone()).or_else(|why| backwards().map_err(|_| why))?;
    Ok(slices)
}

/// Checks that slices along the patient, each at a place of its own, are numbered as one stack is.
fn check_numbers(slices: &[AxialSlice]) -> Result<(), String> {
    let frames: BTreeSet<&str> = slices.iter().map(frame_of_reference).collect();
    // An exporter that makes each image a series may give each a frame of its own, too; a few are registrations.
    if frames.len() > 1 && frames.len() < slices.len() {
        return Err(format!("they name {} frames of reference", frames.len()));
    }
    let numbers = |number: fn(&InstanceHeader) -> Option<i32>| -> Vec<Option<i32>> {
        slices.iter().map(|slice| number(slice.header)).collect()
    };
    let instances = numbers(|header| header.instance_number);
    // It may number each as the first one.
    let are_same = frames.len() == 1 && instances.iter().all(|number| *number == instances[0]);
    if !are_same && !goes_on(&instances) {
        return Err("their instance numbers neither rise nor fall along the patient".to_owned());
    }
    let acquisitions = numbers(|header| header.acquisition_number);
    if !acquisitions.is_sorted() && !acquisitions.iter().rev().is_sorted() {
        return Err("their acquisition numbers go up and down along the patient".to_owned());
    }
    Ok(())
}

/// The reason why none of several series has enough slices, as a fragment.
pub fn few_slices(series: &[SliceStack], slices_least: usize) -> Option<String> {
    let counts = || series.iter().map(Vec::len);
    let (fewest, most) = (counts().min()?, counts().max()?);
    if series.len() < 2 || most >= slices_least {
        return None;
    }
    let slices = if fewest == most { counted(most, "slice") } else { format!("{fewest} to {most} slices") };
    let few = format!(
        "the study has {} series of {slices} each, and at least {slices_least} slices in one are needed",
        series.len()
    );
    let are_enough = counts().sum::<usize>() >= slices_least;
    let why = if are_enough { why_apart(series) } else { None };
    Some(why.map_or(few.clone(), |why| format!("{few}; they were not joined to one stack, as {why}")))
}

/// The reason why several series are not parts of one stack, as a fragment.
fn why_apart(series: &[SliceStack]) -> Option<String> {
    let reconstructions: Vec<_> = alike(series.iter().cloned()).into_keys().collect();
    let differs = |index: &usize| reconstructions.iter().any(|one| one[*index] != reconstructions[0][*index]);
    let names: Vec<&str> =
        (0..RECONSTRUCTION.len()).filter(differs).map(|index| RECONSTRUCTION[index].0).collect();
    if names.is_empty() {
        as_stack(series.concat()).err()
    } else {
        Some(format!("they differ in {}", names.join(", ")))
    }
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

/// The number of series that slices name.
fn series_count(slices: &[AxialSlice]) -> usize {
    let uids: BTreeSet<&str> = slices.iter().map(|slice| slice.header.series_instance_uid.as_str()).collect();
    uids.len()
}

/// A remark on slices that name several series, for the reason why they are no volume.
pub fn joined_remark(slices: &[AxialSlice]) -> Option<String> {
    let count = series_count(slices);
    (count > 1).then(|| {
        format!(
            "its {} have {count} Series Instance UIDs and were taken for one series",
            counted(slices.len(), "slice")
        )
    })
}

/// A reservation if the slices of a volume name several series.
pub fn several_series(slices: &[AxialSlice]) -> Option<StepReservation> {
    let count = series_count(slices);
    let label = slices.first()?.header.series_label();
    let text = format!(
        "the {} of {label} have {count} Series Instance UIDs: they were taken for one series, as their positions form one \
         grid and nothing else tells them apart; if they are of several scans, volumes and densities are wrong, so send the \
         series with one UID",
        counted(slices.len(), "slice"),
    );
    (count > 1).then(|| StepReservation { code: "several_series".to_owned(), text })
}
