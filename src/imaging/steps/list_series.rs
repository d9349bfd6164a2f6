//! `list-series`: the series of a study of any modality, with checks that need no look at the pixels.
//!
//! A finding is no fault: the study is listed whatever it holds. Instances of several patients, and two contents under
//! one SOP Instance UID, are a reservation as well: the list is of more than one study then. Checked are identifiers (PS3.5 9.1), repeated
//! instances, gaps between instance numbers, the distances of axial slices, and whether flow can decode the
//! pixels.

use std::collections::{BTreeMap, BTreeSet};

use dicom_core::dictionary::{UidDictionary, UidDictionaryEntry};
use dicom_dictionary_std::sop_class::StandardSopClassDictionary;

use crate::dicom_file::uid::is_standard_uid;
use crate::imaging::codecs::syntax_name;
use crate::imaging::patients::{check_patient, patient_differences};
use crate::imaging::slices::{AxialSlice, align, check_spacing};
use crate::imaging::{InstanceHeader, SeriesEntry, StudyInventory, can_decode};
use crate::printable::counted;
use crate::step::{BuiltIn, Step, StepOutputs, StepReservations};

/// The most gaps between instance numbers that are told; more are a numbering of another kind.
const NUMBERS_MISSING_MOST: usize = 20;

/// Lists the series of a study.
pub fn list_series(headers: &[&InstanceHeader]) -> StudyInventory {
    let mut series: BTreeMap<(Option<i32>, &str), Vec<&InstanceHeader>> = BTreeMap::new();
    for header in headers {
        let key = (header.series_number, header.series_instance_uid.as_str());
        series.entry(key).or_default().push(header);
    }
    StudyInventory { series: series.into_values().map(entry).collect(), findings: study_findings(headers) }
}

fn study_findings(headers: &[&InstanceHeader]) -> Vec<String> {
    let names: BTreeSet<&str> = headers.iter().map(|header| header.patient_name.as_str()).collect();
    let differences = patient_differences(headers).into_iter();
    let mut findings: Vec<String> = differences.map(|one| format!("the instances have {one}")).collect();
    if names.len() > 1 {
        findings.push(format!("the instances have {} different Patient's Names", names.len()));
    }
    if headers.iter().any(|header| header.patient_id.is_empty()) {
        findings.push(counted_where(headers, "without a Patient ID", |header| header.patient_id.is_empty()));
    }
    findings
}

/// What keeps the list from being one of one study of one patient.
fn reservations(headers: &[&InstanceHeader]) -> StepReservations {
    let mut reservations = StepReservations::default();
    match check_patient(headers) {
        Ok(differences) => reservations.0.extend(differences.reservations),
        Err(fault) => reservations.say("several_patients", fault.reason),
    }
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut repeated: Vec<(&str, &str)> = Vec::new();
    for header in headers.iter().filter(|header| !header.sop_instance_uid.is_empty()) {
        match seen.get(header.sop_instance_uid.as_str()) {
            Some(first) => repeated.push((first, &header.name)),
            None => _ = seen.insert(&header.sop_instance_uid, &header.name),
        }
    }
    if let Some((first, second)) = repeated.first() {
        let more = match repeated.len() {
            1 => String::new(),
            count => format!(" (and {})", counted(count - 1, "more pair")),
        };
        let text = format!(
            "the files {first} and {second} have the same SOP Instance UID and other contents{more}: both are listed"
        );
        reservations.say("repeated_instances", text);
    }
    reservations
}

/// How many of the instances a condition holds for, in words.
fn counted_where(headers: &[&InstanceHeader], what: &str, is: impl Fn(&InstanceHeader) -> bool) -> String {
    format!("{} {what}", counted(headers.iter().filter(|header| is(header)).count(), "instance"))
}

fn entry(mut instances: Vec<&InstanceHeader>) -> SeriesEntry {
    instances.sort_by_key(|header| (header.instance_number, &header.sop_instance_uid));
    let middle = instances[instances.len() / 2];
    let images: Vec<&InstanceHeader> =
        instances.iter().copied().filter(|header| header.decoded_bytes() > 0).collect();
    let axial = spacing(&images);
    let mut findings = findings(&instances);
    findings.extend(axial.as_ref().and_then(|spacing| spacing.as_ref().err()).cloned());
    SeriesEntry {
        series_instance_uid: middle.series_instance_uid.clone(),
        number: middle.series_number,
        description: middle.series_description.clone(),
        modality: middle.modality.clone(),
        classes: tally(&instances, |header| class_name(&header.sop_class_uid)),
        transfer_syntaxes: tally(&instances, |header| syntax_name(&header.transfer_syntax_uid)),
        instances: instances.len(),
        frames: images.iter().map(|header| u64::from(header.frames)).sum(),
        size: common(images.iter().map(|header| [header.columns, header.rows])),
        pixel_spacing_mm: common(images.iter().map(|header| header.spacing)).flatten(),
        slice_spacing_mm: axial.and_then(Result::ok),
        findings,
        middle: InstanceHeader { frame_attributes: Vec::new(), ..middle.clone() },
    }
}

fn findings(instances: &[&InstanceHeader]) -> Vec<String> {
    let uids: BTreeSet<&str> = instances.iter().map(|header| header.sop_instance_uid.as_str()).collect();
    let repeated = instances.len() - uids.len();
    let is_odd = |header: &InstanceHeader| {
        !is_standard_uid(&header.sop_instance_uid) || !is_standard_uid(&header.series_instance_uid)
    };
    let is_closed =
        |header: &InstanceHeader| header.decoded_bytes() > 0 && !can_decode(&header.transfer_syntax_uid);
    let mut findings = Vec::new();
    if repeated > 0 {
        findings.push(format!("{repeated} of the instances repeat the SOP Instance UID of another"));
    }
    if instances.iter().any(|header| is_odd(header)) {
        findings.push(counted_where(instances, "with an identifier that is no valid UID", is_odd));
    }
    if instances.iter().any(|header| header.modality.is_empty()) {
        findings.push(counted_where(instances, "without a modality", |header| header.modality.is_empty()));
    }
    if instances.iter().any(|header| is_closed(header)) {
        findings.push(counted_where(instances, "compressed in a way that flow cannot decode", is_closed));
    }
    findings.extend(missing_numbers(instances));
    findings
}

/// Instance numbers that lie between others and are not there.
fn missing_numbers(instances: &[&InstanceHeader]) -> Option<String> {
    let numbers: BTreeSet<i32> = instances.iter().filter_map(|header| header.instance_number).collect();
    let [first, last] = [*numbers.first()?, *numbers.last()?];
    let missing = (i64::from(last) - i64::from(first) + 1) as usize - numbers.len();
    if missing == 0 || missing > NUMBERS_MISSING_MOST.min(numbers.len()) {
        return None;
    }
    let absent: Vec<String> =
        (first..=last).filter(|number| !numbers.contains(number)).map(|number| number.to_string()).collect();
    Some(format!("instance numbers are missing: {}", absent.join(", ")))
}

/// The distance of axial slices, or why there is no single one; `None` where they are not a stack of slices.
fn spacing(images: &[&InstanceHeader]) -> Option<Result<f64, String>> {
    let slices: Vec<InstanceHeader> = images.iter().flat_map(|header| header.slices()).collect();
    let mut placed: Vec<AxialSlice> = slices.iter().map(AxialSlice::of).collect::<Option<_>>()?;
    align(&mut placed);
    placed.sort_by(AxialSlice::order);
    let is_stack = placed.len() > 2 && placed.iter().all(|slice| slice.difference(&placed[0]).is_empty());
    is_stack.then(|| check_spacing(&placed).map_err(|fault| fault.reason))
}

/// Each value with the number of instances that have it.
fn tally(instances: &[&InstanceHeader], value: impl Fn(&InstanceHeader) -> String) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    instances.iter().for_each(|header| *counts.entry(value(header)).or_default() += 1);
    counts.into_iter().collect()
}

fn class_name(uid: &str) -> String {
    let name = StandardSopClassDictionary.by_uid(uid).map(|entry| entry.name().to_owned());
    name.unwrap_or_else(|| if uid.is_empty() { "no SOP class".to_owned() } else { uid.to_owned() })
}

/// The value that all have.
fn common<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

fn step() -> Step {
    Step::new("list-series", 4, "Lists the series of a study of any modality, and checks them.")
        .takes_each::<InstanceHeader>("headers")
        .gives::<StudyInventory>("inventory")
        .gives::<StepReservations>("reservations")
        .runs(|call| {
            let headers = call.each("headers");
            let (inventory, reservations) = (list_series(&headers), reservations(&headers));
            Ok(StepOutputs::one("inventory", inventory).with("reservations", reservations))
        })
}

inventory::submit! { BuiltIn(step) }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;
    use crate::step::StepReservation;

    #[test]
    fn a_study_is_listed_by_series() {
        let mut headers: Vec<InstanceHeader> = (0..5).map(sample::header).collect();
        let report = InstanceHeader {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.88.11".to_owned(),
            series_instance_uid: "1.9".to_owned(),
            series_number: Some(1),
            modality: "SR".to_owned(),
            rows: 0,
            ..sample::header(9)
        };
        headers.push(report);
        let inventory = list_series(&headers.iter().collect::<Vec<_>>());
        assert_eq!(inventory.findings, [""; 0]);
        let [first, second] = inventory.series.as_slice() else { panic!("{inventory:?}") };
        assert_eq!((first.modality.as_str(), first.instances, first.frames), ("SR", 1, 0));
        assert_eq!(first.classes, [("Basic Text SR Storage".to_owned(), 1)]);
        assert_eq!((second.instances, second.frames, second.size), (5, 5, Some([4, 3])));
        assert_eq!((second.slice_spacing_mm, second.findings.len()), (Some(1.0), 0));
        assert_eq!(second.middle.sop_instance_uid, "1.2.2");
    }

    #[test]
    fn what_is_odd_is_found() {
        let mut headers: Vec<InstanceHeader> = [0, 1, 2, 4, 5, 5].into_iter().map(sample::header).collect();
        headers[0].patient_id = "P2".to_owned();
        headers[1].sop_instance_uid = "1.02".to_owned();
        headers[2].transfer_syntax_uid = "1.2.840.10008.1.2.4.55".to_owned();
        let inventory = list_series(&headers.iter().collect::<Vec<_>>());
        let ids =
            "the instances have 2 different Patient IDs (5, for example slice-1; 1, for example slice-0)";
        assert_eq!(inventory.findings, [ids]);
        let said: Vec<StepReservation> = reservations(&headers.iter().collect::<Vec<_>>()).0;
        let codes: Vec<&str> = said.iter().map(|one| one.code.as_str()).collect();
        assert_eq!(codes, ["several_patients", "repeated_instances"]);
        assert!(said[1].text.contains("the files slice-5 and slice-5 "), "{}", said[1].text);
        let findings = &inventory.series[0].findings;
        assert_eq!(findings[0], "1 of the instances repeat the SOP Instance UID of another");
        assert_eq!(findings[1], "1 instance with an identifier that is no valid UID");
        assert_eq!(findings[2], "1 instance compressed in a way that flow cannot decode");
        assert_eq!(findings[3], "instance numbers are missing: 3");
        assert!(findings[4].contains("lie where another one is"), "{findings:?}");
    }
}
