//! `complete`: the rules for when a study is complete.

use crate::dicom::{CompletionRules, CompletionSignal, WaitLimit, WaitLimitAction};
use crate::site::SectionReader;
use crate::yaml::PlacedValue;

const AT_ONCE: [(&str, CompletionSignal); 3] = [
    ("released", CompletionSignal::Released),
    ("next_study", CompletionSignal::NextStudy),
    ("request_end", CompletionSignal::RequestEnd),
];

const THEN: [(&str, WaitLimitAction); 3] = [
    ("proceed", WaitLimitAction::Proceed),
    ("discard", WaitLimitAction::Discard),
    ("wait", WaitLimitAction::Wait),
];

/// The rules, and the node that is asked for the count.
pub(super) fn read(reader: &mut SectionReader) -> (CompletionRules, Option<PlacedValue<String>>) {
    let keys = ["at_once", "quiet_time", "open_quiet_time", "broken_time", "expected", "count", "cap"];
    reader.known("\"complete\"", &keys);
    let usual = CompletionRules::default();
    let at_once = reader.given("at_once").then(|| reader.texts("at_once"));
    let at_once =
        at_once.map(|texts| texts.iter().filter_map(|text| reader.choose(text, &AT_ONCE)).collect());
    let completion = CompletionRules {
        at_once: at_once.unwrap_or(usual.at_once),
        quiet_time: reader.duration("quiet_time").unwrap_or(usual.quiet_time),
        open_quiet_time: reader.duration("open_quiet_time"),
        broken_time: reader.duration("broken_time").unwrap_or(usual.broken_time),
        expected: reader.parsed("expected"),
        cap: reader.section("cap", cap).flatten(),
    };
    (completion, reader.text("count"))
}

fn cap(reader: &mut SectionReader) -> Option<WaitLimit> {
    reader.known("\"cap\"", &["after", "then"]);
    let after = reader.required("after", |reader| reader.duration("after"))?;
    let then = reader.required("then", |reader| reader.choice("then", &THEN))?;
    Some(WaitLimit { after, then })
}
