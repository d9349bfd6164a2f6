//! `complete`: when a study is complete.

use crate::dicom::{AtCap, Cap, Completion, Signal};
use crate::site::SectionReader;
use crate::yaml::Placed;

const AT_ONCE: [(&str, Signal); 3] =
    [("released", Signal::Released), ("next_study", Signal::NextStudy), ("request_end", Signal::RequestEnd)];

const THEN: [(&str, AtCap); 3] =
    [("proceed", AtCap::Proceed), ("discard", AtCap::Discard), ("wait", AtCap::Wait)];

/// The rules, and the node that is asked for the count.
pub(super) fn read(reader: &mut SectionReader) -> (Completion, Option<Placed<String>>) {
    let keys = ["at_once", "quiet_time", "broken_time", "expected", "count", "cap"];
    reader.known("\"complete\"", &keys);
    let usual = Completion::default();
    let at_once = reader.given("at_once").then(|| reader.texts("at_once"));
    let at_once =
        at_once.map(|texts| texts.iter().filter_map(|text| reader.choose(text, &AT_ONCE)).collect());
    let completion = Completion {
        at_once: at_once.unwrap_or(usual.at_once),
        quiet_time: reader.duration("quiet_time").unwrap_or(usual.quiet_time),
        broken_time: reader.duration("broken_time").unwrap_or(usual.broken_time),
        expected: reader.parsed("expected"),
        cap: reader.section("cap", cap).flatten(),
    };
    (completion, reader.text("count"))
}

fn cap(reader: &mut SectionReader) -> Option<Cap> {
    reader.known("\"cap\"", &["after", "then"]);
    let after = reader.required("after", |reader| reader.duration("after"))?;
    let then = reader.required("then", |reader| reader.choice("then", &THEN))?;
    Some(Cap { after, then })
}
