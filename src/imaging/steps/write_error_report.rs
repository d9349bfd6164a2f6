//! `write-error-report`: writes the failures of a request as a structured report in its study, and as JSON.

use dicom_dictionary_std::uids;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::imaging::StudyAttributes;
use crate::imaging::failures::{StepFailure, failures, whom_to_ask};
use crate::imaging::json::to_json;
use crate::imaging::objects::{ContentItem, GeneratedSeries, ReportDocument, codes, device_observer};
use crate::imaging::study::request_remarks;
use crate::step::{
    BuiltIn, Call, Digest, Fault, Outcome, Request, ResponseFile, ResponseFiles, Step, StepOutcomes,
    StepOutputs, StepReport,
};

/// The reasons why a request has no results.
#[derive(Serialize, JsonSchema)]
struct ErrorResponse<'a> {
    request: Digest,
    name: &'a str,
    study_instance_uid: &'a str,
    failures: Vec<FailureCause<'a>>,
    /// The number of failures for none of these causes.
    #[serde(skip_serializing_if = "is_none")]
    failures_not_listed: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<&'a str>,
    steps: Vec<OutcomeGroup<'a>>,
}

/// Runs of a step that failed for the same cause.
#[derive(Serialize, JsonSchema)]
struct FailureCause<'a> {
    step: &'a str,
    #[serde(flatten)]
    items: ItemGroup<'a>,
    reason: &'a str,
    remedy: &'a str,
}

/// Runs of a step that ended alike.
#[derive(Serialize, JsonSchema)]
struct OutcomeGroup<'a> {
    step: &'a str,
    #[serde(flatten)]
    items: ItemGroup<'a>,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// The items of runs that are told together: the first by name, all by number.
#[derive(Default, Serialize, JsonSchema)]
struct ItemGroup<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<&'a str>,
    #[serde(skip_serializing_if = "is_none")]
    items_in_all: usize,
}

/// More items that ended alike are counted, not named.
const ITEMS_NAMED_MAX: usize = 3;

/// More causes and outcomes than this are counted, not listed.
const GROUPS_MAX: usize = 64;

impl<'a> ItemGroup<'a> {
    fn add(&mut self, report: &'a StepReport) {
        let Some(item) = &report.item else { return };
        self.items_in_all += 1;
        if self.items.len() < ITEMS_NAMED_MAX {
            self.items.push(item);
        }
    }
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// The causes of failures, and the number of failures for further ones.
fn causes(outcomes: &StepOutcomes) -> (Vec<FailureCause<'_>>, usize) {
    let (mut causes, mut unlisted) = (Vec::<FailureCause>::new(), 0);
    for (report, Fault { reason, remedy, .. }) in outcomes.faults() {
        let is_it = |cause: &FailureCause| {
            (cause.step, cause.reason, cause.remedy) == (&*report.step, reason, remedy)
        };
        let place = causes.iter().position(is_it).unwrap_or(causes.len());
        if place == GROUPS_MAX {
            unlisted += 1;
            continue;
        }
        if place == causes.len() {
            let (step, items) = (&*report.step, ItemGroup::default());
            causes.push(FailureCause { step, items, reason, remedy });
        }
        causes[place].items.add(report);
    }
    (causes, unlisted)
}

/// The steps with their outcomes. Those of a step's further items are left out when there are too many
/// different ones.
fn steps(outcomes: &StepOutcomes) -> Vec<OutcomeGroup<'_>> {
    let mut steps = Vec::<OutcomeGroup>::new();
    for report in &outcomes.0 {
        let is_it = |group: &OutcomeGroup| *group.step == *report.step && *group.outcome == report.outcome;
        let known = if report.item.is_some() { steps.iter().position(is_it) } else { None };
        let place = known.unwrap_or(steps.len());
        if place == steps.len() {
            if report.item.is_some() && steps.len() >= GROUPS_MAX {
                continue;
            }
            let (step, items) = (&*report.step, ItemGroup::default());
            steps.push(OutcomeGroup { step, items, outcome: &report.outcome });
        }
        steps[place].items.add(report);
    }
    steps
}

/// The JSON Schema of `error.json`.
pub fn schema(generator: SchemaGenerator) -> Schema {
    generator.into_root_schema_for::<ErrorResponse>()
}

fn write_json(request: &Request, study: &StudyAttributes, outcomes: &StepOutcomes) -> ResponseFile {
    let (failures, failures_not_listed) = causes(outcomes);
    let response = ErrorResponse {
        request: request.id,
        name: &request.name,
        study_instance_uid: &study.study_instance_uid,
        failures,
        failures_not_listed,
        remarks: request_remarks(request).collect(),
        steps: steps(outcomes),
    };
    ResponseFile::new("error.json", "application/json", to_json(&response))
}

/// A Basic Text SR: findings are the failures, recommendations are the remedies.
fn write_report(call: &Call, request: &Request, outcomes: &StepOutcomes) -> Result<ResponseFile, Fault> {
    let study = StudyAttributes::of(request);
    let series = GeneratedSeries::of(call, "SR");
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
    let [number, description] = GeneratedSeries::parameters(9003, "flow: error");
    let about = "Writes what is wrong, what to do and whom to ask, as a structured report and as JSON.";
    Step::new("write-error-report", 3, about)
        .takes::<Request>("request")
        .takes::<StepOutcomes>("outcomes")
        .gives::<ResponseFiles>("files")
        .identifies()
        .parameter(number)
        .parameter(description)
        .runs(|call| {
            let (request, outcomes) = (call.input::<Request>("request"), call.input("outcomes"));
            let study = StudyAttributes::of(request);
            let files = vec![write_json(request, &study, outcomes), write_report(call, request, outcomes)?];
            Ok(StepOutputs::one("files", ResponseFiles(files)))
        })
}

inventory::submit! { BuiltIn(step) }

#[cfg(test)]
mod tests {
    use crate::step::FaultKind;

    use super::*;

    fn failed(item: usize, reason: &str) -> StepReport {
        let fault = Fault::of(FaultKind::Data, reason, "Install the program.");
        let item = Some(format!("1.2.840.113619.2.55.3.{item}.dcm"));
        StepReport { step: "convert".into(), item, outcome: Outcome::Failed(fault) }
    }

    fn json(reports: Vec<StepReport>) -> (serde_json::Value, usize) {
        let request = Request::new("study", Default::default(), Vec::new());
        let study = StudyAttributes::of(&request);
        let file = write_json(&request, &study, &StepOutcomes(reports));
        (serde_json::from_slice(&file.bytes).unwrap(), file.bytes.len())
    }

    #[test]
    fn many_items_that_fail_for_one_cause_are_one_failure() {
        let mut reports: Vec<StepReport> =
            (0..275).map(|item| failed(item, "the program \"convert\" could not be started")).collect();
        reports[7] = failed(7, "it is not an image");
        let (json, length) = json(reports);
        assert!(length < 2_000, "{length} bytes");
        let failures = json["failures"].as_array().unwrap();
        assert_eq!(failures.len(), 2);
        assert_eq!((&failures[0]["items_in_all"], &failures[1]["items_in_all"]), (&274.into(), &1.into()));
        assert_eq!(failures[0]["items"].as_array().unwrap().len(), 3);
        assert_eq!(failures[1]["items"][0], "1.2.840.113619.2.55.3.7.dcm");
        assert_eq!(
            (&json["steps"][0]["outcome"], &json["steps"][0]["items_in_all"]),
            (&"failed".into(), &274.into())
        );
    }

    #[test]
    fn many_causes_are_bounded_and_counted() {
        let reports = (0..10_000).map(|item| failed(item, &format!("it has {item} frames"))).collect();
        let (json, length) = json(reports);
        assert!(length < 50_000, "{length} bytes");
        assert_eq!(
            (json["failures"].as_array().unwrap().len(), &json["failures_not_listed"]),
            (64, &9_936.into())
        );
    }
}
