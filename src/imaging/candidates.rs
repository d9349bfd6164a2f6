//! Candidates: the sets of CT slices in a study that may be one volume.
//!
//! A series is one candidate in the simple case. Instances that cannot be part of a volume of CT numbers
//! are left out, each with its reason. A series is taken apart where its slices have different sizes, pixel
//! spacings or orientations, and where an attribute tells several slices at one place, or slices between each other,
//! apart: temporal position, acquisition, kernel and others (see `imaging/slice_sets.rs`). Copies of a slice under
//! another SOP Instance UID count once. Series that are parts of one stack are joined (see `imaging/split_series.rs`).

use std::collections::BTreeMap;

use crate::printable::counted;
use crate::step::StepReservation;

use super::InstanceHeader;
use super::preview::have_same_pixels;
use super::slice_obstacle::SliceObstacle;
use super::slice_sets::{SetsApart, SliceSets, doubles, interleaved_sets, numbered_runs, sets_apart};
use super::slices::{AxialSlice, align};
use super::split_series::{few_slices, joined_series};
use super::table_steps::without_overlaps;

/// Slices of one kind in order along their normal, and how they came to be this set.
pub struct Candidate<'a> {
    pub slices: Vec<AxialSlice<'a>>,
    /// The series and, if it was taken apart, which part of it this is.
    pub label: String,
    /// Instances that were left out of this set, for the report.
    pub remarks: Vec<String>,
    /// Doubts whether its slices belong together.
    pub reservations: Vec<StepReservation>,
}

impl Candidate<'_> {
    /// Distance between the first and the last slice in mm.
    pub fn coverage_mm(&self) -> f64 {
        match &self.slices[..] {
            [first, .., last] => last.along_mm - first.along_mm,
            _ => 0.0,
        }
    }
}

/// Candidates for a volume in a study, and the instances that were left out.
pub struct Candidates<'a> {
    pub usable: Vec<Candidate<'a>>,
    /// Instances that can be part of no volume, by series and reason.
    pub left_out: Vec<LeftOut>,
    /// The reason why none of several series has enough slices, as a fragment.
    pub few_slices: Option<String>,
}

/// Instances of one series that were left out for one reason.
pub struct LeftOut {
    pub series_label: String,
    pub obstacle: SliceObstacle,
    pub reason: String,
    pub count: usize,
    /// They are frames of an object.
    pub are_frames: bool,
}

impl LeftOut {
    pub fn remark(&self) -> String {
        let LeftOut { series_label, reason, count, .. } = self;
        let what = counted(*count, if self.are_frames { "frame" } else { "instance" });
        format!("{series_label}: {what} left out, {reason}")
    }
}

/// Sorts the instances of a study into candidates. A candidate of fewer than `slices_least` slices is left
/// out where another part of its series has more.
pub fn candidates<'a>(headers: &[&'a InstanceHeader], slices_least: usize) -> Candidates<'a> {
    let mut series: BTreeMap<&str, Vec<AxialSlice>> = BTreeMap::new();
    let mut left_out: BTreeMap<(String, String, SliceObstacle, bool), usize> = BTreeMap::new();
    for header in headers {
        match SliceObstacle::check(header) {
            Ok(slice) => series.entry(&header.series_instance_uid).or_default().push(slice),
            Err((obstacle, reason)) => {
                let key = (header.series_label(), reason, obstacle, header.frame.is_some());
                *left_out.entry(key).or_default() += 1;
            }
        }
    }
    let left_out = left_out.into_iter().map(|((series_label, reason, obstacle, are_frames), count)| {
        LeftOut { series_label, obstacle, reason, count, are_frames }
    });
    let stacks = joined_series(series.into_values(), slices_least);
    let few_slices = few_slices(&stacks, slices_least);
    let usable = stacks.into_iter().flat_map(|slices| parts(slices, slices_least));
    Candidates { usable: usable.collect(), left_out: left_out.collect(), few_slices }
}

/// Takes a series apart where its slices cannot be one volume.
fn parts(slices: Vec<AxialSlice>, slices_least: usize) -> Vec<Candidate> {
    let mut kinds: Vec<Vec<AxialSlice>> = Vec::new();
    for slice in slices {
        match kinds.iter_mut().find(|kind| kind[0].is_like(&slice)) {
            Some(kind) => kind.push(slice),
            None => kinds.push(vec![slice]),
        }
    }
    kinds.iter_mut().for_each(|kind| align(kind));
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.len()));
    let is_taken_apart = kinds.len() > 1;
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut odd: BTreeMap<&'static str, usize> = BTreeMap::new();
    for kind in kinds {
        match candidates.first() {
            Some(first) if kind.len() < slices_least => {
                *odd.entry(first.slices[0].difference(&kind[0])).or_default() += kind.len();
            }
            _ => {
                let [rows, columns] = [kind[0].header.rows, kind[0].header.columns];
                let label = kind[0].header.series_label();
                let label =
                    if is_taken_apart { format!("{label}, {columns} × {rows} pixels") } else { label };
                candidates.extend(phases(kind, &label, slices_least));
            }
        }
    }
    for candidate in &mut candidates {
        let remarks = odd.iter().map(|(what, count)| {
            let verb = if *count == 1 { "instance has" } else { "instances have" };
            format!("{}: {count} {verb} another {what} than the others, left out", candidate.label)
        });
        candidate.remarks.extend(remarks);
    }
    candidates
}

/// Tells slices at one place, or between each other, apart, if an attribute does.
fn phases<'a>(mut slices: Vec<AxialSlice<'a>>, label: &str, slices_least: usize) -> Vec<Candidate<'a>> {
    slices.sort_by(AxialSlice::order);
    let mut remarks = Vec::new();
    let doubles = doubles(&slices);
    if doubles == 0 {
        return match interleaved_sets(&slices, slices_least) {
            Some((name, sets)) => one_of_each(name, sets, label, slices_least),
            None => vec![without_overlap(slices, label)],
        };
    }
    if let Some(SetsApart { name, sets, are_neighbours }) = sets_apart(&slices, slices_least) {
        if !are_neighbours {
            return one_of_each(name, sets, label, slices_least);
        }
        slices.dedup_by(|later, earlier| later.is_at_place_of(earlier));
        let verb = if doubles == 1 { "slice of" } else { "slices of" };
        remarks.push(format!(
            "{doubles} {verb} {label} at the place of a slice of another {name}: the first one is used"
        ));
        return vec![Candidate { slices, label: label.to_owned(), remarks, reservations: Vec::new() }];
    }
    let copies = without_copies(&mut slices);
    if copies > 0 {
        let verb = if copies == 1 { "slice is" } else { "slices are" };
        remarks.push(format!(
            "{copies} {verb} in {label} twice, with the same pixels under other SOP Instance UIDs: \
             the copies are left out"
        ));
    }
    match numbered_runs(&slices, slices_least) {
        Some(runs) => one_of_each("instance number", runs, label, slices_least),
        None => vec![Candidate { slices, label: label.to_owned(), remarks, reservations: Vec::new() }],
    }
}

/// Slices as a candidate, without those of a station that lie between slices of the one before.
fn without_overlap<'a>(slices: Vec<AxialSlice<'a>>, label: &str) -> Candidate<'a> {
    let (count, label) = (slices.len(), label.to_owned());
    let Some(kept) = without_overlaps(&slices) else {
        return Candidate { slices, label, remarks: Vec::new(), reservations: Vec::new() };
    };
    let text = format!(
        "{} of {label} were left out, between those of another acquisition, as where two stations of the table overlap: if \
         these are two breaths or two phases, volumes and densities are wrong where they meet",
        counted(count - kept.len(), "slice")
    );
    let reservations = vec![StepReservation { code: "table_steps".to_owned(), text }];
    Candidate { slices: kept, label, remarks: Vec::new(), reservations }
}

/// A candidate, or several, for each set of slices that an attribute tells from the others.
fn one_of_each<'a>(name: &str, sets: SliceSets<'a>, label: &str, slices_least: usize) -> Vec<Candidate<'a>> {
    let remark = format!("{label} holds {} sets of slices that differ in {name}: one is used", sets.len());
    let parts = sets.into_iter().flat_map(|(value, slices)| {
        let value = if value.is_empty() { "none" } else { &value };
        let mut parts = phases(slices, &format!("{label}, {name} {value}"), slices_least);
        parts.iter_mut().for_each(|part| part.remarks.insert(0, remark.clone()));
        parts
    });
    parts.collect()
}

/// Removes slices that repeat the pixels of the one before them at the same place.
fn without_copies(slices: &mut Vec<AxialSlice>) -> usize {
    let whole = slices.len();
    slices.dedup_by(|later, earlier| {
        later.is_at_place_of(earlier) && have_same_pixels(later.header, earlier.header)
    });
    whole - slices.len()
}

impl AxialSlice<'_> {
    /// Whether both can be slices of one volume.
    fn is_like(&self, other: &AxialSlice) -> bool {
        self.difference(other).is_empty()
    }
}
