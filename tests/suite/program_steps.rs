//! Steps of programs that are kept alive: declared, checked, called many times, and faulty in every way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use flow::dataflow::{Dataflow, LoadError, Response, ResponseVerdict};
use flow::step::{
    ArrayElement, ArrayValue, Call, CancelToken, Digest, Fault, FaultKind, Item, NumberValue, Request,
    ResponseFile, ResultIdentity, Step, StepInputs, StepParameters, StepTable, UnrecordedCalls, Value,
    WiredInput,
};
use tempfile::TempDir;

use crate::support::peers::tool;

/// A folder with a program of steps and a dataflow.
pub struct Steps {
    folder: TempDir,
}

impl Steps {
    pub fn python(code: &str) -> Steps {
        Steps::of("steps.py", &format!("from flow_step import *\n{code}"))
    }

    pub fn of(name: &str, code: &str) -> Steps {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), code).unwrap();
        Steps { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Loads a dataflow with the program and these steps; the last one gives the response.
    pub fn load_with(&self, program: &str, steps: &str) -> Result<Dataflow, LoadError> {
        let last = steps.trim_end().lines().last().and_then(|line| line.split(':').next()).unwrap().trim();
        let text = format!("dataflow: mine\nprograms: [{program}]\nsteps:\n{steps}\nresponse: [{last}]\n");
        fs::write(self.path("mine.yaml"), text).unwrap();
        Dataflow::load(self.path("mine.yaml").to_str().unwrap(), &StepTable::built_in())
    }

    pub fn load(&self, steps: &str) -> Dataflow {
        self.load_with("steps.py", steps).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn problems(&self, program: &str, steps: &str) -> String {
        self.load_with(program, steps).unwrap_err().to_string()
    }
}

pub fn request(texts: &[&str]) -> Arc<Request> {
    let items = texts.iter().enumerate();
    let items = items.map(|(number, text)| Item::inline(format!("{number}.txt"), text.as_bytes().to_vec()));
    Arc::new(Request::new("words", [("modality".to_owned(), "CT".into())].into(), items.collect()))
}

pub fn run(dataflow: &Dataflow, texts: &[&str]) -> (Response, Vec<ResponseFile>) {
    dataflow.interpret(&request(texts))
}

/// The only file as text.
pub fn text(dataflow: &Dataflow, texts: &[&str]) -> String {
    let (response, files) = run(dataflow, texts);
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
    assert_eq!(files.len(), 1);
    String::from_utf8(files[0].bytes.to_vec()).unwrap()
}

pub fn fault(dataflow: &Dataflow) -> (String, Fault) {
    let (response, _) = run(dataflow, &["one"]);
    assert_eq!(response.verdict, ResponseVerdict::Failed, "{:?}", response.steps);
    let (step, fault) = response.faults().next().unwrap();
    (step.step.to_string(), fault.clone())
}

/// The whole message that `explain` shows.
pub fn log(fault: &Fault) -> String {
    String::from_utf8(fault.log.0.clone().expect("there is a log").to_vec()).unwrap()
}

pub const PYTHON: &str = "/usr/bin/python3";

pub fn has_python() -> bool {
    tool(PYTHON).is_some()
}

const WORDS: &str = r#"
@step
def count_words(item: "item", least: int = Parameter(1, 0, 100, unit="letters")) -> "json":
    "Counts the words of a file."
    print("not an answer")
    return {"words": sum(len(word) >= least for word in item.text().split()), "name": item.name}

@step
def write_counts(counts: "[json]", request: "request") -> "files":
    assert request.attributes == {"modality": ["CT"]} and len(request.items) == len(counts)
    return {"counts.json": [count["words"] for count in counts]}
"#;

const WORD_STEPS: &str = "  counts: {step: count-words, needs: {item: request.items}, with: {least: 2}}\n  \
                          all: {step: write-counts, needs: {counts: counts, request: request}}";

#[test]
fn steps_in_python_run_in_one_process() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(WORDS);
    let dataflow = steps.load(WORD_STEPS);
    let counts: Vec<u32> = serde_json::from_str(&text(&dataflow, &["a bb ccc", "", "dd"])).unwrap();
    assert_eq!(counts, [2, 0, 1]);
    let steps = Steps::python(
        "import os\ncalls = 0\n@step\ndef number_of_call(item: 'item') -> 'json':\n    global calls\n    \
         calls += 1\n    return [os.getpid(), calls]\n@step\ndef write(all: '[json]') -> 'files':\n    \
         return {'all.json': [len({pid for pid, _ in all}), [call for _, call in all]]}",
    );
    let dataflow = steps.load(
        "  each: {step: number-of-call, needs: {item: request.items}}\n  all: {step: write, needs: {all: each}}",
    );
    let (processes, mut calls): (usize, Vec<u32>) =
        serde_json::from_str(&text(&dataflow, &["a", "b", "c"])).unwrap();
    calls.sort_unstable();
    assert_eq!((processes, calls), (1, vec![1, 2, 3]));
}

#[test]
fn a_changed_script_is_a_changed_version_and_other_changes_are_not() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(WORDS);
    let first = steps.load(WORD_STEPS).digest();
    fs::write(steps.path("notes.txt"), "no code").unwrap();
    assert_eq!(steps.load(WORD_STEPS).digest(), first);
    let moved = Steps::python(WORDS);
    assert_eq!(moved.load(WORD_STEPS).digest(), first, "wherever it lies");
    let code = fs::read_to_string(steps.path("steps.py")).unwrap();
    fs::write(steps.path("steps.py"), code.replace(">= least", "> least")).unwrap();
    let second = steps.load(WORD_STEPS).digest();
    assert_ne!(second, first);
    // A module that is imported counts, too.
    fs::write(steps.path("own.py"), "A = 1\n").unwrap();
    fs::write(steps.path("steps.py"), format!("import own\n{code}")).unwrap();
    let third = steps.load(WORD_STEPS).digest();
    fs::write(steps.path("own.py"), "A = 2\n").unwrap();
    assert_ne!(steps.load(WORD_STEPS).digest(), third);
}

#[test]
fn the_text_of_a_dataflow_with_programs_says_the_same_elsewhere() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(WORDS);
    let dataflow = steps.load(WORD_STEPS);
    let again = Dataflow::parse("mine", dataflow.text(), &StepTable::built_in()).unwrap();
    assert_eq!(again.digest(), dataflow.digest());
}

#[test]
fn declarations_are_checked_before_anything_runs() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(WORDS);
    for (wrong, expected) in [
        ("  all: {step: write-counts, needs: {counts: request.items, request: request}}", "takes json, but"),
        (
            "  all: {step: count-words, needs: {item: request.items}, with: {least: many}}",
            "takes a whole number from 0 to 100 letters",
        ),
        ("  all: {step: count-wrods, needs: {item: request.items}}", "did you mean \"count-words\"?"),
        ("  all: {step: count-words, needs: {}}", "lacks the need \"item\""),
    ] {
        let said = steps.problems("steps.py", wrong);
        assert!(said.contains(expected) && said.contains("mine.yaml:4"), "{said}");
    }
    let said = steps.problems("none.py", WORD_STEPS);
    assert!(said.contains("mine.yaml:2") && said.contains("none.py"), "{said}");
    let said = steps.problems("{run: [no-such-program]}", WORD_STEPS);
    assert!(said.contains("could not be started") && said.contains("Install it"), "{said}");
    let said = steps.problems("{file: steps.py, procesess: 2}", WORD_STEPS);
    assert!(said.contains("did you mean \"processes\"?"), "{said}");
    fs::write(steps.path("steps.py"), "from flow_step import step\nthis is no python\n").unwrap();
    let said = steps.problems("steps.py", WORD_STEPS);
    assert!(said.contains("exit code 1; standard error: SyntaxError: invalid syntax\n"), "{said}");
    assert!(said.contains("steps.py\", line 2\n  |     this is no python\n  |   "), "{said}");
    assert!(
        said.contains("  | SyntaxError: invalid syntax\n  hint: Follow the message of the program.\n"),
        "{said}"
    );
    let undeclared = "from flow_step import step\n@step\ndef a(b): pass\n";
    fs::write(steps.path("steps.py"), undeclared).unwrap();
    assert!(steps.problems("steps.py", WORD_STEPS).contains("say the type of b"));
    let same = "from flow_step import step\n@step(name='run-program')\ndef a(b: 'item') -> 'json': pass\n";
    fs::write(steps.path("steps.py"), same).unwrap();
    assert!(steps.problems("steps.py", WORD_STEPS).contains("there is another step \"run-program\""));
}

/// The fault of a step with this body.
fn fault_of(body: &str, program: &str, settings: &str) -> (String, Fault) {
    let code = format!("import os, sys, time\n@step\ndef bad(item: 'item') -> 'files':\n    {body}");
    let steps = Steps::python(&code);
    let step = format!("  my-step: {{step: bad, needs: {{item: request.items}}{settings}}}");
    fault(&steps.load_with(program, &step).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn each_fault_names_the_step_and_keeps_the_whole_message() {
    if !has_python() {
        return;
    }
    let raised = "def inner(): raise ValueError('bad shape')\n    inner()";
    let (step, said) = fault_of(raised, "steps.py", "");
    assert_eq!(step, "my-step");
    assert_eq!(
        (said.kind, said.reason.as_str()),
        (FaultKind::Broken, "ValueError: bad shape (steps.py, line 5)")
    );
    let whole = log(&said);
    assert!(whole.starts_with("Traceback (most recent call last)") && whole.contains("in inner"), "{whole}");
    assert!(whole.trim_end().ends_with("ValueError: bad shape"), "{whole}");

    let (_, said) = fault_of("raise Fault('page 3 is empty', 'Send it again.')", "steps.py", "");
    assert_eq!((said.kind, said.reason.as_str()), (FaultKind::Data, "page 3 is empty"));
    assert_eq!(said.remedy, "Send it again.");
    let (_, said) = fault_of("raise Fault('busy', transient=True)", "steps.py", "");
    assert_eq!(said.kind, FaultKind::Transient);

    let (_, said) = fault_of("print('last words', flush=True); os._exit(7)", "steps.py", "");
    assert_eq!(said.kind, FaultKind::Broken);
    assert_eq!(said.reason, "the program steps.py ended with exit code 7; standard error: last words");
    let (_, said) = fault_of("os.kill(os.getpid(), 11)", "steps.py", "");
    assert!(said.reason.contains("signal 11"), "{said}");
    let (_, said) = fault_of("return {'x': object()}", "steps.py", "");
    assert!(said.reason.contains("object cannot be sent as JSON"), "{said}");
    let (_, said) = fault_of("os.symlink('/etc/passwd', 'out/files'); return {}", "steps.py", "");
    assert!(!said.reason.is_empty(), "a link is no result: {said}");
}

#[test]
fn memory_and_time_have_limits() {
    if !has_python() {
        return;
    }
    let limited = "{file: steps.py, memory: 300 MiB}";
    let (_, said) = fault_of("bytearray(1 << 30)", limited, "");
    assert!(said.reason.starts_with("MemoryError"), "{said}");
    let token = CancelToken::default();
    let code = "import time\n@step\ndef slow(item: 'item') -> 'files':\n    print('begun', flush=True)\n    \
                time.sleep(1000)\n@step\ndef quick(item: 'item') -> 'files':\n    return {}";
    let steps = Steps::python(code);
    let dataflow = steps.load("  slow: {step: slow, needs: {item: request.items}}\n  quick: {step: quick, needs: {item: request.items}}");
    let canceller = token.clone();
    let inputs = StepInputs::default().with("item", WiredInput::One(Value::new(Item::inline("a", *b"a"))));
    let table = [dataflow.step("slow").unwrap(), dataflow.step("quick").unwrap()];
    let identity = ResultIdentity {
        request: Digest::of(b"r"),
        dataflow: Digest::of(b"d"),
        step: "slow".into(),
        edition: 0,
    };
    let parameters = StepParameters::default();
    let call = |token: &CancelToken, index: usize| {
        table[index].call(&Call {
            inputs: &inputs,
            parameters: &parameters,
            identity: &identity,
            token,
            environment: &UnrecordedCalls::shared(),
        })
    };
    let cancelled = std::thread::scope(|scope| {
        let slow = scope.spawn(|| call(&token, 0));
        canceller.cancel();
        slow.join().unwrap()
    });
    assert_eq!(cancelled.unwrap_err().kind, FaultKind::Cancelled);
    assert!(call(&CancelToken::default(), 1).is_ok(), "the next call has another process");
}

#[test]
fn files_beside_the_steps_are_withheld_unless_granted() {
    if !has_python() {
        return;
    }
    let code = "@step\ndef read(item: 'item') -> 'files':\n    return {'a.txt': open(PLACE).read()}";
    let steps = Steps::python("");
    let place = steps.path("journal.txt");
    fs::write(&place, "of another patient").unwrap();
    let code = format!("from flow_step import *\nPLACE = {:?}\n{code}", place.display().to_string());
    fs::write(steps.path("steps.py"), code).unwrap();
    let one = "  one: {step: read, needs: {item: request.items}}";
    let (_, said) = fault(&steps.load(one));
    assert!(said.reason.contains("Permission denied"), "{said}");
    let granted = steps.load_with("{file: steps.py, reads: [journal.txt]}", one).unwrap();
    assert_eq!(text(&granted, &["a"]), "of another patient");
    let first = granted.digest();
    fs::write(&place, "another model").unwrap();
    let changed = steps.load_with("{file: steps.py, reads: [journal.txt]}", one).unwrap();
    assert_ne!(changed.digest(), first, "a file that a program reads is a part of its version");
}

pub const COUNT_SH: &str = include_str!("../../examples/steps/count.sh");

#[test]
fn a_shell_script_and_node_speak_the_protocol() {
    let lines = "  lines: {step: count-lines, needs: {item: request.items}}";
    let steps = Steps::of("count.sh", COUNT_SH);
    let shell = steps.load_with("count.sh", lines).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(text(&shell, &["a\nb\n"]), "2\n");
    if !Path::new("/usr/bin/node").exists() {
        return;
    }
    let code = include_str!("../../examples/steps/count.js");
    let steps = Steps::of("count.js", code);
    // V8 reserves more address space than it uses.
    let node = steps.load_with("{file: count.js, memory: 64 GiB}", lines).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(text(&node, &["a\nb\nc\n"]), "3\n");
}

#[test]
fn garbage_on_the_pipe_is_a_fault_of_the_step() {
    let lines = "  lines: {step: count-lines, needs: {item: request.items}}";
    for (answer, expected) in [
        ("echo hello", "what is no answer"),
        ("printf '{}\\n'", "not one of outputs, results, values, items, next and fault"),
        ("printf '{\"outputs\":{\"other\":1}}\\n'", "\"other\", which it did not declare"),
        ("printf unfinished; exit 0", "the line does not end"),
        ("exit 3", "ended with exit code 3"),
    ] {
        let code = COUNT_SH
            .replace("  printf '{\"call\":%s,\"outputs\":{}}\\n' \"$number\"\n", &format!("  {answer}\n"));
        assert_ne!(code, COUNT_SH);
        let steps = Steps::of("count.sh", &code);
        let (step, said) = fault(&steps.load_with("count.sh", lines).unwrap_or_else(|it| panic!("{it}")));
        assert_eq!((step.as_str(), said.kind), ("lines", FaultKind::Broken));
        assert!(said.reason.contains(expected), "{said}");
    }
    let silent = Steps::of("silent.sh", "exec sleep 1000\n");
    let said = silent.problems("{file: silent.sh, start_time: 50 ms}", lines);
    assert!(said.contains("did not declare its steps in time"), "{said}");
    let wrong = Steps::of("wrong.sh", "echo no json; exec cat\n").problems("wrong.sh", lines);
    assert!(wrong.contains("what is no answer"), "{wrong}");
}

/// Whether this Python has NumPy.
pub fn has_numpy() -> bool {
    let python = Command::new("/usr/bin/env").args(["python3", "-c", "import numpy"]).output();
    python.is_ok_and(|output| output.status.success())
}

#[test]
fn arrays_go_to_numpy_and_back() {
    if !has_python() || !has_numpy() {
        return;
    }
    let steps = Steps::python(
        "import numpy\n@step\ndef double(array: 'array') -> 'array':\n    \
         assert not array.numpy.flags.owndata and array.about == {'unit': 'HU'}\n    \
         return Array(array.numpy * 2, {'unit': 'HU', 'sum': array.numpy.sum()})\n@step\n\
         def make(item: 'item') -> 'array':\n    return numpy.zeros((2, 3), dtype='int16')",
    );
    let python = which_python();
    let program = format!("{{run: [{python}, steps.py], memory: 16 GiB}}");
    let dataflow = steps
        .load_with(&program, "  make: {step: make, needs: {item: request.items}}\n  double: {step: double, needs: {array: make}}")
        .err();
    // An array is no response; the check says so, and the steps are tried by themselves.
    assert!(dataflow.is_some());
    let text = format!(
        "dataflow: mine\nprograms: [{program}]\nsteps:\n  make: {{step: make, needs: {{item: request.items}}}}\n  \
         double: {{step: double, needs: {{array: make}}}}\n  none: {{step: run-program, needs: {{}}, with: {{program: 'true'}}}}\nresponse: [none]\n"
    );
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &StepTable::built_in())
        .unwrap_or_else(|it| panic!("{it}"));
    let numbers: Vec<u8> = [1_i16, -2, 3, 4, 5, 6].iter().flat_map(|number| number.to_le_bytes()).collect();
    let array = ArrayValue {
        element: ArrayElement::Int16,
        shape: vec![2, 3],
        bytes: numbers.into(),
        about: serde_json::json!({"unit": "HU"}),
    };
    let inputs = StepInputs::default().with("array", WiredInput::One(Value::new(array)));
    let identity = ResultIdentity {
        request: Digest::of(b"r"),
        dataflow: Digest::of(b"d"),
        step: "double".into(),
        edition: 0,
    };
    let (parameters, token) = (StepParameters::default(), CancelToken::default());
    let call = Call {
        inputs: &inputs,
        parameters: &parameters,
        identity: &identity,
        token: &token,
        environment: &UnrecordedCalls::shared(),
    };
    let outputs = dataflow
        .step("double")
        .unwrap()
        .call(&call)
        .unwrap_or_else(|fault| panic!("{fault}\n{}", log(&fault)));
    let doubled = outputs.get("array").and_then(|value| value.get::<ArrayValue>()).unwrap();
    assert_eq!((doubled.element, doubled.shape.as_slice()), (ArrayElement::Int16, &[2, 3][..]));
    assert_eq!(doubled.bytes[2..4], (-4_i16).to_le_bytes());
    assert_eq!(doubled.about["sum"], 17);
}

pub fn which_python() -> String {
    let python =
        Command::new("/usr/bin/env").args(["python3", "-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(python.unwrap().stdout).unwrap().trim().to_owned()
}

/// The built-in steps, one that makes a stream of numbers, and one that adds them up.
fn table_with_numbers() -> StepTable {
    let numbers = Step::new("make-numbers", 1, "Makes the numbers from 0 to 249.")
        .takes::<Request>("request")
        .gives_many::<NumberValue>("numbers")
        .runs_many(|_| Ok((0..250_u32).map(|number| Ok::<_, Fault>(NumberValue(f64::from(number))))));
    let sum = Step::new("add-numbers", 1, "Adds up numbers.")
        .takes_each::<NumberValue>("numbers")
        .gives::<NumberValue>("sum")
        .folds(|_| NumberValue(0.0), |sum: &mut NumberValue, number: NumberValue| sum.0 += number.0);
    StepTable::built_in().with(numbers).with(sum)
}

#[test]
fn steps_in_python_work_on_streams_item_by_item_and_in_batches() {
    if !has_python() {
        return;
    }
    let steps = Steps::python(
        "@step(batch=True)\ndef double(numbers: 'number', add: float = 0.0) -> 'number':\n    \
         assert len(numbers) <= 100\n    \
         return [Fault('seven is no number') if n == 7 else 2 * n + add for n in numbers]\n\
         @step\ndef plus_one(number: 'number') -> 'number':\n    return number + 1\n\
         @step\ndef write(sum: 'number') -> 'files':\n    return {'sum.json': sum}\n",
    );
    let text = "dataflow: numbers\nprograms: [steps.py]\nsteps:\n  numbers: {step: make-numbers, needs: {request: request}}\n  \
                doubled: {step: double, needs: {numbers: numbers}, with: {add: 0.5}}\n  \
                more: {step: plus-one, needs: {number: doubled}}\n  sum: {step: add-numbers, needs: {numbers: more}}\n  \
                all: {step: write, needs: {sum: sum}}\nresponse: [all]\non_item_failure: partial above 95 %\n";
    fs::write(steps.path("mine.yaml"), text).unwrap();
    let dataflow = Dataflow::load(steps.path("mine.yaml").to_str().unwrap(), &table_with_numbers());
    let dataflow = dataflow.unwrap_or_else(|error| panic!("{error}"));
    let (response, files) = run(&dataflow, &["a"]);
    let sum: f64 = serde_json::from_slice(&files[0].bytes).unwrap();
    let expected: f64 = (0..250).filter(|n| *n != 7).map(|n| f64::from(2 * n) + 1.5).sum();
    assert_eq!(sum, expected, "{:?}", response.steps);
    let said = serde_json::to_string(&response).unwrap();
    assert!(said.contains("seven is no number"), "{said}");
}
