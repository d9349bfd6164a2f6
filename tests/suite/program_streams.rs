//! Steps of programs that make and take streams.

use std::fs;

use flow::dataflow::{Dataflow, ResponseVerdict};
use flow::step::StepTable;

use crate::program_steps::{Steps, fault, has_python, log, request, run, text};

const STREAMS: &str = "
@step
def numbers(request: 'request', count: int = 5000) -> '*json':
    print('not an answer')
    for number in range(count):
        yield Fault('seven is no number') if number == 7 else {'number': number}

@step
def pairs(item: 'json') -> '*number':
    yield item['number']
    yield item['number'] + 0.5

@step
def total(numbers: '*number', start: float = 0.0) -> 'json':
    count, sum = 0, start
    for number in numbers:
        count, sum = count + 1, sum + number
    return [count, sum]

@step
def write(total: 'json') -> 'files':
    return {'total.json': total}
";

const STREAM_STEPS: &str = "  numbers: {step: numbers, needs: {request: request}}
  pairs: {step: pairs, needs: {item: numbers}}
  total: {step: total, needs: {numbers: pairs}, with: {start: 1}}
  all: {step: write, needs: {total: total}}";

#[test]
fn steps_in_python_make_and_take_streams() {
    if !has_python() {
        return;
    }
    // One process for the program: each stream has its own besides.
    let steps = Steps::python(STREAMS);
    let text = format!(
        "dataflow: mine\nprograms: [steps.py]\nsteps:\n{STREAM_STEPS}\nresponse: [all]\n\
         on_item_failure: complete with reservations\n"
    );
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
    let dataflow = dataflow.unwrap_or_else(|error| panic!("{error}"));
    let expected: f64 = (0..5000).filter(|n| *n != 7).map(|n| 2.0 * f64::from(n) + 0.5).sum();
    for answered in [
        dataflow.interpret(&request(&["a"])),
        dataflow.interpret_by(&request(&["a"]), &mut |due| due.perform()),
    ] {
        let (response, files) = answered;
        assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{:?}", response.steps);
        let total: (u32, f64) = serde_json::from_slice(&files[0].bytes).unwrap();
        assert_eq!(total, (2 * 4999, expected + 1.0));
        let report = response.streams.iter().find(|report| report.step == "numbers").unwrap();
        assert_eq!((report.done, report.failed, report.faults[0].item.as_str()), (4999, 1, "8"));
    }
}

#[test]
fn a_stream_in_python_that_fails_is_a_fault_of_its_step() {
    if !has_python() {
        return;
    }
    for (code, reason, logged) in [
        (
            "def numbers(request: 'request') -> '*json':\n    yield {'number': 1}\n    raise ValueError('late')",
            "ValueError: late (steps.py, line ",
            "Traceback",
        ),
        (
            "def numbers(request: 'request') -> '*json':\n    yield {'number': 1}\n    import os\n    os._exit(3)",
            "ended",
            "",
        ),
        (
            "def numbers(request: 'request') -> '*number':\n    yield 'text'",
            "the step gave no number for an item",
            "",
        ),
    ] {
        let rest = "@step\ndef total(numbers: '*json') -> 'files':\n    return {'a.json': list(numbers)}\n";
        let steps = Steps::python(&format!("@step\n{code}\n{rest}"));
        let kind = if code.contains("*number") { "*number" } else { "*json" };
        let steps = if kind == "*number" {
            Steps::python(&format!("@step\n{code}\n{}", rest.replace("*json", "*number")))
        } else {
            steps
        };
        let dataflow = steps.load(
            "  numbers: {step: numbers, needs: {request: request}}\n  total: {step: total, needs: {numbers: numbers}}",
        );
        let (step, fault) = fault(&dataflow);
        assert_eq!(step, "numbers");
        assert!(fault.reason.contains(reason), "{}", fault.reason);
        assert!(logged.is_empty() || log(&fault).contains(logged), "{fault:?}");
    }
}

#[test]
fn a_step_in_python_may_end_before_its_stream() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "@step\ndef numbers(request: 'request') -> '*number':\n    yield from range(100000)\n\
         @step\ndef first(numbers: '*number') -> 'files':\n    return {'first.json': next(numbers)}\n\
         @step\ndef both(numbers: '*number', item: 'json') -> 'json':\n    return [sum(numbers), item]\n",
    );
    let dataflow = steps.load(
        "  numbers: {step: numbers, needs: {request: request}}\n  first: {step: first, needs: {numbers: numbers}}",
    );
    assert_eq!(text(&dataflow, &["a"]).trim(), "0.0");
}

#[test]
fn a_step_that_yields_without_saying_so_is_refused() {
    if !has_python() {
        return;
    }
    let steps = Steps::python("@step\ndef numbers(request: 'request') -> 'json':\n    yield 1\n");
    let told = steps.problems("steps.py", "  numbers: {step: numbers, needs: {request: request}}");
    assert!(told.contains("a step that yields items says so"), "{told}");
}

#[test]
fn json_of_built_in_steps_and_of_python_is_one_type() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "@step(batch=True)\ndef double(items: 'json') -> 'json':\n    \
         return [{**item, 'number': 2 * item['number']} for item in items]\n",
    );
    let text = "dataflow: mine\nprograms: [steps.py]\nsteps:\n  lines: {step: read-json-lines, needs: {request: request}}\n  \
                doubled: {step: double, needs: {items: lines}}\n  \
                numbers: {step: pick-number, needs: {item: doubled}, with: {field: /number, group: /kind}}\n  \
                total: {step: total-json, needs: {numbers: numbers}}\n  report: {step: write-total, needs: {total: total}}\n\
                response: [report]\n";
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
    let dataflow = dataflow.unwrap_or_else(|error| panic!("{error}"));
    let (response, files) =
        run(&dataflow, &["{\"kind\": \"a\", \"number\": 4}\n{\"kind\": \"a\", \"number\": 5}\n"]);
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
    let csv = files.iter().find(|file| file.name == "total.csv").unwrap();
    assert_eq!(String::from_utf8(csv.bytes.to_vec()).unwrap(), "group,count,sum\r\n\"a\",2,18\r\n");
}

#[test]
fn large_items_of_a_stream_are_sent_in_several_lines() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "@step\ndef texts(request: 'request') -> '*json':\n    yield from ['x' * 80000] * 1000\n\
         @step\ndef count(texts: '*json') -> 'files':\n    return {'count.json': sum(1 for text in texts)}\n",
    );
    let dataflow = steps.load(
        "  texts: {step: texts, needs: {request: request}}\n  count: {step: count, needs: {texts: texts}}",
    );
    assert_eq!(text(&dataflow, &["a"]).trim(), "1000");
}

#[test]
fn a_line_that_is_too_long_is_told() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "@step\ndef large(request: 'request') -> 'json':\n    return 'x' * (65 << 20)\n\
         @step\ndef write(all: 'json') -> 'files':\n    return {'all.json': len(all)}\n",
    );
    let (_, fault) = fault(&steps.load(
        "  large: {step: large, needs: {request: request}}\n  all: {step: write, needs: {all: large}}",
    ));
    assert!(fault.reason.contains("a line of more than 64 MiB"), "{}", fault.reason);
    assert!(fault.remedy.contains("in several lines"), "{}", fault.remedy);
}
