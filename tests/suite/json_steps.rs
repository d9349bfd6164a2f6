//! Dataflows of built-in steps on JSON: what the check says of their parameters, totals, and the files of responses.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::json::JsonItem;
use flow::step::{Item, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable};

/// The built-in steps, and one that writes how many items of a stream there are.
fn table() -> StepTable {
    let dump =
        Step::new("dump", 1, "Counts.").takes_each::<JsonItem>("items").gives::<ResponseFiles>("files");
    StepTable::built_in().with(dump.runs(|call| {
        let count = call.each::<JsonItem>("items").len().to_string();
        let file = ResponseFile::new("out.txt", "text/plain", count.into_bytes());
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    }))
}

const LINES: &str = "  lines: {step: read-json-lines, needs: {request: request}}\n";

fn parsed(steps: &str, response: &str) -> Result<Dataflow, String> {
    let text = format!("dataflow: x\nsteps:\n{LINES}{steps}response: {response}\n");
    Dataflow::parse("x.yaml", &text, &table()).map_err(|problems| problems.to_string())
}

fn answer(steps: &str, response: &str, lines: &str) -> (Response, Vec<ResponseFile>) {
    let dataflow = parsed(steps, response).unwrap_or_else(|problems| panic!("{problems}"));
    let request = Request::new("one", BTreeMap::new(), vec![Item::inline("a.jsonl", lines.as_bytes())]);
    dataflow.interpret(&Arc::new(request))
}

#[test]
fn a_field_without_its_slash_and_settings_that_fit_nothing_are_problems_at_their_lines() {
    let dump = "  all: {step: dump, needs: {items: a}}\n";
    let join = "  other: {step: read-json-lines, needs: {request: request}}\n";
    let item = "needs: {item: lines}";
    let problems = [
        ("", format!("step: keep-json, {item}, with: {{field: n}}"), "\"n\" is not a field: write /n"),
        ("", format!("step: distinct-json, {item}, with: {{field: n}}"), "write /n"),
        ("", format!("step: multiply-json, {item}, with: {{factors: [/n, m]}}"), "write /m"),
        (
            join,
            "step: join-json, needs: {left: lines, right: other}, with: {left_key: n, right_key: /n}".into(),
            "write /n",
        ),
        (
            join,
            "step: join-json, needs: {left: lines, right: other}, with: {left_key: /n, right_key: m}".into(),
            "write /m",
        ),
        (
            "",
            format!("step: multiply-json, {item}, with: {{factors: [/n], into: /a/b}}"),
            "\"/a/b\" is a JSON Pointer",
        ),
        ("", format!("step: rate-json, {item}, with: {{into: /a, rules: []}}"), "\"/a\" is a JSON Pointer"),
        ("", format!("step: set-json, {item}, with: {{fields: {{/a: 1}}}}"), "\"/a\" is a JSON Pointer"),
        (
            "",
            format!("step: call-http, {item}, with: {{url: \"http://a/\", into: /a}}"),
            "\"/a\" is a JSON Pointer",
        ),
        (
            "",
            format!("step: multiply-json, {item}, with: {{factors: []}}"),
            "`factors` takes one text or more",
        ),
        (
            "",
            format!("step: keep-json, {item}, with: {{field: /n, least: 3, most: 2}}"),
            "`least`, 3, is more than `most`, 2",
        ),
    ];
    for (more, step, says) in problems {
        let line = if more.is_empty() { 4 } else { 5 };
        let said = parsed(&format!("{more}  a: {{{step}}}\n{dump}"), "[all]").unwrap_err();
        assert!(said.starts_with(&format!("x.yaml:{line}:")) && said.contains(says), "{step}: {said}");
        assert_eq!(said.matches("x.yaml:").count(), 1, "{said}");
    }
    let route = |with: &str| {
        let steps = format!(
            "  a: {{step: route-json, {item}, with: {{{with}}}}}\n{}",
            dump.replace("a}}", "a.yes}}")
        );
        parsed(&steps, "[all]")
    };
    assert!(route("field: n, equals: [a]").unwrap_err().contains("write /n"));
    assert!(route("field: /n, equals: []").unwrap_err().contains("`equals` takes one text or more"));
    assert!(route("field: \"\", equals: [a]").is_ok(), "the item itself");
    // What is wrong by itself is said once.
    let said = route("feild: /n, equals: []").unwrap_err();
    assert!(said.contains("\"feild\"") && !said.contains("one text"), "{said}");
}

#[test]
fn totals_keep_values_of_other_types_apart() {
    let total = "  numbers: {step: pick-number, needs: {item: lines}, with: {field: /n, group: /g}}
  total: {step: total-json, needs: {numbers: numbers}}
  report: {step: write-total, needs: {total: total}}\n";
    let groups = |values: &[&str]| {
        let lines = values.iter().map(|value| format!("{{\"n\": 1, \"g\": {value}}}\n"));
        let (response, files) = answer(total, "[report]", &lines.collect::<String>());
        assert_eq!(response.verdict, ResponseVerdict::Complete, "{response:?}");
        let json: serde_json::Value = serde_json::from_slice(&files[0].bytes).unwrap();
        json["groups"].as_object().unwrap().keys().cloned().collect::<Vec<String>>()
    };
    assert_eq!(groups(&["\"2024\"", "\"a\"", "null", "\"a\""]), ["2024", "a", "null"]);
    let values = ["null", "\"null\"", "1", "\"1\"", "true", "\"true\"", "\"a\""];
    assert_eq!(groups(&values), ["\"1\"", "\"null\"", "\"true\"", "1", "a", "null", "true"]);
}

#[test]
fn files_of_one_name_are_in_the_folder_of_the_step_that_gives_them() {
    let steps = "  bad: {step: dump, needs: {items: lines}}\n  good: {step: dump, needs: {items: lines}}\n";
    let (response, _) = answer(steps, "[bad, good]", "1\n");
    let names: Vec<&str> = response.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["out.txt", "good/out.txt"]);
}

#[test]
fn a_response_of_steps_that_are_all_off_says_so() {
    let steps = |kept: &str, all: &str| {
        format!(
            "  kept: {{step: keep-json, needs: {{item: lines}}, with: {{field: /n}}{kept}}}
  all: {{step: dump, needs: {{items: kept}}{all}}}
  plain: {{step: dump, needs: {{items: lines}}}}\n"
        )
    };
    let off = ", enabled: false";
    for (steps, cause) in [(steps(off, ""), "kept"), (steps("", off), "all")] {
        assert_eq!(parsed(&steps, "[all]").unwrap().response_off_at(), Some(cause));
        let (response, files) = answer(&steps, "[all]", "{\"n\": 1}\n");
        assert_eq!((response.verdict, files.len()), (ResponseVerdict::CompleteWithReservations, 0));
        let [said] = &response.reservations[..] else { panic!("{response:?}") };
        assert_eq!((said.step.as_str(), said.code.as_str()), (cause, "response_off"));
        let (response, files) = answer(&steps, "[all, plain]", "{\"n\": 1}\n");
        assert_eq!((response.verdict, files.len()), (ResponseVerdict::Complete, 1), "one is left");
    }
    // Ways that meet: one is enough.
    let meeting = "  one: {step: distinct-json, needs: {item: lines}, with: {field: /n}ONE}
  other: {step: distinct-json, needs: {item: lines}, with: {field: /n}, enabled: false}
  all: {step: dump, needs: {items: [one, other]}}\n";
    let off_at = |one: &str| {
        parsed(&meeting.replace("ONE", one), "[all]").unwrap().response_off_at().map(str::to_owned)
    };
    assert_eq!((off_at(""), off_at(off)), (None, Some("one".to_owned())));
}
