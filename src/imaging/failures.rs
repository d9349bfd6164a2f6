//! Failures for a human reader: by step, with at most a few of many items named.

use crate::step::{Outcome, OutcomeReason, StepOutcomes};

/// A step that failed, for the request or for some of its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFailure {
    pub step: String,
    /// Sentences that say what is wrong, and with which item.
    pub reasons: Vec<String>,
    /// Sentences that say what to do, each once.
    pub remedies: Vec<String>,
    /// The number of further items that failed.
    pub unnamed: usize,
}

/// The most items that a failure names.
const NAMED: usize = 5;

/// The failures in the order of the dataflow.
pub fn failures(outcomes: &StepOutcomes) -> Vec<StepFailure> {
    let mut failures: Vec<StepFailure> = Vec::new();
    for (report, fault) in outcomes.faults() {
        let reason = match &report.item {
            Some(item) => format!("{item}: {}", fault.reason),
            None => fault.reason.clone(),
        };
        let known = failures.iter().position(|failure| failure.step == report.step);
        let index = known.unwrap_or_else(|| {
            failures.push(StepFailure::of(&report.step));
            failures.len() - 1
        });
        failures[index].add(sentence(&reason), sentence(&fault.remedy));
    }
    failures
}

/// The steps that could not run because of a failure, each once.
pub fn not_run(outcomes: &StepOutcomes) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for report in &outcomes.0 {
        let because_of_failure = matches!(
            &report.outcome,
            Outcome::Skipped { because: OutcomeReason::NeedFailed { .. } | OutcomeReason::Stopped { .. } }
        );
        if because_of_failure && !steps.contains(&report.step) {
            steps.push(report.step.clone());
        }
    }
    steps
}

impl StepFailure {
    fn of(step: &str) -> StepFailure {
        StepFailure { step: step.to_owned(), reasons: Vec::new(), remedies: Vec::new(), unnamed: 0 }
    }

    fn add(&mut self, reason: String, remedy: String) {
        if self.reasons.len() < NAMED {
            self.reasons.push(reason);
        } else {
            self.unnamed += 1;
        }
        if !remedy.is_empty() && self.remedies.len() < NAMED && !self.remedies.contains(&remedy) {
            self.remedies.push(remedy);
        }
    }
}

/// A fragment as a sentence, unless it begins with a name such as `IMG0001.dcm`.
fn sentence(fragment: &str) -> String {
    let fragment = fragment.trim();
    let first_word = fragment.split(' ').next().unwrap_or_default();
    let plain = first_word.chars().all(char::is_lowercase);
    let mut letters = fragment.chars();
    let mut text = match letters.next() {
        Some(first) if plain => first.to_uppercase().chain(letters).collect(),
        _ => fragment.to_owned(),
    };
    if !text.is_empty() && !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{Fault, StepReport};

    fn report(step: &str, item: Option<&str>, outcome: Outcome) -> StepReport {
        StepReport { step: step.to_owned(), item: item.map(str::to_owned), outcome }
    }

    fn failed(reason: &str) -> Outcome {
        Outcome::Failed(Fault::new(reason, "Send it again."))
    }

    #[test]
    fn many_items_are_counted_not_listed() {
        let names: Vec<String> = (0..9).map(|number| format!("{number}.dcm")).collect();
        let reports = names.iter().map(|name| report("headers", Some(name), failed("no pixels")));
        let failures = failures(&StepOutcomes(reports.collect()));
        assert_eq!(failures.len(), 1);
        assert_eq!((failures[0].reasons.len(), failures[0].unnamed), (5, 4));
        assert_eq!(failures[0].reasons[0], "0.dcm: no pixels.");
        assert_eq!(failures[0].remedies, ["Send it again."]);
    }

    #[test]
    fn steps_skipped_for_other_reasons_are_not_blamed() {
        let skipped = |because| Outcome::Skipped { because };
        let outcomes = StepOutcomes(vec![
            report("volume", None, failed("slice 12 is missing")),
            report("lungs", None, skipped(OutcomeReason::NeedFailed { step: "volume".to_owned() })),
            report("png", None, skipped(OutcomeReason::Stopped { step: "volume".to_owned() })),
            report("capture", None, skipped(OutcomeReason::SwitchedOff)),
        ]);
        assert_eq!(not_run(&outcomes), ["lungs", "png"]);
        assert_eq!(failures(&outcomes)[0].reasons, ["Slice 12 is missing."]);
    }
}
