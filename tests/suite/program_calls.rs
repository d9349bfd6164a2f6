//! Calls of programs that answer late, or end between two calls.

use std::fs;
use std::time::{Duration, Instant};

use flow::dataflow::{Dataflow, ResponseVerdict};
use flow::step::{
    Call, CancelToken, Digest, Fault, Item, ResultIdentity, StepInputs, StepOutputs, StepParameters,
    UnrecordedCalls, Value, WiredInput,
};

use crate::program_steps::{PYTHON, Steps, fault, has_python, run, text};

/// Answers each call twice, the second time late.
const TWICE: &str = r#"
import json, sys, threading, time
def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
print(json.dumps({"flow": 1, "steps": [{"name": "echo", "inputs": [{"name": "item", "type": "item"}],
    "outputs": [{"name": "json", "type": "json"}]}]}), flush=True)
for line in sys.stdin:
    call = json.loads(line)
    with open(call["inputs"]["item"]["path"]) as file:
        answer = json.dumps({"call": call["call"], "outputs": {"json": file.read()}})
    time.sleep(0.1)
    say(answer)
    threading.Timer(0.05, say, [answer]).start()
"#;

#[test]
fn an_answer_that_comes_late_is_never_that_of_the_next_call() {
    if !has_python() {
        return;
    }
    let steps = Steps::of("twice.txt", TWICE);
    let write = "from flow_step import *\n@step\ndef write(all: '[json]') -> 'files':\n    return {'all.json': all}\n";
    fs::write(steps.path("steps.py"), write).unwrap();
    let program = format!("{{run: [{PYTHON}, twice.txt]}}, steps.py");
    let text = "  said: {step: echo, needs: {item: request.items}}\n  all: {step: write, needs: {all: said}}";
    let dataflow = steps.load_with(&program, text).unwrap_or_else(|error| panic!("{error}"));
    let mut refused = 0;
    for letter in ["a", "b", "c", "d"] {
        let (response, files) = run(&dataflow, &[letter]);
        if response.verdict == ResponseVerdict::Failed {
            refused += 1;
            let (_, fault) = response.faults().next().unwrap();
            assert!(
                ["answers call", "nothing was asked", "goes on behind its answer"]
                    .iter()
                    .any(|reason| fault.reason.contains(reason)),
                "{fault}"
            );
        } else {
            let said: Vec<String> = serde_json::from_slice(&files[0].bytes).unwrap();
            assert_eq!(said, [letter]);
        }
    }
    assert!(refused > 0, "a late answer is a fault");
}

/// A step whose program ends after each answer, and one whose program leaves a process that has its output.
const LEAVING: &str = r#"
import os, subprocess, sys, threading, time

@step
def leave(item: "item") -> "json":
    threading.Timer(0.05, os._exit, [3]).start()
    return sys.stdin.read() + subprocess.run(["cat"], capture_output=True, text=True).stdout + item.text()

@step
def stop(item: "item") -> "json":
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(3)

@step
def write(all: "[json]") -> "files":
    return {"all.json": all}
"#;

#[test]
fn a_process_that_ended_while_it_was_idle_fails_nobody_and_its_end_is_seen_at_once() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(LEAVING);
    let left = steps.load(
        "  left: {step: leave, needs: {item: request.items}}\n  all: {step: write, needs: {all: left}}",
    );
    for letter in ["a", "b", "c"] {
        assert_eq!(text(&left, &[letter]).split_whitespace().collect::<String>(), format!("[\"{letter}\"]"));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let stopped = steps
        .load("  said: {step: stop, needs: {item: request.items}}\n  all: {step: write, needs: {all: said}}");
    let (step, fault) = fault(&stopped);
    assert!(step == "said" && fault.reason.contains("ended with exit code 3"), "{fault}");
}

#[test]
fn annotations_may_be_texts() {
    if !has_python() {
        return;
    }
    let code = "from __future__ import annotations\nfrom flow_step import *\n@step\n\
                def both(item: 'item') -> {'counts': 'json', 'size': 'number'}:\n    \
                return {'counts': [item.text()], 'size': 2}\n\
                @step\ndef write(counts: '[json]', size: '[number]') -> 'files':\n    \
                return {'all.json': [counts, size]}\n\
                @step\ndef none(request: 'request') -> '*json':\n    yield 1\n";
    let steps = Steps::of("steps.py", code);
    let dataflow = steps.load(
        "  each: {step: both, needs: {item: request.items}}\n  \
         all: {step: write, needs: {counts: each.counts, size: each.size}}",
    );
    let said = text(&dataflow, &["a"]).split_whitespace().collect::<String>();
    assert_eq!(said, "[[[\"a\"]],[2]]");
}

/// A step that has the only process until a file is there, and one that needs none for long.
const HOLDING: &str = r#"
import os, time

@step
def hold(item: "item") -> "files":
    name = item.text()
    open(name + ".begun", "w").close()
    while not os.path.exists(name + ".end"):
        time.sleep(0.01)
    return {}

@step
def quick(item: "item") -> "files":
    return {"pid": str(os.getpid())}
"#;

/// Calls a step for the final answer to a request, or for that of its deadline.
fn call(
    dataflow: &Dataflow,
    step: &str,
    text: &str,
    edition: u32,
    token: &CancelToken,
) -> Result<StepOutputs, Fault> {
    let item = Item::inline("a", text.as_bytes().to_vec());
    let inputs = StepInputs::default().with("item", WiredInput::One(Value::new(item)));
    let digest = Digest::of(b"d");
    let (parameters, environment) = (StepParameters::default(), UnrecordedCalls::shared());
    let identity = ResultIdentity { request: digest, dataflow: digest, step: step.into(), edition };
    let step = dataflow.step(step).unwrap();
    step.call(&Call {
        inputs: &inputs,
        parameters: &parameters,
        identity: &identity,
        token,
        environment: &environment,
    })
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_answer_of_a_deadline_does_not_wait_for_a_process_and_other_waits_do_not_count() {
    if !has_python() {
        return;
    }
    let (steps, place) = (Steps::python(HOLDING), tempfile::tempdir().unwrap());
    let dataflow = steps
        .load_with(
            &format!("{{file: steps.py, writes: [{}]}}", place.path().display()),
            "  hold: {step: hold, needs: {item: request.items}}\n  quick: {step: quick, needs: {item: request.items}}",
        )
        .unwrap_or_else(|error| panic!("{error}"));
    let path = place.path().join("held");
    let (name, beside) = (path.to_str().unwrap(), |end: &str| path.with_extension(end));
    let token = CancelToken::default;
    let (waits, unwanted, interim) = (token(), token(), token());
    std::thread::scope(|scope| {
        let held = scope.spawn(|| call(&dataflow, "hold", name, 0, &token()));
        wait_until("the process is held", || beside("begun").exists());
        let waiting = scope.spawn(|| call(&dataflow, "quick", "", 0, &waits));
        let cancelled = scope.spawn(|| call(&dataflow, "quick", "", 0, &unwanted));
        let before = || !waits.waited().is_zero() && !unwanted.waited().is_zero();
        wait_until("both wait", before);
        let quick = scope.spawn(|| call(&dataflow, "quick", "", 1, &interim));
        let is_answered = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            quick.is_finished()
        });
        if !is_answered {
            // Nothing else would end the test.
            fs::write(beside("end"), "").unwrap();
        }
        assert!(is_answered && quick.join().unwrap().is_ok() && interim.waited().is_zero());
        unwanted.cancel();
        assert!(cancelled.join().unwrap().is_err(), "a cancellation ends the wait");
        assert!(!held.is_finished() && !waiting.is_finished());
        fs::write(beside("end"), "").unwrap();
        assert!(held.join().unwrap().is_ok() && waiting.join().unwrap().is_ok());
    });
}
