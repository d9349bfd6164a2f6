//! `when`: what a request must be like for a step to run.
//!
//! ```yaml
//! when:                                         # all of these
//!   modality: [CT, PT]                          # any of these
//!   series_description: {matches: "*chest*"}    # * is any text, ? any one character
//!   calling_ae: {not: [TEST, {matches: "DEV*"}]}
//! ```
//!
//! Texts are compared exactly. An attribute with several values, separated by `\` as in DICOM
//! (PS3.5 6.4), fits if any of them does; one that the request lacks has the single value "".

use crate::yaml;
use std::fmt;

use serde::Serialize;

use crate::step::Request;
use crate::yaml::text;
use crate::yaml::{Collector, Placed};
use crate::yaml::{Entry, Shape, Tree};

/// The attributes that a request may have.
pub const ATTRIBUTES: [&str; 19] = [
    "study_instance_uid",
    "study_id",
    "study_date",
    "study_time",
    "study_description",
    "accession_number",
    "referring_physician_name",
    "patient_name",
    "patient_id",
    "patient_birth_date",
    "patient_sex",
    "patient_age",
    "modality",
    "series_description",
    "source",
    "calling_ae",
    "called_ae",
    "association",
    "complete_by",
];

/// All of its tests must hold. Displayed in words: `modality is CT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition(Vec<Test>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Test {
    attribute: String,
    negated: bool,
    /// Never empty.
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
enum Pattern {
    Is(String),
    Matches(String),
}

impl Condition {
    pub fn holds(&self, request: &Request) -> bool {
        self.0.iter().all(|test| test.holds(request.attribute(&test.attribute)))
    }

    /// Reads the `when` of `owner`, a step or a rule.
    pub(crate) fn read(tree: Tree, owner: &str, collector: &mut Collector) -> Option<Condition> {
        let place = tree.place;
        let what = format!("\"when\" of {owner}");
        let entries = yaml::entries(tree, &what, collector)?;
        if entries.is_empty() {
            collector.add(place, format!("{what} is empty")).hint(example());
        }
        let tests: Vec<Option<Test>> =
            entries.into_iter().map(|entry| Test::read(entry, collector)).collect();
        tests.into_iter().collect::<Option<Vec<Test>>>().map(Condition)
    }
}

impl Test {
    fn holds(&self, attribute: &str) -> bool {
        let fits = |value: &str| self.patterns.iter().any(|pattern| pattern.fits(value));
        attribute.split('\\').map(str::trim).any(fits) != self.negated
    }

    fn read((name, tree): Entry, collector: &mut Collector) -> Option<Test> {
        let attribute = name.value;
        if !ATTRIBUTES.contains(&attribute.as_str()) {
            let message = format!("a request has no attribute \"{attribute}\"");
            collector.add(name.place, message).hint(yaml::meant_or_all(&attribute, ATTRIBUTES));
        }
        let what = format!("the condition on \"{attribute}\"");
        let (negated, tree) = without_not(tree);
        let patterns = patterns(tree, &what, collector)?;
        Some(Test { attribute, negated, patterns })
    }
}

/// Takes a `{not: …}` off.
fn without_not(tree: Tree) -> (bool, Tree) {
    match tree.value {
        Shape::Map(mut entries) if entries.len() == 1 && entries[0].0.value == "not" => {
            (true, entries.remove(0).1)
        }
        value => (false, Placed { place: tree.place, value }),
    }
}

fn patterns(tree: Tree, what: &str, collector: &mut Collector) -> Option<Vec<Pattern>> {
    match tree.value {
        Shape::List(list) if list.is_empty() => {
            collector.add(tree.place, format!("{what} is an empty list and can never hold")).hint(example());
            None
        }
        Shape::List(list) => list.into_iter().map(|one| pattern(one, what, collector)).collect(),
        value => Some(vec![pattern(Placed { place: tree.place, value }, what, collector)?]),
    }
}

fn pattern(tree: Tree, what: &str, collector: &mut Collector) -> Option<Pattern> {
    let place = tree.place;
    match tree.value {
        Shape::Scalar(value) => Some(Pattern::Is(value)),
        Shape::Map(mut entries) if entries.len() == 1 && entries[0].0.value == "matches" => {
            text(entries.remove(0).1, what, collector).map(|glob| Pattern::Matches(glob.value))
        }
        Shape::Map(_) | Shape::List(_) | Shape::Nothing => {
            collector.add(place, format!("{what} cannot be understood")).hint(example());
            None
        }
    }
}

fn example() -> String {
    "write CT, or [CT, PT], or {matches: \"*chest*\"}, or {not: MR}".to_owned()
}

impl Pattern {
    fn fits(&self, value: &str) -> bool {
        match self {
            Pattern::Is(text) => text == value,
            Pattern::Matches(glob) => {
                let (glob, value): (Vec<char>, Vec<char>) = (glob.chars().collect(), value.chars().collect());
                matches(&glob, &value)
            }
        }
    }
}

/// Walks both texts once; where they part, the last `*` takes one character more.
fn matches(glob: &[char], value: &[char]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while from < value.len() {
        match glob.get(at) {
            Some('*') => {
                retry = Some((at, from));
                at += 1;
            }
            Some(one) if *one == '?' || *one == value[from] => (at, from) = (at + 1, from + 1),
            Some(_) | None => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                (at, from) = (star + 1, taken + 1);
            }
        }
    }
    glob[at..].iter().all(|rest| *rest == '*')
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests: Vec<String> = self.0.iter().map(Test::to_string).collect();
        f.write_str(&tests.join(" and "))
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Test { attribute, negated, patterns } = self;
        match (patterns.as_slice(), negated) {
            ([Pattern::Is(text)], false) => write!(f, "{attribute} is {}", quoted(text)),
            ([Pattern::Is(text)], true) => write!(f, "{attribute} is not {}", quoted(text)),
            ([Pattern::Matches(glob)], false) => write!(f, "{attribute} matches {glob}"),
            ([Pattern::Matches(glob)], true) => write!(f, "{attribute} does not match {glob}"),
            (several, false) => write!(f, "{attribute} is one of {}", list(several)),
            (several, true) => write!(f, "{attribute} is none of {}", list(several)),
        }
    }
}

fn list(patterns: &[Pattern]) -> String {
    let word = |pattern: &Pattern| match pattern {
        Pattern::Is(text) => quoted(text),
        Pattern::Matches(glob) => format!("like {glob}"),
    };
    patterns.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([' ', ',']) { format!("{text:?}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::yaml;

    fn condition(when: &str) -> Condition {
        let mut collector = Collector::new("when", when);
        let tree = yaml::read(when, &mut collector).unwrap();
        let condition = Condition::read(tree, "step", &mut collector);
        collector.finish(condition).unwrap()
    }

    fn check(when: &str, modality: &str, words: &str, expected: bool) {
        let attributes = BTreeMap::from([("modality".to_owned(), modality.to_owned())]);
        let condition = condition(when);
        assert_eq!(condition.to_string(), words);
        assert_eq!(
            condition.holds(&Request::new("r", attributes, Vec::new())),
            expected,
            "{when} of {modality}"
        );
    }

    #[test]
    fn conditions_hold_and_say_so() {
        check("{modality: CT}", "CT", "modality is CT", true);
        check("{modality: CT}", "MR", "modality is CT", false);
        check("{modality: CT}", "PT\\CT", "modality is CT", true);
        check("{modality: [CT, PT]}", "PT", "modality is one of CT, PT", true);
        check("{modality: {not: [CT, PT]}}", "PT", "modality is none of CT, PT", false);
        check("{modality: {not: CT}}", "", "modality is not CT", true);
        check("{modality: \"\"}", "", "modality is \"\"", true);
        check("{modality: {not: {matches: C*}}}", "MR", "modality does not match C*", true);
        check("{modality: [MR, {matches: C*}]}", "CT", "modality is one of MR, like C*", true);
        check("{modality: CT, source: dicom}", "CT", "modality is CT and source is dicom", false);
    }

    #[test]
    fn globs() {
        let check = |glob: &str, value: &str, expected: bool| {
            assert_eq!(Pattern::Matches(glob.to_owned()).fits(value), expected, "{glob} of {value}");
        };
        check("*chest*", "CT chest 1 mm", true);
        check("*chest", "CT chest 1 mm", false);
        check("C?", "CT", true);
        check("C?", "C", false);
        check("*a*b", "aab ab", true);
        check("*", "", true);
        check("", "", true);
        check("?ü*", "füße", true);
    }

    #[test]
    fn every_attribute_of_a_study_is_known() {
        let study = crate::imaging::Study::default().attributes();
        assert!(study.keys().all(|name| ATTRIBUTES.contains(&name.as_str())));
    }
}
