//! Failures for a human reader: by step, with at most a few of many items named.
//!
//! A reader at the PACS knows neither steps nor folders of the machine. What only the people who run flow can
//! mend is told in plain words; `error.json` has all of it.

use crate::step::{Fault, FaultKind, StepOutcomes};

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
            Some(item) => format!("{item}: {}", plain_reason(fault)),
            None => plain_reason(fault),
        };
        let known = failures.iter().position(|failure| *failure.step == *report.step);
        let index = known.unwrap_or_else(|| {
            failures.push(StepFailure::of(&report.step));
            failures.len() - 1
        });
        failures[index].add(sentence(&reason), sentence(plain_remedy(fault)));
    }
    failures
}

/// The reason in words for a reader who knows nothing of the program and its machine.
fn plain_reason(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Data | FaultKind::Transient => without_folders(&fault.reason),
        FaultKind::TimedOut => "the calculation took longer than is allowed".to_owned(),
        FaultKind::Cancelled => "the request was cancelled before it was finished".to_owned(),
        FaultKind::Broken => "the program made a mistake and could not finish".to_owned(),
        FaultKind::Storage => "the results could not be stored".to_owned(),
    }
}

/// The advice to the reader; empty if only the people who run flow can do something.
fn plain_remedy(fault: &Fault) -> &str {
    match fault.kind {
        FaultKind::Data | FaultKind::Transient => &fault.remedy,
        FaultKind::TimedOut | FaultKind::Cancelled | FaultKind::Broken | FaultKind::Storage => "",
    }
}

/// A text with the last name of each path in place of the path.
fn without_folders(text: &str) -> String {
    let short = |word: &str| match word.trim_start_matches(['"', '(', '“']).starts_with('/') {
        true => word.rsplit('/').next().unwrap_or_default().to_owned(),
        false => word.to_owned(),
    };
    text.split(' ').map(short).collect::<Vec<String>>().join(" ")
}

/// The sentence that says whom to ask.
pub fn whom_to_ask(request: &str) -> String {
    format!(
        "If that does not help, ask the people who run flow at your site, and name the request {request}."
    )
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
    use crate::step::{Outcome, StepReport};

    fn report(step: &str, item: Option<&str>, outcome: Outcome) -> StepReport {
        StepReport { step: step.into(), item: item.map(str::to_owned), outcome }
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
    fn a_reader_sees_neither_folders_nor_places_in_the_code() {
        let broken = Fault::of(FaultKind::Broken, "index out of bounds (src/a.rs:7)", "Switch it off.");
        let outcomes = StepOutcomes(vec![
            report("volume", None, Outcome::Failed(broken)),
            report("series", None, failed("the file /var/lib/flow/inbox/7/a.dcm is cut off")),
        ]);
        let failures = failures(&outcomes);
        assert_eq!(failures[0].reasons, ["The program made a mistake and could not finish."]);
        assert_eq!(failures[0].remedies, [""; 0]);
        assert_eq!(failures[1].reasons, ["The file a.dcm is cut off."]);
    }
}
