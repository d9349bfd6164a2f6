//! `sort-series`: one series of axial CT slices, chosen by rule, complete and in order.
//!
//! Candidates are the sets of CT Image Storage instances, or frames of enhanced CT objects, in Hounsfield
//! units that can be one volume (see `imaging/candidates.rs`). Out of them the rule keeps, one after another,
//!
//! 1. those with enough slices,
//! 2. those that show at least 90 % of the lung that any of them shows, by a coarse look at their pixels,
//! 3. original primary images before derived ones,
//! 4. those that cover at least 90 % of the widest range along the patient,
//! 5. the thinnest spacing (within 10 %), because thick slices blur low densities,
//! 6. the softest kernel, because sharp ones spread the densities that are counted,
//! 7. those without a contrast agent,
//! 8. the most slices; then the lowest series number and UID.
//!
//! Slices at either end that show nothing, not even noise, are left out: nothing was imaged there.
//!
//! If the first choice is no regular grid, for example because a slice of it is missing, the next best of
//! those that show the lungs is taken. The remarks say what was passed over, and why. Feet-first and prone
//! studies need no care, as positions are the patient's own; slices shifted by a tilted gantry are moved
//! upright when the volume is assembled; sagittal and coronal reformats are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::imaging::body_size::least_lungs_ml;
use crate::imaging::candidates::{Candidate, Candidates, LeftOut, candidates};
use crate::imaging::image_type::{ImageKind, computed_images};
use crate::imaging::mixed_slices::mixed_slices;
use crate::imaging::patients::{PatientDifferences, check_patient};
use crate::imaging::preview::{self, LungPreview};
use crate::imaging::slice_obstacle::SliceObstacle;
use crate::imaging::slices::{AxialSlice, check_spacing, off_line, shifts, z};
use crate::imaging::split_series::{joined_remark, several_series};
use crate::imaging::stated_scale::stated_scale;
use crate::imaging::table_steps::TableSteps;
use crate::imaging::{InstanceHeader, SortedSeries};
use crate::printable::counted;
use crate::step::{BuiltIn, Fault, Parameter, Step, StepOutputs, StepReservation, StepReservations};

/// Slices further apart than this make volumes coarse, which is remarked.
const SPACING_MM_FINE: f64 = 5.0;

/// Slices further apart than this many times their thickness leave tissue out between them.
const SPACING_TO_THICKNESS_MOST: f64 = 1.5;

fn step() -> Step {
    Step::new("sort-series", 12, "Chooses one series of axial CT slices, checks it and puts it in order.")
        .takes_each::<InstanceHeader>("headers")
        .gives::<SortedSeries>("series")
        .gives::<StepReservations>("reservations")
        .parameter(
            Parameter::number("slices_least", 10.0, 2.0, 10_000.0, "")
                .about("A series of fewer slices is refused."),
        )
        .runs(|call| {
            let series = sort_series(&call.each("headers"), call.number("slices_least") as usize)?;
            let reservations = StepReservations(series.reservations.clone());
            Ok(StepOutputs::default().with("series", series).with("reservations", reservations))
        })
}

inventory::submit! { BuiltIn(step) }

/// Chooses, checks and sorts.
///
/// # Errors
/// If the instances name several patients, two of them have one SOP Instance UID, there is no axial CT series in Hounsfield units, or none of
/// those that show the lungs is a regular grid.
pub fn sort_series(headers: &[&InstanceHeader], slices_least: usize) -> Result<SortedSeries, Fault> {
    let PatientDifferences { mut remarks, mut reservations } = check_patient(headers)?;
    check_instances(headers)?;
    let slices: Vec<InstanceHeader> = headers.iter().flat_map(|header| header.slices()).collect();
    let slices: Vec<&InstanceHeader> = slices.iter().collect();
    let Candidates { usable, left_out, few_slices } = candidates(&slices, slices_least);
    if usable.is_empty() {
        return Err(no_candidate(headers, &left_out));
    }
    if let Some(reason) = few_slices {
        let fault = Fault::new(reason, "Send the whole series of thin slices, with one Series Instance UID.");
        return Err(with_remarks(fault, left_out.iter().map(LeftOut::remark)));
    }
    remarks.extend(left_out.iter().map(LeftOut::remark));
    let (mut passed_over, mut first_fault) = (Vec::new(), None);
    for candidate in ranked(usable, slices_least, &mut remarks) {
        let candidate = without_blank_ends(candidate);
        match regular(&candidate, slices_least) {
            Ok(series) => {
                remarks.extend(passed_over);
                remarks.extend(series.remarks);
                reservations.extend(series.reservations);
                reservations.extend(frames_left_out(&candidate, &left_out));
                return Ok(SortedSeries { remarks, reservations, ..series });
            }
            Err(fault) => {
                passed_over.push(format!("{} passed over: {}", candidate.label, fault.reason));
                first_fault = first_fault.or(Some(with_left_out(fault, &candidate, &left_out)));
            }
        }
    }
    Err(first_fault.expect("the ranking keeps the best candidate"))
}

/// A reservation if frames of the object that is measured have no place or no pixels: what they show is missing.
fn frames_left_out(candidate: &Candidate, left_out: &[LeftOut]) -> Option<StepReservation> {
    let label = candidate.slices[0].header.series_label();
    let is_lost = |one: &&LeftOut| {
        one.are_frames && matches!(one.obstacle, SliceObstacle::Frames | SliceObstacle::Place)
    };
    let lost: Vec<&LeftOut> =
        left_out.iter().filter(|one| one.series_label == label).filter(is_lost).collect();
    let first = lost.first()?;
    let count: usize = lost.iter().map(|one| one.count).sum();
    let verb = if count == 1 { "is" } else { "are" };
    let text = format!(
        "{} of {label} {verb} left out, {}: what they show is not measured, so send the series again as the scanner \
         made it",
        counted(count, "frame"),
        first.reason
    );
    Some(StepReservation { code: "frames_left_out".to_owned(), text })
}

/// A reservation if slices have other rescale values than the first one, as where a part of a series was received
/// again after another reconstruction.
fn mixed_rescale(slices: &[InstanceHeader]) -> Option<StepReservation> {
    let values = |slice: &InstanceHeader| (slice.slope, slice.intercept);
    let first = values(slices.first()?);
    let others = slices.iter().filter(|slice| values(slice) != first).count();
    let text = format!(
        "{others} of {} slices have other rescale values than the first one: if parts of two reconstructions are \
         mixed, volumes and densities are wrong",
        slices.len()
    );
    (others > 0).then(|| StepReservation { code: "mixed_rescale".to_owned(), text })
}

/// A candidate as a series, if its slices are a regular grid.
fn regular(candidate: &Candidate, slices_least: usize) -> Result<SortedSeries, Fault> {
    let slices = &candidate.slices;
    if slices.len() < slices_least.max(2) {
        return Err(Fault::new(
            format!(
                "{} has {}, at least {slices_least} are needed",
                candidate.label,
                counted(slices.len(), "slice")
            ),
            "Send the whole series of thin slices.",
        ));
    }
    let (slice_spacing, table_steps) = match check_spacing(slices) {
        Ok(spacing) => (spacing, None),
        Err(fault) => {
            let steps = TableSteps::find(slices).ok_or(fault)?;
            (steps.spacing_mm, Some(steps.reservation(slices)))
        }
    };
    let mut remarks = candidate.remarks.clone();
    remarks.extend(spacing_remarks(slices, slice_spacing));
    remarks.extend(frame_of_reference_remark(candidate));
    let mut shifts = shifts(slices);
    match shifts.iter().flatten().map(|shift| shift.abs()).max() {
        None | Some(0) => shifts.clear(),
        Some(most) => remarks.push(format!(
            "the slices of {} lie up to {most} pixels aside of each other, as with a tilted gantry: they were \
             moved upright by whole pixels",
            candidate.label
        )),
    }
    let placed = [bent_stack(candidate, &shifts), stated_scale(slices, slice_spacing)].concat();
    let parts = several_series(slices).into_iter().chain(candidate.reservations.iter().cloned());
    let parts: Vec<StepReservation> = parts.chain(table_steps).collect();
    let mixed = mixed_slices(slices);
    // Where rounded cosines differ, those of the whole stack count.
    let aligned = |slice: &AxialSlice| InstanceHeader {
        orientation: Some(slice.orientation()),
        ..slice.header.clone()
    };
    let slices: Vec<InstanceHeader> = slices.iter().map(aligned).collect();
    let reservations =
        [parts, mixed_rescale(&slices).into_iter().collect(), mixed, placed, computed_images(&slices)]
            .concat();
    Ok(SortedSeries { slices, slice_spacing, shifts, remarks, reservations })
}

/// A reservation if the slices lie aside of each other, but not as a tilted gantry leaves them.
fn bent_stack(candidate: &Candidate, shifts: &[[i32; 2]]) -> Vec<StepReservation> {
    let Some((slice, mm)) = off_line(&candidate.slices, shifts) else { return Vec::new() };
    let text = format!(
        "the slices of {} do not lie along a straight line, that at z = {} is {mm:.0} mm aside of it: they were moved to \
         where their positions say, and if these are wrong, the lungs are torn apart there",
        candidate.label,
        z(slice)
    );
    vec![StepReservation { code: "bent_stack".to_owned(), text }]
}

/// A candidate without the slices at either end that show nothing, so that what they hide is known to be missing.
fn without_blank_ends(mut candidate: Candidate) -> Candidate {
    let imaged = preview::imaged(&candidate.slices);
    let blank = candidate.slices.len() - imaged.len();
    if blank == 0 {
        return candidate;
    }
    let [first, last] = [z(&imaged[0]), z(&imaged[imaged.len() - 1])];
    candidate.slices = imaged.to_vec();
    let verb = if blank == 1 { "shows" } else { "show" };
    candidate.remarks.push(format!(
        "{} of {} {verb} nothing, beyond those from z = {first} to {last}: left out",
        counted(blank, "slice"),
        candidate.label
    ));
    candidate
}

fn spacing_remarks(slices: &[AxialSlice], slice_spacing: f64) -> Vec<String> {
    let mut remarks = Vec::new();
    if slice_spacing > SPACING_MM_FINE {
        remarks.push(format!("the slices are {slice_spacing:.1} mm apart: volumes and densities are coarse"));
    }
    let thin = slices[0].header.slice_thickness.filter(|thickness| *thickness > 0.0);
    if let Some(thickness) = thin.filter(|thickness| slice_spacing > SPACING_TO_THICKNESS_MOST * thickness) {
        remarks.push(format!(
            "slices {thickness:.1} mm thick lie {slice_spacing:.1} mm apart: part of the series may be missing"
        ));
    }
    remarks
}

/// De-identification tools give each instance a Frame of Reference UID of its own, or remove some. The
/// positions decide: they form a regular grid here.
fn frame_of_reference_remark(candidate: &Candidate) -> Option<String> {
    let frames: BTreeSet<&str> =
        candidate.slices.iter().map(|slice| slice.header.frame_of_reference_uid.as_str()).collect();
    let count = frames.len();
    (count > 1).then(|| {
        format!(
            "the slices of {} name {count} frames of reference: they were taken for one, as their positions \
             form one grid",
            candidate.label
        )
    })
}

/// A slice that was left out may be the one that is missing.
fn with_left_out(fault: Fault, candidate: &Candidate, left_out: &[LeftOut]) -> Fault {
    let label = candidate.slices[0].header.series_label();
    let of_series = left_out.iter().filter(|one| one.series_label == label).map(LeftOut::remark);
    let joined = joined_remark(&candidate.slices);
    with_remarks(fault, joined.into_iter().chain(candidate.remarks.iter().cloned()).chain(of_series))
}

fn with_remarks(fault: Fault, remarks: impl Iterator<Item = String>) -> Fault {
    let remarks: Vec<String> = remarks.collect();
    if remarks.is_empty() {
        return fault;
    }
    Fault::new(format!("{} ({})", fault.reason, remarks.join("; ")), fault.remedy)
}

/// Each image has a SOP Instance UID of its own: of two files with one UID nothing says which one is right.
/// (Of received instances the last one is used.)
fn check_instances(headers: &[&InstanceHeader]) -> Result<(), Fault> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut twice: Vec<(&str, &str)> = Vec::new();
    for header in headers.iter().filter(|header| header.is_ct_image() && !header.sop_instance_uid.is_empty())
    {
        match seen.get(header.sop_instance_uid.as_str()) {
            Some(first) => twice.push((first, &header.name)),
            None => _ = seen.insert(&header.sop_instance_uid, &header.name),
        }
    }
    let Some((first, second)) = twice.first() else { return Ok(()) };
    let more = match twice.len() {
        1 => String::new(),
        count => format!(" (and {})", counted(count - 1, "more pair")),
    };
    Err(Fault::new(
        format!(
            "the files {first} and {second} have the same SOP Instance UID and other contents{more}: it is not \
             known which one is right"
        ),
        "Send one of the two files only, the right one.",
    ))
}

/// A stage of the rule: keeps candidates whose score is at least a share of the best one.
type RuleStage = (fn(&Candidate) -> f64, f64, &'static str);

const STAGES: [RuleStage; 7] = [
    (lung_ml, 0.9, "it shows less of the lungs"),
    (originality, 1.0, "derived images"),
    (|one| one.coverage_mm(), 0.9, "it covers less of the patient"),
    (fineness, 0.9, "its slices are further apart"),
    (softness, 1.0, "its kernel is sharper"),
    (nativeness, 1.0, "a contrast agent was given"),
    (|one| one.slices.len() as f64, 1.0, "it has fewer slices"),
];

/// Less lung than a body of this size has in every candidate tells nothing about which one shows the chest.
fn lung_ml(candidate: &Candidate) -> f64 {
    let LungPreview { lung_ml, body_cm2 } = preview::lung_preview(&candidate.slices);
    if lung_ml >= least_lungs_ml(body_cm2) { lung_ml } else { 0.0 }
}

fn originality(candidate: &Candidate) -> f64 {
    let header = candidate.slices[0].header;
    let is = |index: usize, word| header.image_type.get(index).is_none_or(|value| value == word);
    f64::from(is(0, "ORIGINAL") && is(1, "PRIMARY") && ImageKind::of(header) == ImageKind::Plain)
}

fn fineness(candidate: &Candidate) -> f64 {
    candidate.slices.len() as f64 / candidate.coverage_mm().max(1.0)
}

fn softness(candidate: &Candidate) -> f64 {
    1.0 / (1.0 + sharpness(&candidate.slices[0].header.kernel))
}

/// Blood with a contrast agent makes lungs denser.
fn nativeness(candidate: &Candidate) -> f64 {
    f64::from(candidate.slices.iter().all(|slice| slice.header.contrast_agent.is_empty()))
}

/// The candidates that show the lungs, best first; the others are remarked.
fn ranked<'a>(
    candidates: Vec<Candidate<'a>>,
    slices_least: usize,
    remarks: &mut Vec<String>,
) -> Vec<Candidate<'a>> {
    let most = candidates.iter().map(|one| one.slices.len()).max().unwrap_or(0);
    let (mut best, few): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|one| one.slices.len() >= slices_least.min(most));
    remarks.extend(few.iter().map(|one| {
        let slices = counted(one.slices.len(), "slice");
        format!("{} left out: {slices}, at least {slices_least} are needed", one.label)
    }));
    let mut behind: Vec<Candidate> = Vec::new();
    for (stage, (score, share, reason)) in STAGES.into_iter().enumerate() {
        if best.len() == 1 {
            break;
        }
        let scores: Vec<f64> = best.iter().map(score).collect();
        let least = share * scores.iter().copied().fold(0.0, f64::max);
        let mut kept = Vec::new();
        let mut out = Vec::new();
        for (candidate, score) in best.into_iter().zip(scores) {
            if score >= least { kept.push(candidate) } else { out.push(candidate) }
        }
        best = kept;
        remarks.extend(out.iter().map(|one| format!("{} left out: {reason}", one.label)));
        // A series that does not show the lungs is never the second choice.
        if stage > 0 {
            behind.splice(0..0, out);
        }
    }
    let first = |one: &Candidate| {
        let header = one.slices[0].header;
        (header.series_number, header.series_instance_uid.clone(), one.label.clone())
    };
    best.sort_by_key(first);
    remarks.extend(best.iter().skip(1).map(|one| format!("{} left out: another is as good", one.label)));
    best.extend(behind);
    best
}

/// Why no instance can be a slice: by what most of the CT images lack.
fn no_candidate(headers: &[&InstanceHeader], left_out: &[LeftOut]) -> Fault {
    let mut modalities: BTreeMap<&str, usize> = BTreeMap::new();
    for header in headers {
        *modalities
            .entry(if header.modality.is_empty() { "unknown" } else { &header.modality })
            .or_default() += 1;
    }
    let found: Vec<String> = modalities.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    let remarks: Vec<String> = left_out.iter().map(LeftOut::remark).collect();
    let why = if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join("; ")) };
    let mut counts: BTreeMap<SliceObstacle, usize> = BTreeMap::new();
    left_out.iter().for_each(|one| *counts.entry(one.obstacle).or_default() += one.count);
    // Of as many, the more telling one. Localizers and other objects never tell why.
    let telling = counts.into_iter().filter(|(obstacle, _)| obstacle.of_study().is_some());
    let most = telling.max_by_key(|(obstacle, count)| (*count, std::cmp::Reverse(*obstacle)));
    if let Some([reason, remedy]) = most.and_then(|(obstacle, _)| obstacle.of_study()) {
        return Fault::new(format!("{reason}{why}"), remedy);
    }
    Fault::new(
        format!("the study has no axial CT slices: its instances are {found}{why}"),
        "Send a chest CT as single axial slices (CT Image Storage) with Image Position, Image Orientation and \
         Pixel Spacing.",
    )
}

/// The sharpness of a kernel, as an order only: about 1 for the softest, 8 for the sharpest, 3 if unknown.
/// Siemens (B30f, Br40d) and Canon (FC08, FC51) write it as a number, GE as a word, Philips as a letter.
fn sharpness(kernel: &str) -> f64 {
    let kernel = kernel.to_ascii_uppercase();
    let digits: String =
        kernel.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    if let Ok(number) = digits.parse::<f64>() {
        return number / 10.0;
    }
    match kernel.as_str() {
        "SOFT" | "A" => 1.0,
        "STANDARD" | "B" => 2.0,
        "DETAIL" | "D" => 4.0,
        "CHEST" | "E" => 5.0,
        "LUNG" | "BONE" | "L" => 6.0,
        "BONEPLUS" => 7.0,
        "EDGE" | "ULTRA" => 8.0,
        _ => 3.0,
    }
}

#[cfg(test)]
mod tests;
