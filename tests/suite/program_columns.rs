//! Columns: the numbers and texts of a stream as bytes behind the lines of a program.

use std::fs;

use flow::dataflow::{Dataflow, Response, ResponseVerdict, StreamReport};
use flow::step::{ResponseFile, StepTable};

use crate::program_steps::{PYTHON, Steps, has_numpy, has_python, request, run, which_python};

/// The steps around those that are tried.
const AROUND: &str = "
from flow_step import *

@step
def numbers(request: 'request', count: int = 4) -> '*number':
    yield from range(count)

@step
def texts(request: 'request', size: int = 1, count: int = 4) -> '*text':
    yield from (str(number) * size for number in range(count))

@step
def write(all: '*json') -> 'files':
    return {'all.json': list(all)}

@step
def write_numbers(all: '*number') -> 'files':
    return {'all.json': [[number, type(number).__name__] for number in all]}

@step
def write_texts(all: '*text') -> 'files':
    return {'all.json': list(all)}
";

/// Runs steps of a program between those of [`AROUND`], batch by batch and step by step.
fn stream(steps: &Steps, program: &str, text: &str) -> (Response, Vec<ResponseFile>) {
    fs::write(steps.path("around.py"), AROUND).unwrap();
    let text = format!(
        "dataflow: mine\nprograms: [around.py, {program}]\nsteps:\n{text}\nresponse: [all]\n\
         on_item_failure: complete with reservations\n"
    );
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
    let dataflow = dataflow.unwrap_or_else(|error| panic!("{error}"));
    let (response, files) = dataflow.interpret_by(&request(&["a"]), &mut |due| due.perform());
    assert_eq!(json(&files), json(&run(&dataflow, &["a"]).1));
    assert!(
        [ResponseVerdict::Complete, ResponseVerdict::CompleteWithReservations].contains(&response.verdict),
        "{:?}",
        response.steps
    );
    (response, files)
}

fn report<'a>(response: &'a Response, step: &str) -> &'a StreamReport {
    response.streams.iter().find(|report| report.step == step).expect("the step took a stream")
}

/// Items with the reasons of their faults.
fn faults<'a>(response: &'a Response, step: &str) -> Vec<(&'a str, &'a str)> {
    let faults = report(response, step).faults.iter();
    faults.map(|fault| (fault.item.as_str(), fault.fault.reason.as_str())).collect()
}

fn json(files: &[ResponseFile]) -> serde_json::Value {
    serde_json::from_slice(&files[0].bytes).unwrap()
}

const NUMBERS: &str = "  numbers: {step: numbers, needs: {request: request}}
  tried: {step: tried, needs: {items: numbers}}
  all: {step: write-numbers, needs: {all: tried}}";

/// A program that speaks the protocol by itself.
const BY_HAND: &str = r#"
import json, os, struct, sys
calls, answers = sys.stdin.buffer, sys.stdout.buffer
def say(line, data=b""):
    answers.write(json.dumps(line).encode() + b"\n" + data)
    answers.flush()
say({"flow": 1, "columns": COLUMNS, "steps": [{"name": "tried", "grouped": True,
    "inputs": [{"name": "items", "type": "KIND"}], "outputs": [{"name": "items", "type": "KIND"}]}]})
for line in calls:
    call = json.loads(line)
    def answer(line, data=b""):
        say({"call": call["call"], **line}, data)
"#;

fn by_hand(columns: &str, kind: &str, body: &str) -> Steps {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let code = BY_HAND.replace("COLUMNS", columns).replace("KIND", kind);
    Steps::of("hand.txt", &format!("{code}{body}"))
}

fn hand() -> String {
    format!("{{run: [{PYTHON}, hand.txt]}}")
}

#[test]
fn a_program_gets_the_form_that_it_declares() {
    if !has_python() {
        return;
    }
    let lines = by_hand(
        "False",
        "number",
        "assert 'column' not in call\nassert all(type(one) is int for one in call['batch'])\n\
         answer({'values': [one + 1 for one in call['batch']]})",
    );
    let columns = by_hand(
        "True",
        "number",
        "head = call['column']\nassert 'batch' not in call and head['type'] == 'int64'\n\
         count, size = head['count'], head['bytes']\nassert size == 8 * count\n\
         numbers = struct.unpack(f'<{count}q', calls.read(size))\n\
         answer({'column': head}, struct.pack(f'<{count}q', *[one + 1 for one in numbers]))",
    );
    for steps in [lines, columns] {
        let (response, files) = stream(&steps, &hand(), NUMBERS);
        let expected = serde_json::json!([[1, "int"], [2, "int"], [3, "int"], [4, "int"]]);
        assert_eq!(json(&files), expected, "{:?}", response.streams);
    }
}

#[test]
fn a_column_that_is_not_as_it_says_is_a_fault_of_its_items() {
    if !has_python() {
        return;
    }
    let read = "calls.read(call['column']['bytes'])\ncount = call['column']['count']\n\
                head = {'type': 'float64', 'count': count, 'bytes': 8 * count}\n";
    for (columns, body, reason) in [
        ("True", "answer({'column': {**head, 'bytes': 7}})", "cannot have 7 bytes"),
        (
            "True",
            "answer({'column': head}, bytes(8 * count - 1))\nprint('no model', file=sys.stderr)\nos._exit(3)",
            "ended with exit code 3 within its answer (its column does not end); standard error: no model",
        ),
        (
            "True",
            "answer({'column': head})\nos.kill(os.getpid(), 9)",
            "ended with signal 9 within its answer (its column does not end)",
        ),
        ("True", "answer({'column': head})\nos.close(1)\ncalls.read()", "what is no answer (its column"),
        (
            "True",
            "answer({'column': {**head, 'count': 1, 'bytes': 8}}, bytes(8) + b'\\n')",
            "goes on behind its answer",
        ),
        (
            "True",
            "answer({'column': {'type': 'text', 'count': 1, 'bytes': (1 << 64) - 1}})",
            "a line of more than 64 MiB",
        ),
        (
            "True",
            "answer({'column': {'type': 'text', 'count': 1, 'bytes': 64 << 20}})",
            "a line of more than 64 MiB",
        ),
        (
            "True",
            "head['count'] += 1\nhead['bytes'] += 8\nanswer({'column': head}, bytes(head['bytes']))",
            "results for",
        ),
        (
            "False",
            "count = len(call['batch'])\n\
             answer({'column': {'type': 'float64', 'count': count, 'bytes': 8 * count}}, bytes(8 * count))",
            "did not declare",
        ),
    ] {
        let body = if columns == "True" { format!("{read}{body}") } else { body.to_owned() };
        let steps = by_hand(columns, "number", &body);
        let (response, _) =
            stream(&steps, &hand(), &NUMBERS.replace("request}}\n", "request}, with: {count: 2}}\n"));
        let said = faults(&response, "tried");
        assert_eq!(said.len(), 2, "{body}: {said:?}");
        assert!(said.iter().all(|(_, said)| said.contains(reason)), "{body}: {said:?}");
    }
}

#[test]
fn a_program_may_answer_before_it_has_read_a_column() {
    if !has_python() {
        return;
    }
    // More than a pipe holds, both ways.
    let steps = by_hand(
        "True",
        "text",
        "head = call['column']\nanswer({'column': head}, b'x' * (head['bytes'] // head['count'] - 1) + b'\\0' if \
         head['count'] == 1 else b'y\\0' * (head['count'] - 1) + b'y' * (head['bytes'] - 2 * head['count'] + 1) + b'\\0')\n\
         calls.read(head['bytes'])",
    );
    let text = "  texts: {step: texts, needs: {request: request}, with: {size: 300000, count: 3}}
  tried: {step: tried, needs: {items: texts}}
  all: {step: write-texts, needs: {all: tried}}";
    let (response, files) = stream(&steps, &hand(), text);
    assert_eq!(report(&response, "tried").done, 3, "{:?}", response.streams);
    assert_eq!(json(&files).as_array().unwrap().len(), 3);
}

#[test]
fn faults_in_the_middle_of_a_column_are_those_of_their_items() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "import os\n@step\ndef tried(items: 'number') -> 'number':\n    \
         assert type(items) is int\n    \
         if items == 1: raise Fault('one is no number')\n    \
         if items == 2: return float('nan')\n    \
         if items == 3: return float('inf')\n    \
         if items == 1500: return True\n    \
         if items == 1501: return (1 << 53) + 1\n    \
         if items == 1502: raise StopIteration\n    \
         if items == 2500: return (1 << 53) + 1.0\n    \
         return items if items < 2000 else 7\n",
    );
    let text = NUMBERS.replace("request}}\n", "request}, with: {count: 3000}}\n");
    let (response, files) = stream(&steps, "steps.py", &text);
    let said = faults(&response, "tried");
    let no_number = "the step gave no number for an item";
    for ((item, reason), (of, says)) in said.iter().zip([
        ("2", "one is no number"),
        ("3", no_number),
        ("4", no_number),
        ("1501", no_number),
        ("1502", no_number),
        ("1503", "StopIteration"),
    ]) {
        assert!(*item == of && reason.contains(says), "{item}: {reason}");
    }
    assert_eq!((said.len(), report(&response, "tried").done), (6, 2994));
    let all = json(&files);
    let all: Vec<f64> = all.as_array().unwrap().iter().map(|one| one[0].as_f64().unwrap()).collect();
    let wanted = (0..3000_u32).filter(|number| ![1, 2, 3, 1500, 1501, 1502].contains(number));
    let wanted = wanted.map(|number| match number {
        2500 => 9_007_199_254_740_992.0,
        number if number < 2000 => f64::from(number),
        _ => 7.0,
    });
    assert_eq!(all, wanted.collect::<Vec<f64>>());
}

#[test]
fn texts_that_no_column_can_have_go_as_json() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "import os\n@step\ndef tried(items: 'text') -> 'text':\n    \
         return {'0': 'a\\0b', '1': 'half \\ud800', '2': 2, '3': str(os.getpid())}.get(items, items)\n\
         @step\ndef again(items: 'text') -> 'text':\n    \
         return items if items.isdigit() else repr(items)\n",
    );
    let text = "  texts: {step: texts, needs: {request: request}, with: {count: 5}}
  tried: {step: tried, needs: {items: texts}}
  again: {step: again, needs: {items: tried}}
  all: {step: write-texts, needs: {all: again}}";
    let (response, files) = stream(&steps, "steps.py", text);
    let said = faults(&response, "tried");
    assert_eq!(said.iter().map(|(item, _)| *item).collect::<Vec<_>>(), ["2", "3"], "{said:?}");
    assert!(said[0].1.contains("surrogates not allowed"), "{said:?}");
    assert!(said[1].1.contains("the step gave no text for an item"), "{said:?}");
    let all = json(&files);
    assert_eq!((all[0].as_str(), all[2].as_str()), (Some("'a\\x00b'"), Some("4")), "{all}");
}

const KINDS: &str = "
@step
def two(request: 'request') -> 'number':
    return 2.0

@step
def half(number: 'number') -> 'number':
    return number / 2

@step
def same(number: 'number') -> 'number':
    return number

@step
def kind(number: 'number') -> 'text':
    return f'{number} {type(number).__name__}'

@step(batch=True)
def kinds(numbers: 'number') -> 'text':
    return list(map(kind, numbers))

@step
def write_kinds(numbers: '*number') -> 'files':
    return {'all.json': list(map(kind, numbers))}

@step
def write_single(kind: 'text') -> 'files':
    return {'all.json': [kind]}
";

#[test]
fn a_whole_number_is_an_int_however_it_travels() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(KINDS);
    let kinds = |texts: &[&str]| serde_json::json!(texts);
    let (whole, mixed) = (["0 int", "1 int", "2 int", "3 int"], ["0 int", "0.5 float", "1 int", "1.5 float"]);
    // Through several steps at once, and each step by itself.
    for program in ["steps.py", "{file: steps.py, network: true}"] {
        for (made, expected) in [
            (
                "same: {step: same, needs: {number: numbers}}\n  made: {step: same, needs: {number: same}}",
                whole,
            ),
            ("made: {step: half, needs: {number: numbers}}", mixed),
        ] {
            for last in [
                "kinds: {step: kind, needs: {number: made}}\n  all: {step: write-texts, needs: {all: kinds}}",
                "kinds: {step: kinds, needs: {numbers: made}}\n  all: {step: write-texts, needs: {all: kinds}}",
                "kinds: {step: kinds, needs: {numbers: made}, batch: {size: 1}}\n  all: {step: write-texts, needs: \
                 {all: kinds}}",
                "all: {step: write-kinds, needs: {numbers: made}}",
            ] {
                let text =
                    format!("  numbers: {{step: numbers, needs: {{request: request}}}}\n  {made}\n  {last}");
                let (response, files) = stream(&steps, program, &text);
                assert_eq!(json(&files), kinds(&expected), "{program} {text}: {:?}", response.streams);
            }
        }
    }
    let text = "  two: {step: two, needs: {request: request}}
  kind: {step: kind, needs: {number: two}}
  all: {step: write-single, needs: {kind: kind}}";
    assert_eq!(json(&stream(&steps, "steps.py", text).1), kinds(&["2 int"]));
}

const NUMPY: &str = "
import numpy

@step(batch='numpy')
def tried(items: 'number', how: str = 'float') -> 'number':
    assert type(items) is numpy.ndarray and items.dtype == 'float64' and items.ndim == 1, items
    assert not items.flags.writeable
    if how == 'float':
        return items + 0.5
    if how == 'whole':
        return items.astype('int32')
    if how == 'huge':
        return numpy.full(len(items), (1 << 63) + 1, dtype='uint64')
    if how == 'flags':
        return items > 1
    if how == 'square':
        return numpy.zeros((len(items), 2))
    if how == 'short':
        return items[1:]
    if how == 'strided':
        return numpy.repeat(items, 2)[::2]
    if how == 'holes':
        return numpy.where(items == 2, numpy.nan, items)
    return [Fault('two') if item == 2 else item for item in items]
";

/// How a step gives its results, the numbers that come of it, and the items that have a fault with its reason.
type ArrayCase<'a> = (&'a str, &'a [f64], &'a [(&'a str, &'a str)]);

#[test]
fn a_batch_of_numbers_comes_and_goes_as_an_array() {
    if !has_python() || !has_numpy() {
        return;
    }
    let steps = Steps::python(NUMPY);
    let program = format!("{{run: [{}, steps.py], memory: 16 GiB}}", which_python());
    let text = "  numbers: {step: numbers, needs: {request: request}}
  tried: {step: tried, needs: {items: numbers}, with: {how: HOW}, batch: {size: 4}}
  all: {step: write-numbers, needs: {all: tried}}";
    let no_number = "the step gave no number for an item";
    let third = [("3", no_number)];
    let all = |reason| [("1", reason), ("2", reason), ("3", reason), ("4", reason)];
    let cases: [ArrayCase; 9] = [
        ("float", &[0.5, 1.5, 2.5, 3.5], &[]),
        ("whole", &[0.0, 1.0, 2.0, 3.0], &[]),
        ("strided", &[0.0, 1.0, 2.0, 3.0], &[]),
        ("holes", &[0.0, 1.0, 3.0], &third),
        ("list", &[0.0, 1.0, 3.0], &[("3", "two")]),
        ("flags", &[], &all(no_number)),
        ("square", &[], &all(no_number)),
        ("huge", &[], &all(no_number)),
        ("short", &[], &all("3 results for a batch of 4")),
    ];
    for (how, numbers, lost) in cases {
        let (response, files) = stream(&steps, &program, &text.replace("HOW", how));
        let given = json(&files);
        let given: Vec<f64> = given.as_array().unwrap().iter().map(|one| one[0].as_f64().unwrap()).collect();
        assert_eq!(given, numbers, "{how}: {:?}", response.streams);
        let said = faults(&response, "tried");
        assert_eq!(said.len(), lost.len(), "{how}: {said:?}");
        let fits = |((item, reason), (of, says)): (&(&str, &str), &(&str, &str))| {
            item == of && reason.contains(says)
        };
        assert!(said.iter().zip(lost).all(fits), "{how}: {said:?}");
    }
    let wrong = NUMPY.replace("items: 'number'", "items: 'text'");
    let told = Steps::python(&wrong).problems(&program, "  tried: {step: tried, needs: {items: request}}");
    assert!(told.contains("a NumPy array has the type number, not text"), "{told}");
    let wrong = NUMPY.replace("'numpy')", "'panda')");
    let told = Steps::python(&wrong).problems(&program, "  tried: {step: tried, needs: {items: request}}");
    assert!(told.contains("batch is True or"), "{told}");
}

#[test]
fn streams_are_made_and_taken_in_batches() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "@step(batch=True)\ndef lists(request: 'request') -> '*number':\n    \
         yield [1, 2.5]\n    yield range(20000)\n    yield Fault('a fault of its own')\n    yield []\n    \
         yield (4, Fault('between'), 5)\n\
         @step(batch=True)\ndef words(request: 'request') -> '*text':\n    \
         yield ['a', 'b']\n    yield ['x' * 40000] * 2000\n\
         @step(batch=True)\ndef sums(lists: '*number', words: 'json') -> 'json':\n    \
         return [sum(sum(each) for each in lists), words]\n\
         @step(batch=True)\ndef count(words: '*text') -> 'json':\n    \
         return sum(len(word) for each in words for word in each)\n\
         @step\ndef write(sums: 'json', count: 'json') -> 'files':\n    return {'all.json': [sums, count]}\n",
    );
    let text = "  lists: {step: lists, needs: {request: request}}
  words: {step: words, needs: {request: request}}
  count: {step: count, needs: {words: words}}
  sums: {step: sums, needs: {lists: lists, words: count}}
  all: {step: write, needs: {sums: sums, count: count}}";
    fs::write(
        steps.path("mine.yaml"),
        format!(
            "dataflow: mine\nprograms: [steps.py]\nsteps:\n{text}\nresponse: [all]\n\
             on_item_failure: complete with reservations\n"
        ),
    )
    .unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
    let (response, files) = run(&dataflow.unwrap_or_else(|error| panic!("{error}")), &["a"]);
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{:?}", response.steps);
    let said = json(&files);
    assert_eq!(said[0][0].as_f64(), Some(f64::from((0..20_000).sum::<u32>()) + 12.5), "{said}");
    assert_eq!(said[1], 2 + 40_000 * 2000);
    assert_eq!(faults(&response, "lists"), [("20003", "a fault of its own"), ("20005", "between")]);
}
