//! What steps in Python get and give at the edges: names of files, places and remedies of faults, JSON that flow cannot
//! read, processes that a step forks, and whole numbers as parameters.

use std::fs;

use flow::dataflow::{Dataflow, ResponseVerdict};
use flow::step::{FaultKind, StepTable};

use crate::program_steps::{Steps, fault, has_python, request, run, text};

/// A step that gives what this expression says.
fn giving(expression: &str, step: &str) -> Steps {
    Steps::python(&format!(
        "import json, os\n@step\ndef give(item: 'item') -> {step}:\n    return {expression}\n"
    ))
}

const GIVE: &str = "  give: {step: give, needs: {item: request.items}}";

#[test]
fn the_name_of_a_file_stays_below_its_output() {
    if !has_python() {
        return;
    }
    let long = "x".repeat(201);
    for name in ["../total.txt", "a/../../b/x.txt", "/tmp/x", "", "./", "a\\0b", &long] {
        let (_, said) = fault(&giving(&format!("{{'{name}': 'x'}}"), "'files'").load(GIVE));
        let shown = if name.contains('0') { "a\\x00b" } else { name };
        let expected = format!("ValueError: '{shown}' cannot be the name of a file");
        assert!(said.reason.starts_with(&expected), "{said}");
        assert!(!said.reason.contains(".py"), "nothing of the steps was reached: {said}");
    }
    let (_, files) = run(&giving("{'a/b.txt': 'x', 'ü' * 100: ''}", "'files'").load(GIVE), &["a"]);
    assert_eq!(files.len(), 2);
}

#[test]
fn a_fault_names_the_last_line_of_the_steps_and_its_kind() {
    if !has_python() {
        return;
    }
    let own = Steps::python(
        "import own\n@step\ndef give(item: 'item') -> 'files':\n    return own.read(item.text())\n",
    );
    fs::write(own.path("own.py"), "import json\n\ndef read(text):\n    return json.loads(text)\n").unwrap();
    let (_, said) = fault(&own.load(GIVE));
    assert!(
        said.reason.starts_with("JSONDecodeError: ") && said.reason.ends_with("(own.py, line 4)"),
        "{said}"
    );
    let (_, said) = fault(&giving("[][len('ü' * (1 << 20) + chr(1))]", "'files'").load(GIVE));
    assert!(said.reason.ends_with("(steps.py, line 5)"), "{said}");
    let (_, said) = fault(&giving("{}['ü' * (1 << 20)]", "'files'").load(GIVE));
    assert!(said.reason.starts_with("KeyError: 'üü"), "{said}");
    assert!(said.reason.ends_with("üü' (steps.py, line 5)") && !said.reason.contains('\u{fffd}'), "{said}");
}

#[test]
fn what_the_program_was_not_granted_is_named_by_its_key() {
    if !has_python() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    for (expression, keys) in [
        (format!("open('{}', 'w')", path.display()), ["`writes:`", path.to_str().unwrap()]),
        ("__import__('socket').create_connection(('192.0.2.1', 9), 20)".to_owned(), ["`network: true`", ""]),
    ] {
        let (_, said) = fault(&giving(&expression, "'files'").load(GIVE));
        assert_eq!(said.kind, FaultKind::Broken);
        assert!(keys.iter().all(|key| said.remedy.contains(key)), "{said}");
    }
}

#[test]
fn an_item_that_is_no_json_for_flow_is_a_fault_of_its_own() {
    if !has_python() {
        return;
    }
    let code = "def deep(count):\n    value = 1\n    for _ in range(count):\n        value = [value]\n    return value\n\
                @step\ndef made(request: 'request') -> '*json':\n    for number in range(100):\n        \
                yield [deep(130), {'id': 2 ** 64}, deep(100000), -2 ** 63 - 1, deep(110), 2 ** 64 - 1][number] if number < 6 else number\n\
                @step\ndef count(items: '*json') -> 'files':\n    return {'n': str(sum(1 for _ in items))}\n\
                @step\ndef numbers(request: 'request') -> '*number':\n    yield from range(1000)\n\
                @step(batch=True)\ndef deepen(numbers: 'number') -> 'json':\n    \
                return [deep(130) if one == 7 else {'n': [one]} for one in numbers]\n\
                @step\ndef give(item: 'item') -> 'json':\n    return deep(130)\n\
                @step\ndef write(all: '[json]') -> 'files':\n    return {}\n";
    let steps = Steps::python(code);
    let counted = |made: &str, of: &str| {
        let text = format!(
            "dataflow: mine\nprograms: [steps.py]\non_item_failure: complete with reservations\nsteps:\n{made}\n  \
             count: {{step: count, needs: {{items: {of}}}}}\nresponse: [count]\n"
        );
        fs::write(steps.path("mine.yaml"), text).unwrap();
        let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
        let (response, files) =
            dataflow.unwrap_or_else(|error| panic!("{error}")).interpret(&request(&["a"]));
        assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{:?}", response.steps);
        let report = response.streams.iter().find(|report| report.step == of).unwrap();
        let reasons = report.faults.iter().map(|lost| lost.fault.reason.clone()).collect::<Vec<String>>();
        (String::from_utf8(files[0].bytes.to_vec()).unwrap(), reasons)
    };
    let (count, reasons) = counted("  made: {step: made, needs: {request: request}}", "made");
    assert_eq!(count, "96");
    let bits = "does not fit into 64 bits (18446744073709551616)";
    let expected = ["nested more than 120 deep", bits, "RecursionError", "64 bits (-9223372036854775809)"];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    assert!(reasons.iter().zip(expected).all(|(reason, expected)| reason.contains(expected)), "{reasons:?}");
    let batches = "  numbers: {step: numbers, needs: {request: request}}\n  \
                   deepen: {step: deepen, needs: {numbers: numbers}}";
    let (count, reasons) = counted(batches, "deepen");
    assert_eq!(count, "999");
    assert!(reasons.len() == 1 && reasons[0].contains("nested more than 120 deep"), "{reasons:?}");
    let all = "  each: {step: give, needs: {item: request.items}}\n  all: {step: write, needs: {all: each}}";
    let (_, said) = fault(&steps.load(all));
    assert!(said.reason.contains("nested more than 120 deep"), "{said}");
}

#[test]
fn a_file_that_would_be_no_json_is_a_fault_that_names_the_place() {
    if !has_python() {
        return;
    }
    let (_, said) = fault(&giving("{'a.json': {'x': [1, {'y': float('nan')}]}}", "'files'").load(GIVE));
    let expected = "ValueError: the file 'a.json' would be no JSON: ['x'][1]['y'] is nan; give null (None)";
    assert!(said.reason.starts_with(expected), "{said}");
    let (_, said) = fault(&giving("{'a.json': float('-inf')}", "'files'").load(GIVE));
    assert!(said.reason.contains("it is -inf"), "{said}");
}

#[test]
fn a_process_that_a_step_has_forked_does_not_answer() {
    if !has_python() {
        return;
    }
    let code = "import os\n@step\ndef numbers(request: 'request') -> '*json':\n    yield from range(300)\n\
                @step\ndef fork(number: 'json') -> 'json':\n    \
                return -1 if number % 37 == 5 and os.fork() == 0 else number\n\
                @step\ndef once(item: 'item') -> 'json':\n    return 'child' if os.fork() == 0 else 'first'\n\
                @step\ndef write(all: '*json', once: '[json]') -> 'files':\n    \
                return {'all.json': [sum(all), once]}\n";
    let dataflow = Steps::python(code).load(
        "  numbers: {step: numbers, needs: {request: request}}\n  fork: {step: fork, needs: {number: numbers}}\n  \
         once: {step: once, needs: {item: request.items}}\n  all: {step: write, needs: {all: fork, once: once}}",
    );
    let said: String = text(&dataflow, &["a", "b"]).split_whitespace().collect();
    assert_eq!(said, format!("[{},[\"first\",\"first\"]]", (0..300).sum::<u32>()));
}

#[test]
fn parameters_that_are_not_set_are_those_of_the_function() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "@step\ndef give(item: 'item', seed: int = 2 ** 53 + 1, ids=[1, 2], n: int = Parameter(1, 0, 9), \
         big: int = 10 ** 30, pair=(3, 4), half: float = 1, flag: bool = True) -> 'files':\n    \
         said = repr((seed, ids, n, big, pair, half, flag))\n    ids.append(0)\n    return {'said': said}\n",
    );
    let give =
        |with: &str| format!("  give: {{step: give, needs: {{item: request.items}}, with: {{{with}}}}}");
    let one = |with: &str| text(&steps.load(&give(with)), &["a"]);
    let defaults = "(9007199254740993, [1, 2], 1, 1000000000000000000000000000000, (3, 4), 1, True)";
    assert_eq!(one(""), defaults);
    assert_eq!(
        one("seed: 7, ids: [5, 6], n: 2, big: 8, pair: [1, 2], half: 1.5, flag: false"),
        "(7, [5, 6], 2, 8, [1, 2], 1.5, False)"
    );
    let (_, files) = run(&steps.load(&give("")), &["a", "b"]);
    assert!(files.iter().all(|file| file.bytes[..] == *defaults.as_bytes()), "a list is new for each call");
    let said = steps.problems("steps.py", &give("n: 1.5"));
    assert!(
        said.contains("\"n\" takes a whole number from 0 to 9") && said.contains("mine.yaml:4:"),
        "{said}"
    );
    let said = steps.problems("steps.py", &give("seed: 1.5"));
    assert!(said.contains("\"seed\" takes a whole number, not \"1.5\""), "{said}");
}
