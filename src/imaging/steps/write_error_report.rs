//! `write-error-report`: writes the failures of a request as a structured report in its study, and as JSON.

use dicom_dictionary_std::uids;
use serde::Serialize;

use crate::imaging::StudyAttributes;
use crate::imaging::failures::{StepFailure, failures, whom_to_ask};
use crate::imaging::json::to_json;
use crate::imaging::objects::{ContentItem, GeneratedSeries, ReportDocument, codes, device_observer};
use crate::imaging::study::request_remarks;
use crate::step::{
    BuiltIn, Call, Digest, Fault, Parameter, Request, ResponseFile, ResponseFiles, Step, StepOutcomes,
    StepOutputs, StepReport,
};

#[derive(Serialize)]
struct ErrorResponse<'a> {
    request: Digest,
    name: &'a str,
    study_instance_uid: &'a str,
    failures: Vec<FailedStep<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<&'a str>,
    steps: &'a [StepReport],
}

#[derive(Serialize)]
struct FailedStep<'a> {
    step: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<&'a str>,
    reason: &'a str,
    remedy: &'a str,
}

fn write_json(request: &Request, study: &StudyAttributes, outcomes: &StepOutcomes) -> ResponseFile {
    let failures = outcomes.faults().map(|(report, fault)| FailedStep {
        step: &report.step,
        item: report.item.as_deref(),
        reason: &fault.reason,
        remedy: &fault.remedy,
    });
    let response = ErrorResponse {
        request: request.id,
        name: &request.name,
        study_instance_uid: &study.study_instance_uid,
        failures: failures.collect(),
        remarks: request_remarks(request).collect(),
        steps: &outcomes.0,
    };
    ResponseFile::new("error.json", "application/json", to_json(&response))
}

/// A Basic Text SR: findings are the failures, recommendations are the remedies.
fn write_report(call: &Call, request: &Request, outcomes: &StepOutcomes) -> Result<ResponseFile, Fault> {
    let study = StudyAttributes::of(request);
    let series = GeneratedSeries {
        uid: call.uid(0),
        modality: "SR",
        number: call.number("series_number") as u32,
        description: call.text("series_description").to_owned(),
    };
    let document = ReportDocument {
        sop_class_uid: uids::BASIC_TEXT_SR_STORAGE,
        uid: call.uid(1),
        study: &study,
        series,
        root: root(request, outcomes),
        evidence: Vec::new(),
    };
    document.into_instance().into_file("error-report.dcm")
}

fn root(request: &Request, outcomes: &StepOutcomes) -> ContentItem {
    let failures = failures(outcomes);
    let findings = failures.iter().map(|failure| ContentItem::text(codes::FINDING, finding(failure)));
    let mut remedies: Vec<&String> = Vec::new();
    for remedy in failures.iter().flat_map(|failure| &failure.remedies) {
        if !remedies.contains(&remedy) {
            remedies.push(remedy);
        }
    }
    let comments = request_remarks(request).map(|remark| ContentItem::text(codes::COMMENT, remark));
    let ask = whom_to_ask(&request.name);
    let remedies = remedies.into_iter().chain([&ask]);
    let remedies = remedies.map(|remedy| ContentItem::text(codes::RECOMMENDATION, remedy));
    device_observer(ContentItem::container(codes::ERROR_REPORT))
        .contains(ContentItem::container(codes::FINDINGS).contains_all(findings).contains_all(comments))
        .contains(ContentItem::container(codes::RECOMMENDATIONS).contains_all(remedies))
}

fn finding(failure: &StepFailure) -> String {
    let more = (failure.unnamed > 0).then(|| format!("And {} more.", failure.unnamed));
    let begin = "This study could not be processed.".to_owned();
    let sentences = [begin].into_iter().chain(failure.reasons.iter().cloned()).chain(more);
    sentences.collect::<Vec<String>>().join(" ")
}

fn step() -> Step {
    let about = "Writes what is wrong, what to do and whom to ask, as a structured report and as JSON.";
    Step::new("write-error-report", 3, about)
        .takes::<Request>("request")
        .takes::<StepOutcomes>("outcomes")
        .gives::<ResponseFiles>("files")
        .identifies()
        .parameter(Parameter::number("series_number", 9003.0, 1.0, 99999.0, "").about("of the new series"))
        .parameter(Parameter::text("series_description", "flow: error", &[]).about("of the new series"))
        .runs(|call| {
            let (request, outcomes) = (call.input::<Request>("request"), call.input("outcomes"));
            let study = StudyAttributes::of(request);
            let files = vec![write_json(request, &study, outcomes), write_report(call, request, outcomes)?];
            Ok(StepOutputs::one("files", ResponseFiles(files)))
        })
}

inventory::submit! { BuiltIn(step) }
