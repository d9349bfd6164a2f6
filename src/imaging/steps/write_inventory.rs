//! `write-inventory`: writes what a study holds as `study.json` and as a structured report.

use dicom_dictionary_std::uids;
use serde::Serialize;

use crate::imaging::json::to_json;
use crate::imaging::objects::{ContentItem, GeneratedSeries, ReportDocument, codes, device_observer};
use crate::imaging::{SeriesEntry, StudyAttributes, StudyInventory};
use crate::printable::counted;
use crate::step::{BuiltIn, Call, Digest, Fault, Request, ResponseFile, ResponseFiles, Step, StepOutputs};

#[derive(Serialize)]
struct InventoryFile<'a> {
    request: Digest,
    study_instance_uid: &'a str,
    study_date: &'a str,
    accession_number: &'a str,
    patient_id: &'a str,
    instances: usize,
    series: Vec<SeriesRow<'a>>,
    findings: &'a [String],
}

#[derive(Serialize)]
struct SeriesRow<'a> {
    series_instance_uid: &'a str,
    number: Option<i32>,
    description: &'a str,
    modality: &'a str,
    instances: usize,
    frames: u64,
    classes: Vec<NamedCount<'a>>,
    transfer_syntaxes: Vec<NamedCount<'a>>,
    columns: Option<u16>,
    rows: Option<u16>,
    /// Distance between rows, then between columns.
    pixel_spacing_mm: Option<[f64; 2]>,
    slice_spacing_mm: Option<f64>,
    findings: &'a [String],
}

#[derive(Serialize)]
struct NamedCount<'a> {
    name: &'a str,
    instances: usize,
}

fn write_json(request: &Request, study: &StudyAttributes, inventory: &StudyInventory) -> ResponseFile {
    let file = InventoryFile {
        request: request.id,
        study_instance_uid: &study.study_instance_uid,
        study_date: &study.study_date,
        accession_number: &study.accession_number,
        patient_id: &study.patient_id,
        instances: inventory.series.iter().map(|series| series.instances).sum(),
        series: inventory.series.iter().map(row).collect(),
        findings: &inventory.findings,
    };
    ResponseFile::new("study.json", "application/json", to_json(&file))
}

fn row(series: &SeriesEntry) -> SeriesRow<'_> {
    SeriesRow {
        series_instance_uid: &series.series_instance_uid,
        number: series.number,
        description: &series.description,
        modality: &series.modality,
        instances: series.instances,
        frames: series.frames,
        classes: named(&series.classes),
        transfer_syntaxes: named(&series.transfer_syntaxes),
        columns: series.size.map(|[columns, _]| columns),
        rows: series.size.map(|[_, rows]| rows),
        pixel_spacing_mm: series.pixel_spacing_mm,
        slice_spacing_mm: series.slice_spacing_mm,
        findings: &series.findings,
    }
}

fn named(counts: &[(String, usize)]) -> Vec<NamedCount<'_>> {
    counts.iter().map(|(name, instances)| NamedCount { name, instances: *instances }).collect()
}

/// A Basic Text SR: a finding for each series, then what was noticed.
fn write_report(
    call: &Call,
    study: &StudyAttributes,
    inventory: &StudyInventory,
) -> Result<ResponseFile, Fault> {
    let series = GeneratedSeries::of(call, "SR");
    let held = inventory.series.iter().map(|one| ContentItem::text(codes::FINDING, sentence(one)));
    let noticed = inventory.series.iter().flat_map(|one| {
        one.findings.iter().map(move |finding| format!("{}: {finding}.", capital(&one.label())))
    });
    let whole = inventory.findings.iter().map(|finding| format!("{}.", capital(finding)));
    let noticed = whole.chain(noticed).map(|text| ContentItem::text(codes::COMMENT, text));
    let root = device_observer(ContentItem::container(codes::STUDY_REPORT))
        .contains(ContentItem::container(codes::FINDINGS).contains_all(held).contains_all(noticed));
    let sop_class_uid = uids::BASIC_TEXT_SR_STORAGE;
    let document =
        ReportDocument { sop_class_uid, uid: call.uid(1), study, series, root, evidence: Vec::new() };
    document.into_instance().into_file("study-report.dcm")
}

/// What one series holds: "Series 3 (Thorax): CT, 275 instances of CT Image Storage, 512 × 512 pixels, 1.25 mm
/// apart."
fn sentence(series: &SeriesEntry) -> String {
    let mut parts =
        vec![if series.modality.is_empty() { "no modality" } else { &series.modality }.to_owned()];
    parts.extend(
        series.classes.iter().map(|(class, count)| format!("{} of {class}", counted(*count, "instance"))),
    );
    if series.frames > series.instances as u64 {
        parts.push(counted(series.frames, "frame"));
    }
    parts.extend(series.size.map(|[columns, rows]| format!("{columns} × {rows} pixels")));
    parts.extend(series.slice_spacing_mm.map(|spacing| format!("slices {spacing:.2} mm apart")));
    format!("{}: {}.", capital(&series.label()), parts.join(", "))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn step() -> Step {
    let [number, description] = GeneratedSeries::parameters(9005, "flow: study report");
    let about = "Writes what a study holds, and what was noticed, as JSON and as a structured report.";
    Step::new("write-inventory", 1, about)
        .takes::<Request>("request")
        .takes::<StudyInventory>("inventory")
        .gives::<ResponseFiles>("files")
        .identifies()
        .parameter(number)
        .parameter(description)
        .runs(|call| {
            let (request, inventory) = (call.input::<Request>("request"), call.input("inventory"));
            let study = StudyAttributes::of(request);
            let files = vec![write_json(request, &study, inventory), write_report(call, &study, inventory)?];
            Ok(StepOutputs::one("files", ResponseFiles(files)))
        })
}

inventory::submit! { BuiltIn(step) }
