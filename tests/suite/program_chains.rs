//! Chains: steps of one program that follow each other in a stream, whose items go through all of them at once. Whatever
//! becomes of an item, the response is that of the interpreter, which runs step by step.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::channel;

use flow::dataflow::{Dataflow, Response};
use flow::engine::NullObserver;
use flow::step::{NumberValue, ResponseFile, Step, StepTable};

use crate::engine::{LONG, with_observed_engine};
use crate::program_steps::{Steps, has_numpy, has_python, request, which_python};
use crate::support::receipt;

/// The steps around those that are tried, and one that says how it is called.
const AROUND: &str = "
import os, sys, time

@step
def numbers(request: 'request', count: int = 30) -> '*number':
    yield from range(count)

@step
def texts(request: 'request', count: int = 30) -> '*text':
    yield from map(str, range(count))

def way():
    frame, names = sys._getframe(), set()
    while frame:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return 'together' if '_chain' in names else 'alone'

@step
def tell(number: 'number') -> 'text':
    return way()

@step(batch=True)
def tell_batch(numbers: 'number') -> 'text':
    return [way()] * len(numbers)

@step
def write(all: '*json') -> 'files':
    return {'all.json': list(all)}

@step
def write_numbers(all: '*number') -> 'files':
    return {'all.json': list(all)}

@step
def write_texts(all: '*text') -> 'files':
    return {'all.json': list(all)}
";

fn steps(code: &str) -> Steps {
    Steps::python(&format!("{AROUND}\n{code}"))
}

fn load(steps: &Steps, program: &str, text: &str, table: &StepTable) -> Dataflow {
    let text = format!(
        "dataflow: mine\nprograms: [{program}]\nsteps:\n{text}\nresponse: [all]\n\
         on_item_failure: complete with reservations\n"
    );
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), table);
    dataflow.unwrap_or_else(|error| panic!("{error}"))
}

/// Runs steps batch by batch, as the engine does.
fn perform(steps: &Steps, program: &str, text: &str) -> (Response, Vec<ResponseFile>) {
    let dataflow = load(steps, program, text, &StepTable::built_in());
    dataflow.interpret_by(&request(&["a"]), &mut |due| due.perform())
}

/// The response to a run batch by batch, which is that of a run step by step.
fn agreed(steps: &Steps, text: &str) -> (Response, serde_json::Value) {
    let (response, files) = perform(steps, "steps.py", text);
    let dataflow = load(steps, "steps.py", text, &StepTable::built_in());
    let (plain, plain_files) = dataflow.interpret(&request(&["a"]));
    assert_eq!(response.streams, plain.streams);
    assert_eq!(response.steps, plain.steps);
    assert_eq!(response.verdict, plain.verdict);
    assert_eq!(json(&files), json(&plain_files));
    let all = json(&files);
    (response, all)
}

fn json(files: &[ResponseFile]) -> serde_json::Value {
    serde_json::from_slice(&files[0].bytes).unwrap()
}

/// The items that were done and that failed in a step, and the first faults.
fn counts<'a>(response: &'a Response, step: &str) -> (u64, u64, Vec<(&'a str, &'a str)>) {
    let report = response.streams.iter().find(|report| report.step == step).expect("the step took a stream");
    let faults = report.faults.iter().map(|fault| (fault.item.as_str(), fault.fault.reason.as_str()));
    (report.done, report.failed, faults.collect())
}

/// The ways in which the step that tells them was called.
fn ways(files: &[ResponseFile]) -> Vec<String> {
    let mut ways: Vec<String> = serde_json::from_slice(&files[0].bytes).unwrap();
    ways.dedup();
    ways
}

const PASSING: &str = "
@step
def pass_on(number: 'number', add: int = 1) -> 'number':
    return number + add

@step(batch=True)
def pass_batch(numbers: 'number') -> 'number':
    return [number + 1 for number in numbers]

@step
def pass_json(number: 'number') -> 'json':
    return number

@step
def tell_json(value: 'json') -> 'text':
    return way()
";

#[test]
fn steps_of_one_program_that_follow_each_other_are_asked_together() {
    if !has_python() {
        return;
    }
    let steps = steps(PASSING);
    let one = "{step: pass-on, needs: {number: numbers}}";
    let tell = "{step: tell, needs: {number: one}}";
    let batch = "{step: pass-batch, needs: {numbers: numbers}, batch: {size: 7}}";
    let tell_batch = "{step: tell-batch, needs: {numbers: one}, batch: {size: 7}}";
    let network = "{file: steps.py, network: true}";
    for (program, one, more, told, way) in [
        ("steps.py", one, "", tell, "together"),
        ("steps.py", batch, "", tell_batch, "together"),
        ("steps.py", batch, "", tell, "together"),
        // Batches of another size, and batches of single items.
        ("steps.py", batch, "", "{step: tell-batch, needs: {numbers: one}, batch: {size: 8}}", "alone"),
        ("steps.py", one, "", tell_batch, "alone"),
        // Batches on several threads.
        ("steps.py", &batch.replace("}}", "}, limits: {max: 2}}"), "", tell_batch, "alone"),
        // A value that is another one when it has been JSON.
        (
            "steps.py",
            "{step: pass-json, needs: {number: numbers}}",
            "",
            "{step: tell-json, needs: {value: one}}",
            "alone",
        ),
        // Another step takes the stream as well.
        ("steps.py", one, "  two: {step: write-numbers, needs: {all: one}}\n", tell, "alone"),
        // A program that can do something outside.
        (network, one, "", tell, "alone"),
    ] {
        let text = format!(
            "  numbers: {{step: numbers, needs: {{request: request}}}}\n  one: {one}\n{more}  told: {told}\n  \
             all: {{step: write-texts, needs: {{all: told}}}}"
        );
        let (response, files) = perform(&steps, program, &text);
        assert_eq!(ways(&files), [way], "{one} {told}: {:?}", response.streams);
    }
}

#[test]
fn numbers_go_from_step_to_step_as_flow_would_send_them() {
    if !has_python() || !has_numpy() {
        return;
    }
    let code = "
import numpy

@step(batch='numpy')
def numpy_whole(numbers: 'number') -> 'number':
    assert numbers.dtype == 'float64'
    return numbers.astype('int32')

@step(batch='numpy')
def numpy_own(numbers: 'number') -> 'number':
    assert numbers.dtype == 'float64' and not numbers.flags.writeable
    return numbers + 0.5

@step(batch=True)
def as_list(numbers: 'number') -> 'number':
    assert all(type(one) is float for one in numbers), numbers
    return [int(one) for one in numbers]

@step
def repeat(number: 'number', times: int = 2, words: list = Parameter(['a'])) -> 'text':
    words.append('b')
    return way() + str(number) * times + ''.join(words)
";
    let steps = steps(code);
    let program = format!("{{run: [{}, steps.py], memory: 16 GiB}}", which_python());
    let batch = "batch: {size: 10}";
    let text = format!(
        "  numbers: {{step: numbers, needs: {{request: request}}, with: {{count: 12}}}}
  a: {{step: numpy-whole, needs: {{numbers: numbers}}, {batch}}}
  b: {{step: numpy-own, needs: {{numbers: a}}, {batch}}}
  c: {{step: as-list, needs: {{numbers: b}}, {batch}}}
  d: {{step: numpy-own, needs: {{numbers: c}}, {batch}}}
  e: {{step: repeat, needs: {{number: d}}, with: {{times: 3}}}}
  all: {{step: write-texts, needs: {{all: e}}}}"
    );
    let (response, files) = perform(&steps, &program, &text);
    let said: Vec<String> = serde_json::from_slice(&files[0].bytes).unwrap();
    let wanted: Vec<String> =
        (0..12).map(|number| format!("together{number}.5{number}.5{number}.5ab")).collect();
    assert_eq!(said, wanted, "{:?}", response.streams);
}

const FAULTY: &str = "
@step
def first(number: 'number') -> 'number':
    if number % 50 == 3: raise Fault('three')
    if number == 700: return float('nan')
    if number == 1500: return True
    if number == 1501: return (1 << 53) + 1
    if number == 1502: return 1 << 60
    return float(number) if number % 2 else number

@step
def second(number: 'number') -> 'text':
    assert type(number) is (float if number == 1 << 60 else int)
    if number % 50 == 4: raise ValueError('four')
    if number == 1700: return 'half \\ud800'
    if number == 2500: return 'a\\0b'
    if number == 2700: print('to the log')
    return str(number)

@step
def third(text: 'text') -> 'json':
    if text == '5': raise Fault('five')
    if text == '6': return float('nan')
    return {'text': text}
";

#[test]
fn an_item_fails_in_the_step_that_fails() {
    if !has_python() {
        return;
    }
    let text = "  numbers: {step: numbers, needs: {request: request}, with: {count: 3000}}
  first: {step: first, needs: {number: numbers}}
  second: {step: second, needs: {number: first}}
  third: {step: third, needs: {text: second}}
  all: {step: write, needs: {all: third}}";
    let (response, all) = agreed(&steps(FAULTY), text);
    let (done, failed, faults) = counts(&response, "first");
    assert_eq!((done, failed, faults[0]), (2937, 63, ("4", "three")));
    let (done, failed, faults) = counts(&response, "second");
    assert_eq!((done, failed, faults.len()), (2876, 61, 20));
    assert!(faults[0].0 == "5" && faults[0].1.starts_with("ValueError: four (steps.py, line "), "{faults:?}");
    let (done, failed, faults) = counts(&response, "third");
    assert_eq!((done, failed, faults[0]), (2874, 2, ("6", "five")));
    assert_eq!(all.as_array().unwrap().len(), 2874);
    let log = |step: &str| {
        let report = response.streams.iter().find(|report| report.step == step).unwrap();
        String::from_utf8(report.faults[0].fault.log.0.clone().unwrap().to_vec()).unwrap()
    };
    assert!(log("first").contains("in first\n") && !log("first").contains("in second\n"), "{}", log("first"));
    assert!(
        log("second").contains("Traceback") && log("second").contains("in second\n"),
        "{}",
        log("second")
    );
}

const BATCHES: &str = "
@step(batch=True)
def first(numbers: 'number', how: str = 'well') -> 'number':
    if how == 'fault' and 21 in numbers: return [Fault('21') if one == 21 else one for one in numbers]
    if how == 'few' and 21 in numbers: return numbers[1:]
    if how == 'raise' and 21 in numbers: raise Fault('the whole batch')
    if how == 'none': return []
    if how == 'map': return {one: 1 for one in numbers}
    if how == 'end' and 21 in numbers: os._exit(3)
    return tuple(numbers)

@step(batch=True)
def second(numbers: 'number', how: str = 'well') -> 'number':
    return first(numbers, how)

@step(batch=True)
def spell(numbers: 'number') -> 'text':
    return ['x' * 100 for one in numbers]

@step(batch=True)
def number_of(texts: 'text') -> 'number':
    return [len(texts)] * len(texts)
";

#[test]
fn batches_are_those_of_steps_on_their_own() {
    if !has_python() {
        return;
    }
    let steps = steps(BATCHES);
    let run = |first: &str, second: &str, size: usize| {
        let batch = format!("batch: {{size: {size}}}");
        let text = format!(
            "  numbers: {{step: numbers, needs: {{request: request}}, with: {{count: 53}}}}
  first: {{step: first, needs: {{numbers: numbers}}, with: {{how: {first}}}, {batch}}}
  second: {{step: second, needs: {{numbers: first}}, with: {{how: {second}}}, {batch}}}
  third: {{step: first, needs: {{numbers: second}}, {batch}}}
  all: {{step: write-numbers, needs: {{all: third}}}}"
        );
        agreed(&steps, &text).0
    };
    for (how, failed, reason) in [
        ("fault", 1, "21"),
        ("few", 10, "it gave 9 results for a batch of 10"),
        ("raise", 10, "the whole batch"),
        ("none", 53, "it gave 0 results for a batch of 10"),
        ("map", 53, "TypeError: a step that takes a batch gives a list of results, not a dict"),
        ("end", 10, "the program steps.py ended with exit code 3"),
    ] {
        let response = run(how, "well", 10);
        let (done, lost, faults) = counts(&response, "first");
        assert_eq!((done, lost), (53 - failed, failed), "{how}: {faults:?}");
        assert!(faults[0].1.starts_with(reason), "{how}: {faults:?}");
        let response = run("well", how, 10);
        let (done, lost, faults) = counts(&response, "second");
        assert_eq!((done, lost), (53 - failed, failed), "{how}: {faults:?}");
        assert!(faults[0].1.starts_with(reason), "{how}: {faults:?}");
        assert_eq!(counts(&response, "first").0, 53, "{how}");
        // The second step fails for batches that begin elsewhere, since the first one lost an item.
        run("fault", how, 10);
        run("fault", how, 100);
    }
}

#[test]
fn a_batch_of_texts_ends_where_its_bytes_end() {
    if !has_python() {
        return;
    }
    let steps = steps(BATCHES);
    for (bytes, lens) in [("1 MiB", vec![40.0; 40]), ("1000 B", vec![9.0; 36])] {
        let text = format!(
            "  numbers: {{step: numbers, needs: {{request: request}}, with: {{count: 40}}}}
  spelt: {{step: spell, needs: {{numbers: numbers}}, batch: {{size: 40}}}}
  counted: {{step: number-of, needs: {{texts: spelt}}, batch: {{size: 40, bytes: {bytes}}}}}
  all: {{step: write-numbers, needs: {{all: counted}}}}"
        );
        let (_, all) = agreed(&steps, &text);
        let all: Vec<f64> = serde_json::from_value(all).unwrap();
        assert_eq!(all[..lens.len()], lens);
    }
}

const ENDING: &str = "
@step
def first(number: 'number') -> 'number':
    if number == 40: os._exit(4)
    return number

@step
def second(number: 'number') -> 'number':
    if number == 700: os._exit(5)
    if number == 9: raise Fault('nine')
    return number

clock = [0.0]
time.monotonic = lambda: clock[0]

@step
def slow(number: 'number') -> 'number':
    clock[0] += 0.06
    return number
";

#[test]
fn a_step_that_ends_its_process_fails_for_one_item() {
    if !has_python() {
        return;
    }
    let text = "  numbers: {step: numbers, needs: {request: request}, with: {count: 1400}}
  first: {step: first, needs: {number: numbers}}
  second: {step: second, needs: {number: first}}
  all: {step: write-numbers, needs: {all: second}}";
    let (response, all) = agreed(&steps(ENDING), text);
    let (done, failed, faults) = counts(&response, "first");
    assert_eq!((done, failed), (1399, 1), "{faults:?}");
    assert!(faults[0].0 == "41" && faults[0].1.contains("exit code 4"), "{faults:?}");
    let (done, failed, faults) = counts(&response, "second");
    assert_eq!((done, failed, faults[0]), (1397, 2, ("10", "nine")));
    assert!(faults[1].0 == "701" && faults[1].1.contains("exit code 5"), "{faults:?}");
    assert_eq!(all.as_array().unwrap().len(), 1397);
}

#[test]
fn slow_steps_have_their_items_all_the_same() {
    if !has_python() {
        return;
    }
    for [a, b] in [["slow", "second"], ["second", "slow"], ["slow", "slow"]] {
        let text = format!(
            "  numbers: {{step: numbers, needs: {{request: request}}, with: {{count: 200}}}}
  a: {{step: {a}, needs: {{number: numbers}}}}
  b: {{step: {b}, needs: {{number: a}}}}
  all: {{step: write-numbers, needs: {{all: b}}}}"
        );
        let (_, all) = agreed(&steps(ENDING), &text);
        let lost = usize::from([a, b].contains(&"second"));
        assert_eq!(all.as_array().unwrap().len(), 200 - lost, "{a} {b}");
    }
}

#[test]
fn a_chain_ends_when_its_request_is_cancelled() {
    if !has_python() {
        return;
    }
    let steps = steps(
        "@step\ndef quick(number: 'number') -> 'number':\n    return number\n\
         @step\ndef stuck(number: 'number') -> 'number':\n    time.sleep(1000)\n",
    );
    let (pass, passed) = channel();
    let note = Step::new("note", 1, "Notes.").takes::<NumberValue>("item").gives::<NumberValue>("item");
    let note = note.runs_each(move |item: NumberValue, _| {
        let _ = pass.send(());
        Ok(item)
    });
    let text = "  numbers: {step: numbers, needs: {request: request}}
  noted: {step: note, needs: {item: numbers}}
  quick: {step: quick, needs: {number: noted}}
  stuck: {step: stuck, needs: {number: quick}}
  all: {step: write-numbers, needs: {all: stuck}}";
    let dataflow = Arc::new(load(&steps, "steps.py", text, &StepTable::built_in().with(note)));
    with_observed_engine(&dataflow, 1, 1 << 30, Arc::new(NullObserver), move |queue, responses| {
        let request = request(&["a"]);
        queue.submit(receipt(flow::step::Request::clone(&request)));
        passed.recv_timeout(LONG).unwrap();
        queue.canceller().cancel(request.id);
        let response = responses.recv_timeout(LONG).expect("it is answered");
        assert_eq!(response.faults().next().map(|(_, fault)| fault.kind.name()), Some("cancelled"));
    });
}
