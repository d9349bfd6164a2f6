//! `flow step` and `flow explain` on steps in Python that make, take and work on streams.

use std::fs;

use super::{Ended, Place};
use crate::program_steps::has_python;

const STEPS: &str = r#"
from flow_step import *

@step
def numbers(request: "request", count: int = 3) -> "*json":
    for number in range(count):
        yield Fault("there is no second", "Do without.") if number == 1 else {"n": number}
    if count > 5:
        raise ValueError("no more")

@step
def total(numbers: "*json") -> "number":
    return sum(number["n"] for number in numbers)

@step(batch=True)
def double(values: "number") -> "number":
    return [2 * value for value in values]

@step
def halve(number: "json") -> "json":
    print("about", number)
    return 4 // (number["n"] - 2)

@step
def write(halves: "[json]") -> "files":
    return {"halves.json": halves}
"#;

const DATAFLOW: &str = "
dataflow: mine
programs: [steps.py]
on_item_failure: complete with reservations
steps:
  numbers: {step: numbers, needs: {request: request}, with: {count: 4}}
  double: {step: double, needs: {values: total}}
  total: {step: total, needs: {numbers: numbers}}
  halves: {step: halve, needs: {number: numbers}}
  write: {step: write, needs: {halves: halves}}
response: [write]
";

fn place() -> Place {
    let place = Place::new();
    fs::write(place.path("steps.py"), STEPS).unwrap();
    fs::write(place.path("mine.yaml"), DATAFLOW).unwrap();
    fs::write(place.path("a.txt"), "a").unwrap();
    place
}

#[test]
fn a_step_alone_makes_its_stream_and_takes_one() {
    if !has_python() {
        return;
    }
    let place = place();
    let step = |arguments: &[&str]| -> Ended {
        place.run(&[&["step", "--dataflow", "mine.yaml"], arguments].concat())
    };
    let made = step(&["numbers", "--input", "request=a.txt"]);
    assert_eq!((made.code, made.out.as_str()), (1, "json  stream of json  3 items  flow-step/json.jsonl\n"));
    assert!(made.err.starts_with("item 2 failed: there is no second\n  hint: Do without.\n"), "{}", made.err);
    let lines = fs::read_to_string(place.path("flow-step/json.jsonl")).unwrap();
    assert_eq!(lines, "{\"n\":0}\n{\"n\":2}\n{\"n\":3}\n");
    let ended = step(&["numbers", "--input", "request=a.txt", "--with", "count=6"]);
    assert!(ended.out.contains("  5 items  ") && ended.code == 1, "{}", ended.out);
    assert!(ended.err.contains("the step failed: ValueError: no more (steps.py, line 9)"), "{}", ended.err);
    let whole = step(&["numbers", "--input", "request=a.txt", "--with", "count=1"]);
    assert_eq!((whole.code, whole.out.as_str()), (0, "json  stream of json  1 item  flow-step/json.jsonl\n"));

    let total = step(&["total", "--input", "numbers={\"n\": 1}", "numbers={\"n\": 2}"]);
    assert!(total.out.starts_with("number  number  3"), "{}{}", total.out, total.err);
    assert_eq!(step(&["double", "--input", "values=2"]).out, "number  number  4\n");
    let twice = step(&["double", "--input", "values=2", "values=3"]);
    assert!(twice.err.contains("takes one value at a time\n  hint: give it once"), "{}", twice.err);
}

#[test]
fn faults_of_items_are_explained_with_all_that_was_said() {
    if !has_python() {
        return;
    }
    let place = place();
    let ended = place.run(&["run", "mine.yaml", "--files", "a.txt"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let explained = place.run(&["explain", "1"]).out;
    for said in [
        "    numbers: 3 items done, 1 failed, 0 skipped\n      item 2 FAILED: there is no second\n      hint: Do without.\n",
        "    halves: 2 items done, 1 failed, 1 skipped\n      item 3 FAILED: ZeroDivisionError: integer division or modulo \
         by zero (steps.py, line 22)\n",
        "      standard error of item 3:\n        Traceback (most recent call last):\n",
        "        ZeroDivisionError: integer division or modulo by zero\n",
    ] {
        assert!(explained.contains(said), "{said}\n in \n{explained}");
    }
    let json: serde_json::Value = serde_json::from_str(&place.run(&["explain", "1", "--json"]).out).unwrap();
    let steps = json["steps"].as_array().unwrap().iter().flat_map(|step| step["streams"].as_array());
    let halves = steps.flatten().find(|stream| stream["step"] == "halves").unwrap();
    assert_eq!((&halves["items"]["failed"], &halves["logs"][0]["item"]), (&1.into(), &"3".into()));

    let failing = DATAFLOW.replace("count: 4", "count: 6").replace("dataflow: mine", "dataflow: failing");
    fs::write(place.path("failing.yaml"), failing).unwrap();
    fs::write(place.path("b.txt"), "b").unwrap();
    place.run(&["run", "failing.yaml", "--files", "b.txt", "--state", "other"]);
    let explained = place.run(&["explain", "1", "--state", "other"]).out;
    assert!(explained.contains("FAILED: ValueError: no more (steps.py, line 9)"), "{explained}");
    assert!(
        explained.contains("      standard error:\n        Traceback (most recent call last):"),
        "{explained}"
    );
}
