//! `when`: what a request must be like for a step to run.
//!
//! ```yaml
//! when:                                         # all of these
//!   modality: [CT, PT]                          # any of these
//!   series_description: {matches: "*chest*"}    # * is any text, ? any one character
//!   calling_ae: {not: [TEST, {matches: "DEV*"}]}
//!   study_date: {at_least: 2026-01-01}          # numbers and dates; also at_most
//! ```
//!
//! The attributes that may be named are those that the sources declare: see
//! [`crate::step::AttributeDeclaration`]. Texts are compared exactly, numbers and dates by what they are.
//! An attribute with several values fits if any of them does; one that the request lacks has the single
//! value "".

use crate::yaml;
use std::fmt;

use serde::Serialize;

use crate::step::{AttributeKind, AttributeValues, Request, StepTable};
use crate::yaml::text;
use crate::yaml::{PlacedValue, ProblemCollector};
use crate::yaml::{YamlEntry, YamlShape, YamlTree};

/// A condition on the attributes of a request: all of its tests must hold. Displayed in words: `modality is CT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepCondition(Vec<ConditionTest>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ConditionTest {
    attribute: String,
    /// The declared type. It is no part of the version of a dataflow.
    #[serde(skip)]
    kind: AttributeKind,
    negated: bool,
    /// Never empty.
    patterns: Vec<ConditionPattern>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
enum ConditionPattern {
    Is(String),
    Matches(String),
    AtLeast(String),
    AtMost(String),
}

impl StepCondition {
    /// Whether the request passes all tests.
    pub fn holds(&self, request: &Request) -> bool {
        self.0.iter().all(|test| test.holds(request.attributes.get(&test.attribute)))
    }

    /// Reads the `when` of `owner`, a step or a rule.
    pub(crate) fn read(
        tree: YamlTree,
        owner: &str,
        table: &StepTable,
        collector: &mut ProblemCollector,
    ) -> Option<StepCondition> {
        let place = tree.place;
        let what = format!("\"when\" of {owner}");
        let entries = yaml::entries(tree, &what, collector)?;
        if entries.is_empty() {
            collector.add(place, format!("{what} is empty")).hint(example());
        }
        let tests: Vec<Option<ConditionTest>> =
            entries.into_iter().map(|entry| ConditionTest::read(entry, table, collector)).collect();
        tests.into_iter().collect::<Option<Vec<ConditionTest>>>().map(StepCondition)
    }
}

impl ConditionTest {
    fn holds(&self, values: Option<&AttributeValues>) -> bool {
        let fits = |value: &str| self.patterns.iter().any(|pattern| pattern.fits(self.kind, value.trim()));
        values.map_or_else(|| fits(""), |values| values.iter().any(fits)) != self.negated
    }

    fn read(
        (name, tree): YamlEntry,
        table: &StepTable,
        collector: &mut ProblemCollector,
    ) -> Option<ConditionTest> {
        let attribute = name.value;
        let declared = table.attribute(&attribute);
        if declared.is_none() {
            let message = format!("a request has no attribute \"{attribute}\"");
            let known = table.attributes().map(|declared| declared.name);
            collector.add(name.place, message).hint(yaml::meant_or_all(&attribute, known));
        }
        // An unknown attribute is the only problem reported of its entry.
        let kind = declared.map_or(AttributeKind::Text, |declared| declared.kind);
        let what = format!("the condition on \"{attribute}\"");
        let (negated, tree) = without_not(tree);
        let is_known = declared.is_some();
        let reading = PatternReader { what: &what, kind: is_known.then_some(kind) };
        let patterns = reading.patterns(tree, collector)?;
        Some(ConditionTest { attribute, kind, negated, patterns })
    }
}

/// Takes a `{not: …}` off.
fn without_not(tree: YamlTree) -> (bool, YamlTree) {
    match tree.value {
        YamlShape::Map(mut entries) if entries.len() == 1 && entries[0].0.value == "not" => {
            (true, entries.remove(0).1)
        }
        value => (false, PlacedValue { place: tree.place, value }),
    }
}

/// Reads the patterns of one attribute.
struct PatternReader<'a> {
    what: &'a str,
    /// The type of the attribute, if it is known.
    kind: Option<AttributeKind>,
}

impl PatternReader<'_> {
    fn patterns(&self, tree: YamlTree, collector: &mut ProblemCollector) -> Option<Vec<ConditionPattern>> {
        match tree.value {
            YamlShape::List(list) if list.is_empty() => {
                let message = format!("{} is an empty list and can never hold", self.what);
                collector.add(tree.place, message).hint(example());
                None
            }
            YamlShape::List(list) => list.into_iter().map(|one| self.pattern(one, collector)).collect(),
            value => Some(vec![self.pattern(PlacedValue { place: tree.place, value }, collector)?]),
        }
    }

    fn pattern(&self, tree: YamlTree, collector: &mut ProblemCollector) -> Option<ConditionPattern> {
        let place = tree.place;
        match tree.value {
            YamlShape::Scalar(value, _) => {
                // An empty one asks for a request that lacks the attribute.
                if !value.is_empty() {
                    self.check(&PlacedValue { place, value: value.clone() }, collector);
                }
                Some(ConditionPattern::Is(value))
            }
            YamlShape::Map(mut entries)
                if entries.len() == 1 && KEYS.contains(&entries[0].0.value.as_str()) =>
            {
                let (key, tree) = entries.remove(0);
                let written = text(tree, self.what, collector)?;
                Some(match key.value.as_str() {
                    "matches" => ConditionPattern::Matches(written.value),
                    bound => {
                        self.check_order(&key, &written, collector);
                        let is_least = bound == "at_least";
                        if is_least {
                            ConditionPattern::AtLeast(written.value)
                        } else {
                            ConditionPattern::AtMost(written.value)
                        }
                    }
                })
            }
            YamlShape::Map(_) | YamlShape::List(_) | YamlShape::Nothing => {
                let message = format!("{} cannot be understood", self.what);
                collector.add(place, message).hint(example());
                None
            }
        }
    }

    /// Notes a value that is not of the attribute's kind: it would never fit.
    fn check(&self, written: &PlacedValue<String>, collector: &mut ProblemCollector) {
        let Some(kind @ (AttributeKind::Number | AttributeKind::Date)) = self.kind else { return };
        if kind.rank(&written.value).is_none() {
            let message = format!("{} is {}, not \"{}\"", self.what, kind.name(), written.value);
            let hint =
                if kind == AttributeKind::Date { "write a day: 2026-01-31" } else { "write a number: 3" };
            collector.add(written.place, message).hint(hint.to_owned());
        }
    }

    fn check_order(
        &self,
        key: &PlacedValue<String>,
        written: &PlacedValue<String>,
        collector: &mut ProblemCollector,
    ) {
        match self.kind {
            Some(AttributeKind::Text) => {
                let message = format!("{} is a text, which has no \"{}\"", self.what, key.value);
                collector.add(key.place, message).hint(example());
            }
            Some(AttributeKind::Number | AttributeKind::Date) | None => self.check(written, collector),
        }
    }
}

/// The keys that a pattern may have.
const KEYS: [&str; 3] = ["matches", "at_least", "at_most"];

fn example() -> String {
    "write CT, or [CT, PT], or {matches: \"*chest*\"}, or {not: MR}".to_owned()
}

impl ConditionPattern {
    fn fits(&self, kind: AttributeKind, value: &str) -> bool {
        let ranks = |bound: &str| kind.rank(value).zip(kind.rank(bound));
        match self {
            ConditionPattern::Is(text) => {
                text == value || ranks(text).is_some_and(|(value, text)| value == text)
            }
            ConditionPattern::AtLeast(bound) => ranks(bound).is_some_and(|(value, bound)| value >= bound),
            ConditionPattern::AtMost(bound) => ranks(bound).is_some_and(|(value, bound)| value <= bound),
            ConditionPattern::Matches(glob) => {
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

impl fmt::Display for StepCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests: Vec<String> = self.0.iter().map(ConditionTest::to_string).collect();
        f.write_str(&tests.join(" and "))
    }
}

impl fmt::Display for ConditionTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConditionTest { attribute, negated, patterns, .. } = self;
        match (patterns.as_slice(), negated) {
            ([ConditionPattern::Is(text)], false) => write!(f, "{attribute} is {}", quoted(text)),
            ([ConditionPattern::Is(text)], true) => write!(f, "{attribute} is not {}", quoted(text)),
            ([ConditionPattern::Matches(glob)], false) => write!(f, "{attribute} matches {glob}"),
            ([ConditionPattern::Matches(glob)], true) => write!(f, "{attribute} does not match {glob}"),
            ([ConditionPattern::AtLeast(bound)], false) => write!(f, "{attribute} is at least {bound}"),
            ([ConditionPattern::AtLeast(bound)], true) => write!(f, "{attribute} is not at least {bound}"),
            ([ConditionPattern::AtMost(bound)], false) => write!(f, "{attribute} is at most {bound}"),
            ([ConditionPattern::AtMost(bound)], true) => write!(f, "{attribute} is not at most {bound}"),
            (several, false) => write!(f, "{attribute} is one of {}", list(several)),
            (several, true) => write!(f, "{attribute} is none of {}", list(several)),
        }
    }
}

fn list(patterns: &[ConditionPattern]) -> String {
    let word = |pattern: &ConditionPattern| match pattern {
        ConditionPattern::Is(text) => quoted(text),
        ConditionPattern::Matches(glob) => format!("like {glob}"),
        ConditionPattern::AtLeast(bound) => format!("at least {bound}"),
        ConditionPattern::AtMost(bound) => format!("at most {bound}"),
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
    use crate::step::AttributeDeclaration;
    use crate::yaml;

    const ATTRIBUTES: &[AttributeDeclaration] = &[
        AttributeDeclaration::text("modality", ""),
        AttributeDeclaration::text("source", ""),
        AttributeDeclaration::number("priority", ""),
        AttributeDeclaration::date("study_date", ""),
    ];

    fn read(when: &str) -> Result<StepCondition, yaml::Problems> {
        let mut collector = ProblemCollector::new("when", when);
        let tree = yaml::read(when, &mut collector).unwrap();
        let table = StepTable::default().with_attributes(ATTRIBUTES);
        let condition = StepCondition::read(tree, "step", &table, &mut collector);
        collector.finish(condition)
    }

    fn check_of(when: &str, (name, values): (&str, &str), words: &str, expected: bool) {
        let attributes = BTreeMap::from([(name.to_owned(), AttributeValues::split(values))]);
        let condition = read(when).unwrap();
        assert_eq!(condition.to_string(), words);
        let holds = condition.holds(&Request::new("r", attributes, Vec::new()));
        assert_eq!(holds, expected, "{when} of {values}");
    }

    fn check(when: &str, modality: &str, words: &str, expected: bool) {
        check_of(when, ("modality", modality), words, expected);
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
            let fits = ConditionPattern::Matches(glob.to_owned()).fits(AttributeKind::Text, value);
            assert_eq!(fits, expected, "{glob} of {value}");
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
    fn numbers_and_dates_have_an_order() {
        let number = |when: &str, value: &str, words: &str, expected| {
            check_of(when, ("priority", value), words, expected);
        };
        number("{priority: 3}", "3.0", "priority is 3", true);
        number("{priority: {at_least: 3}}", "10", "priority is at least 3", true);
        number("{priority: {at_least: 3}}", "high", "priority is at least 3", false);
        number("{priority: {at_least: 3}}", "1\\5", "priority is at least 3", true);
        number("{priority: {not: {at_most: 3}}}", "4", "priority is not at most 3", true);
        let date = |when: &str, value: &str, words: &str, expected| {
            check_of(when, ("study_date", value), words, expected);
        };
        date("{study_date: 2026-01-31}", "20260131", "study_date is 2026-01-31", true);
        date("{study_date: {matches: 2026*}}", "20260131", "study_date matches 2026*", true);
        date("{study_date: {at_most: 20260131}}", "2026-02-01", "study_date is at most 20260131", false);
        date("{study_date: \"\"}", "", "study_date is \"\"", true);
    }

    #[test]
    fn what_can_never_hold_is_a_problem() {
        let problem = |when: &str| read(when).unwrap_err().iter().next().unwrap().message.clone();
        assert_eq!(problem("{priority: high}"), "the condition on \"priority\" is a number, not \"high\"");
        assert_eq!(
            problem("{study_date: {at_least: 2026-13-01}}"),
            "the condition on \"study_date\" is a date, not \"2026-13-01\""
        );
        assert_eq!(
            problem("{modality: {at_least: CT}}"),
            "the condition on \"modality\" is a text, which has no \"at_least\""
        );
    }
}
