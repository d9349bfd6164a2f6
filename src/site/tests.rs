//! A site's file is read as it is meant, and everything that is wrong with it is told.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::time::Duration;

use super::*;
use crate::dataflow::RequestPriority;
use crate::step::Request;

/// `letterbox: NAME`, a destination that the site itself knows nothing of.
struct LetterboxSection;

#[derive(Debug)]
struct LetterboxSettings(Option<String>);

impl SiteSection for LetterboxSection {
    fn keys(&self) -> &'static [&'static str] {
        &["letterbox"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        Box::new(LetterboxSettings(reader.text("letterbox").map(|name| name.value)))
    }
}

impl SectionSettings for LetterboxSettings {
    fn destination_names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

fn parse(text: &str) -> Result<Site, Problems> {
    Site::parse("site.yaml", text, Path::new("/etc/flow"), &[&LetterboxSection])
}

fn check(text: &str, expected: &[&str]) {
    let problems = parse(text).expect_err("something is wrong");
    let told = |one: &yaml::Problem| match &one.hint {
        Some(hint) => format!("{}:{} {} ({hint})", one.line, one.column, one.message),
        None => format!("{}:{} {}", one.line, one.column, one.message),
    };
    let told: Vec<String> = problems.iter().map(told).collect();
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for wanted in expected {
        assert!(told.iter().any(|problem| problem.starts_with(wanted)), "{wanted}\n{told:#?}");
    }
}

fn request(modality: &str, calling_ae: &str) -> Request {
    let attributes = [("modality", modality), ("calling_ae", calling_ae)];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.into()));
    Request::new("r", BTreeMap::from(attributes), Vec::new())
}

#[test]
fn a_section_is_read_by_its_owner() {
    let site = parse("letterbox: first\nto: [first]").unwrap();
    assert_eq!(site.section::<LetterboxSettings>().unwrap().0.as_deref(), Some("first"));
    check(
        "letterbx: first\nto: [furst]",
        &[
            "1:1 the site has no key \"letterbx\" (did you mean \"letterbox\"?)",
            "2:6 there is no node \"furst\"",
        ],
    );
}

#[test]
fn general_settings_are_read() {
    let text = "
state: state
input: [in, /in]
workers: 3
lanes: 8
memory: 2 GiB
free_min: 512 MiB
keep: {days: 0.5, bytes: 10 GiB}
retry: [0 s, 1 min]
keep_trying: 2 h
readable_by: group
dataflow: flows/mine.yaml
";
    let expected = GeneralSettings {
        state: Some("/etc/flow/state".into()),
        dataflow: Some("/etc/flow/flows/mine.yaml".to_owned()),
        input: vec!["/etc/flow/in".into(), "/in".into()],
        workers: NonZero::new(3),
        lanes: NonZero::new(8),
        memory: Some(2 << 30),
        free_min: Some(512 << 20),
        keep: KeepSettings { days: Some(0.5), bytes: Some(10 << 30) },
        retry: Some(vec![Duration::ZERO, Duration::from_secs(60)]),
        keep_trying: Some(Duration::from_secs(7200)),
        readers: Some(FileReaders::Group),
        labels: Vec::new(),
    };
    assert_eq!(parse(text).unwrap().general, expected);
    check(
        "lanes: 0\nkeep: {day: 3}\nretry: [soon]",
        &[
            "1:8 \"lanes\" of the site is a whole number from 1",
            "2:8 \"keep\" has no key \"day\" (did you mean \"days\"?)",
            "3:9 \"retry\" of the site is a time, not \"soon\"",
        ],
    );
}

#[test]
fn the_first_rule_that_holds_says_where_a_request_goes() {
    let text = "
rules:
  - {when: {modality: CT, calling_ae: {not: TEST}}, dataflow: ct-lung}
  - when: {modality: [CT, MR]}
    dataflow: flows/other.yaml
  - default: rest.yaml
";
    let rules = parse(text).unwrap().rules.unwrap();
    let check = |modality, calling_ae, dataflow, words| {
        let request = request(modality, calling_ae);
        let choice = rules.choose(&request);
        assert_eq!((choice.dataflow, choice.to_string().as_str()), (dataflow, words));
    };
    check("CT", "CT1", "ct-lung", "rule 1 (line 3): modality is CT and calling_ae is not TEST");
    check("CT", "TEST", "/etc/flow/flows/other.yaml", "rule 2 (line 4): modality is one of CT, MR");
    check("PT", "CT1", "/etc/flow/rest.yaml", "the default (line 6)");
    assert_eq!(rules.dataflows().len(), 3);
}

#[test]
fn everything_that_is_wrong_with_rules_is_told() {
    let text = "
rules:
  - {when: {modalty: CT}, dataflow: a}
  - {default: b}
  - {wen: {modality: CT}, dataflow: c}
  - {when: {modality: CT}}
";
    check(
        text,
        &[
            "3:13 a request has no attribute \"modalty\" (did you mean \"modality\"?)",
            "4:5 the rules behind \"default\" would never be asked",
            "5:6 rule 3 has no key \"wen\" (did you mean \"when\"?)",
            "6:5 rule 4 lacks the key \"dataflow\"",
        ],
    );
    check("rules: [{when: {modality: CT}, dataflow: a}]", &["1:8 \"rules\" do not say where all other"]);
    check("rules: []", &["1:8 \"rules\" do not say where all other"]);
    check("rules: [{default: a}]\ndataflow: b", &["1:1 \"dataflow\" and \"rules\" both say"]);
}

#[test]
fn a_rule_says_the_priority_of_its_requests() {
    let text = "rules:
  - {when: {calling_ae: ER}, dataflow: ct-lung, priority: urgent}
  - {when: {modality: CT}, dataflow: ct-lung}
  - {default: study-report, priority: off-peak}
";
    let rules = parse(text).unwrap().rules.unwrap();
    let priority = |modality, calling_ae| rules.choose(&request(modality, calling_ae)).priority;
    assert_eq!(priority("CT", "ER"), Some(RequestPriority::Urgent));
    assert_eq!(priority("CT", "CT1"), None);
    assert_eq!(priority("MR", "CT1"), Some(RequestPriority::OffPeak));
    check(
        "rules: [{when: {modality: CT}, dataflow: ct-lung, priority: high}, {default: ct-lung}]",
        &["1:61 rule 1 does not know \"high\""],
    );
}
