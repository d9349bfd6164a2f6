//! Steps of programs that make and take streams.

use std::fs;
use std::sync::{Arc, Mutex};

use flow::dataflow::{Dataflow, ResponseVerdict};
use flow::step::{Item, ItemPlace, NumberValue, Request, Step, StepTable};

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
    assert_eq!(text(&dataflow, &["a"]).trim(), "0");
}

#[test]
fn a_step_that_yields_without_saying_so_is_refused() {
    if !has_python() {
        return;
    }
    let steps = Steps::python("@step\ndef numbers(request: 'request') -> 'json':\n    yield 1\n");
    let told = steps.problems("steps.py", "  numbers: {step: numbers, needs: {request: request}}");
    assert!(told.contains("a step that yields items says so"), "{told}");
    let told = |code: &str| {
        let steps = Steps::python(&format!("@step\n{code}"));
        steps.problems("steps.py", "  numbers: {step: numbers, needs: {request: request}}")
    };
    let returned = told("def numbers(request: 'request') -> '*json':\n    return [1]\n");
    assert!(returned.contains("use yield instead of return"), "{returned}");
    for body in ["return 1", "yield 1"] {
        let told = told(&format!("async def numbers(request: 'request') -> 'json':\n    {body}\n"));
        assert!(
            told.contains("numbers: a step is a plain function: write def in place of async def"),
            "{told}"
        );
    }
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

/// Numbers of which so many come at once: the clock of the helper goes on when they are there.
const SLOW: &str = "
import time
clock = [0.0]
time.monotonic = lambda: clock[0]

@step
def numbers(request: 'request', together: int = 100) -> '*number':
    for number in range(70000):
        clock[0] += 0.06 * (number % together == together - 1)
        yield number

@step
def count(numbers: '*number') -> 'files':
    return {'count.json': sum(1 for number in numbers)}
";

#[test]
fn the_speed_of_a_program_does_not_decide_which_items_share_a_batch() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(SLOW);
    let sizes = [70, 100_000].map(|together| {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&sizes);
        let pass =
            Step::new("pass", 1, "Passes on.").takes::<NumberValue>("item").gives::<NumberValue>("item");
        let pass = pass.runs_each(|item: NumberValue, _| Ok(item));
        let ask = Step::new("ask", 1, "Asks.").takes::<NumberValue>("item").gives::<NumberValue>("answer");
        let ask = ask.runs_batch(move |items: Vec<NumberValue>, _| {
            noted.lock().unwrap().push(items.len());
            Ok(items.into_iter().map(Ok).collect())
        });
        let text = format!(
            "dataflow: mine\nprograms: [steps.py]\nsteps:\n  \
             numbers: {{step: numbers, needs: {{request: request}}, with: {{together: {together}}}}}\n  \
             passed: {{step: pass, needs: {{item: numbers}}}}\n  \
             asked: {{step: ask, needs: {{item: [numbers, passed]}}}}\n  \
             count: {{step: count, needs: {{numbers: asked}}}}\nresponse: [count]\n"
        );
        fs::write(steps.path("mine.yaml"), text).unwrap();
        let table = StepTable::built_in().with(pass).with(ask);
        let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &table);
        let dataflow = dataflow.unwrap_or_else(|error| panic!("{error}"));
        let (response, files) = dataflow.interpret_by(&request(&["a"]), &mut |due| due.perform());
        assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
        assert_eq!(String::from_utf8_lossy(&files[0].bytes).trim(), "140000");
        sizes.lock().unwrap().clone()
    });
    assert!(sizes[0] == sizes[1], "a slow program: {:?}; a fast one: {:?}", sizes[0], sizes[1]);
}

#[test]
fn items_of_a_slow_program_go_on_before_it_makes_more() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let steps = Steps::python(&format!(
        "
import os, time
clock = [0.0]
time.monotonic = lambda: clock[0]

@step
def numbers(request: 'request') -> '*number':
    clock[0] += 0.06
    yield 1
    deadline = time.time() + 30
    while not os.path.exists({:?}):
        if time.time() > deadline:
            raise Fault('nobody has seen the first item')
        time.sleep(0.01)
    yield 2

@step
def count(numbers: '*number') -> 'files':
    return {{'count.json': sum(1 for number in numbers)}}
",
        seen.to_str().unwrap()
    ));
    let notes = Step::new("note", 1, "Notes.").takes::<NumberValue>("item").gives::<NumberValue>("item");
    let notes = notes.runs_each(move |item: NumberValue, _| {
        fs::write(&seen, "").unwrap();
        Ok(item)
    });
    let text = "dataflow: mine\nprograms: [steps.py]\nsteps:\n  \
                numbers: {step: numbers, needs: {request: request}}\n  \
                noted: {step: note, needs: {item: numbers}}\n  \
                count: {step: count, needs: {numbers: noted}}\nresponse: [count]\n";
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let table = StepTable::built_in().with(notes);
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &table);
    let dataflow = dataflow.unwrap_or_else(|error| panic!("{error}"));
    let (response, files) = dataflow.interpret_by(&request(&["a"]), &mut |due| due.perform());
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
    assert_eq!(String::from_utf8_lossy(&files[0].bytes).trim(), "2");
}

const GROUPED: &str = "
import os, time

@step
def numbers(request: 'request') -> '*number':
    yield from range(3000)

@step
def judge(number: 'number', kept: list = Parameter(['a'])) -> 'json':
    kept.append(number)
    if number == 5:
        raise Fault('five is no number')
    if number == 700:
        print('a farewell')
        os._exit(3)
    if number == 1500:
        return float('nan')
    if number % 1000 == 8:
        time.sleep(0.06)
    return [number, len(kept)]

@step
def write(all: '*json') -> 'files':
    return {'all.json': list(all)}
";

#[test]
fn each_item_of_a_group_is_a_call_of_its_own() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(GROUPED);
    let text = "dataflow: mine\nprograms: [steps.py]\nsteps:\n  numbers: {step: numbers, needs: {request: request}}\n  \
                judged: {step: judge, needs: {number: numbers}}\n  all: {step: write, needs: {all: judged}}\n\
                response: [all]\non_item_failure: complete with reservations\n";
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
    let (response, files) = dataflow.unwrap_or_else(|error| panic!("{error}")).interpret(&request(&["a"]));
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{:?}", response.steps);
    let all: Vec<(f64, usize)> = serde_json::from_slice(&files[0].bytes).unwrap();
    let wanted = (0..3000).filter(|number| ![5, 700, 1500].contains(number));
    // What one call does to its parameters is not seen by the next one.
    assert_eq!(all, wanted.map(|number| (f64::from(number), 2)).collect::<Vec<_>>());
    let report = response.streams.iter().find(|report| report.step == "judged").unwrap();
    assert_eq!((report.done, report.failed), (2997, 3));
    let faults = report.faults.iter().map(|fault| (fault.item.as_str(), fault.fault.reason.as_str()));
    let faults: Vec<(&str, &str)> = faults.collect();
    for ((item, reason), (of, says)) in
        faults.into_iter().zip([("6", "five is no number"), ("701", "ended"), ("1501", "ValueError")])
    {
        assert!(item == of && reason.contains(says), "{item}: {reason}");
    }
}

#[test]
fn values_of_other_types_are_no_duplicates_and_a_bound_that_is_not_given_is_none() {
    if !has_python() {
        return;
    }
    let steps =
        Steps::python("@step\ndef write(items: '*json') -> 'files':\n    return {'all.json': list(items)}\n");
    let with = |step: &str, with: &str, lines: &[&str]| {
        let text = format!(
            "dataflow: mine\nprograms: [steps.py]\nsteps:\n  lines: {{step: read-json-lines, needs: {{request: request}}}}\n  \
             chosen: {{step: {step}, needs: {{item: lines}}, with: {{{with}}}}}\n  \
             all: {{step: write, needs: {{items: chosen}}}}\nresponse: [all]\n"
        );
        fs::write(steps.path("mine.yaml"), text).unwrap();
        let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
        let (response, files) =
            run(&dataflow.unwrap_or_else(|error| panic!("{error}")), &[&lines.join("\n")]);
        assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
        serde_json::from_slice::<Vec<serde_json::Value>>(&files[0].bytes).unwrap().len()
    };
    let values =
        ["1", "\"1\"", "true", "\"true\"", "null", "\"null\"", "{\"a\":1}", "\"{\\\"a\\\":1}\"", "1", "null"];
    let lines = values.map(|value| format!("{{\"id\": {value}}}"));
    let lines = lines.each_ref().map(String::as_str);
    assert_eq!(with("distinct-json", "field: /id", &lines), 8);
    let lines = ["{\"n\": -9223372036854775808}", "{\"n\": 5}", "{\"n\": 9223372036854775807}"];
    assert_eq!(with("keep-json", "field: /n, least: 5", &lines), 2);
    assert_eq!(with("keep-json", "field: /n, most: 5", &lines), 2);
}

#[test]
fn a_file_that_was_changed_after_it_was_accepted_is_a_fault_of_the_whole_stream() {
    if !has_python() {
        return;
    }
    let steps =
        Steps::python("@step\ndef write(items: '*json') -> 'files':\n    return {'all.json': list(items)}\n");
    let text = "dataflow: mine\nprograms: [steps.py]\nsteps:\n  lines: {step: read-json-lines, needs: {request: request}}\n  \
                all: {step: write, needs: {items: lines}}\nresponse: [all]\non_item_failure: complete with reservations\n";
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
    let dataflow = dataflow.unwrap_or_else(|error| panic!("{error}"));
    let accepted = "\u{feff}{\"a\": 1}\n\nno JSON\n{\"a\": 2}";
    let path = steps.path("lines.jsonl");
    let item = Item {
        place: ItemPlace::File(path.clone()),
        ..Item::inline("lines.jsonl", accepted.as_bytes().to_vec())
    };
    let request = Arc::new(Request::new("lines", Default::default(), vec![item]));
    fs::write(&path, accepted).unwrap();
    let (response, files) = dataflow.interpret(&request);
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{:?}", response.steps);
    let all: serde_json::Value = serde_json::from_slice(&files[0].bytes).unwrap();
    assert_eq!(all, serde_json::json!([{"a": 1}, {"a": 2}]));
    let report = response.streams.iter().find(|report| report.step == "lines").unwrap();
    let reason = &report.faults[0].fault.reason;
    assert!(reason.starts_with("lines.jsonl, line 3, column 2: it is no JSON value"), "{reason}");
    for (content, reason) in [
        (Some(&accepted[..20]), "it was changed after it was accepted"),
        (Some(&*accepted.replace('1', "7")), "it was changed after it was accepted"),
        (None, "No such file"),
    ] {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (response, _) = dataflow.interpret(&request);
        assert_eq!(response.verdict, ResponseVerdict::Failed, "{:?}", response.steps);
        let (step, fault) = response.faults().next().unwrap();
        assert_eq!(&*step.step, "lines");
        assert!(
            fault.reason.contains("could not read lines.jsonl") && fault.reason.contains(reason),
            "{fault}"
        );
    }
}

#[test]
fn a_batch_with_too_few_results_is_a_fault_of_its_items_on_one_thread_and_on_several() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "@step\ndef numbers(request: 'request') -> '*number':\n    yield from range(30)\n\
         @step(batch=True)\ndef some(numbers: 'number') -> 'number':\n    \
         return numbers if numbers[0] < 20 else numbers[1:]\n\
         @step(batch=True)\ndef keys(numbers: 'number') -> 'number':\n    return {number: 1 for number in numbers}\n\
         @step\ndef total(numbers: '*number') -> 'files':\n    return {'total.json': sum(numbers)}\n",
    );
    for (step, failed) in [("some", 10), ("keys", 30)] {
        for limits in ["", ", limits: {max: 2}"] {
            let text = format!(
                "dataflow: mine\nprograms: [steps.py]\nsteps:\n  numbers: {{step: numbers, needs: {{request: request}}}}\n  \
                 some: {{step: {step}, needs: {{numbers: numbers}}, batch: {{size: 10}}{limits}}}\n  \
                 total: {{step: total, needs: {{numbers: some}}}}\nresponse: [total]\n\
                 on_item_failure: complete with reservations\n"
            );
            fs::write(steps.path("mine.yaml"), text).unwrap();
            let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in());
            let (response, _) = run(&dataflow.unwrap_or_else(|error| panic!("{error}")), &["a"]);
            assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{:?}", response.steps);
            let report = response.streams.iter().find(|report| report.step == "some").unwrap();
            assert_eq!((report.done, report.failed), (30 - failed, failed), "{step}{limits}");
        }
    }
}

#[test]
fn processes_of_streams_are_kept_for_further_streams() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "import uuid\nOWN = str(uuid.uuid4())\n\
         @step\ndef make(request: 'request') -> '*text':\n    yield from [OWN] * 3000\n\
         @step\ndef more(own: 'text') -> 'text':\n    return own + ' ' + OWN\n\
         @step\ndef write(all: '*text') -> 'files':\n    return {'all.json': [*all, OWN]}\n",
    );
    let dataflow = steps.load(
        "  made: {step: make, needs: {request: request}}\n  more: {step: more, needs: {own: made}}\n  \
         all: {step: write, needs: {all: more}}",
    );
    let processes = || {
        let (response, files) = dataflow.interpret_by(&request(&["a"]), &mut |due| due.perform());
        assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
        let said: Vec<String> = serde_json::from_slice(&files[0].bytes).unwrap();
        let mut processes: Vec<String> =
            said.iter().flat_map(|said| said.split(' ')).map(str::to_owned).collect();
        processes.sort();
        processes.dedup();
        processes
    };
    let first = processes();
    assert_eq!(first.len(), 3);
    assert_eq!(processes(), first);
}
