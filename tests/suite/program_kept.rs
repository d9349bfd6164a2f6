//! Scripts that change under a dataflow that was read: its steps go on as they were.

use std::fs;
use std::path::Path;

use crate::program_steps::{COUNT_SH, Steps, fault, has_python, text};

/// Steps that need a module and a file beside them.
const STEPS: &str = "
import pathlib
import helper
import pack.inner

PLACE = pathlib.Path(__file__).parent

@step
def told(item: 'item') -> 'files':
    import late
    said = [helper.WORD, pack.inner.WORD, late.WORD, (PLACE / 'model.txt').read_text()]
    return {'told.txt': ' '.join(said)}
";

const PROGRAM: &str = "{file: steps.py, reads: [model.txt]}";
const TOLD: &str = "  told: {step: told, needs: {item: request.items}}";

fn python() -> Steps {
    let steps = Steps::python(STEPS);
    fs::create_dir(steps.path("pack")).unwrap();
    for (name, content) in [
        ("helper.py", "WORD = 'helper'"),
        ("late.py", "WORD = 'late'"),
        ("pack/__init__.py", "from .other import *"),
        ("pack/inner.py", "WORD = 'inner'"),
        ("pack/other.py", ""),
        ("model.txt", "model"),
        ("secret.txt", "of another patient"),
    ] {
        fs::write(steps.path(name), content).unwrap();
    }
    steps
}

#[test]
fn a_changed_script_goes_on_as_it_was_for_the_dataflow_that_was_read() {
    if !has_python() {
        return;
    }
    let changes: [(&str, Option<&str>); 6] = [
        ("steps.py", Some("def told(\n")),
        (
            "steps.py",
            Some("from flow_step import *\n@step\ndef other(item: 'item') -> 'json':\n    return 1\n"),
        ),
        ("steps.py", None),
        ("helper.py", Some("WORD = 'changed'")),
        ("helper.py", None),
        ("pack/inner.py", Some("WORD = 'changed'")),
    ];
    for (name, content) in changes {
        let steps = python();
        let dataflow = steps.load_with(PROGRAM, TOLD).unwrap_or_else(|error| panic!("{error}"));
        match content {
            Some(content) => fs::write(steps.path(name), content).unwrap(),
            None => fs::remove_file(steps.path(name)).unwrap(),
        }
        assert_eq!(text(&dataflow, &["a"]), "helper inner late model", "{name} {content:?}");
        // What is read from now on is the changed one.
        match steps.load_with(PROGRAM, TOLD) {
            Ok(changed) => assert_eq!(text(&changed, &["a"]).matches("changed").count(), 1, "{name}"),
            Err(_) => assert_ne!(content, Some("WORD = 'changed'"), "{name}"),
        }
    }
}

#[test]
fn a_script_that_does_not_load_is_told_with_its_line() {
    if !has_python() {
        return;
    }
    let steps = python();
    fs::write(steps.path("helper.py"), "WORD = 'a'\nWORD = = 'b'\n").unwrap();
    let said = steps.problems(PROGRAM, TOLD);
    assert!(said.contains("helper.py\", line 2") && said.contains("SyntaxError"), "{said}");
    assert!(!said.contains("flow_serve.py"), "{said}");
}

#[test]
fn a_copy_sees_no_more_than_the_script() {
    if !has_python() {
        return;
    }
    let steps = python();
    let code = format!("from flow_step import *\n{}", STEPS.replace("/ 'model.txt'", "/ 'secret.txt'"));
    fs::write(steps.path("steps.py"), code).unwrap();
    let dataflow = steps.load_with(PROGRAM, TOLD).unwrap_or_else(|error| panic!("{error}"));
    fs::remove_file(steps.path("steps.py")).unwrap();
    let (_, said) = fault(&dataflow);
    assert!(said.reason.contains("No such file"), "{said}");
}

#[test]
fn what_is_not_kept_is_told_when_it_has_changed() {
    if !has_python() {
        return;
    }
    let steps = python();
    let dataflow = steps.load_with(PROGRAM, TOLD).unwrap_or_else(|error| panic!("{error}"));
    fs::write(steps.path("model.txt"), "another model").unwrap();
    let (_, said) = fault(&dataflow);
    assert!(said.reason.contains("has changed since the dataflow was read"), "{said}");
    assert!(said.remedy.contains("SIGHUP"), "{said}");
}

#[test]
fn a_changed_shell_script_goes_on_as_it_was() {
    if !Path::new("/bin/sh").exists() {
        return;
    }
    let steps = Steps::of("count.sh", COUNT_SH);
    let lines = "  lines: {step: count-lines, needs: {item: request.items}}";
    let dataflow = steps.load_with("count.sh", lines).unwrap_or_else(|error| panic!("{error}"));
    fs::write(steps.path("count.sh"), "exit 3\n").unwrap();
    assert_eq!(text(&dataflow, &["a\nb\n"]), "2\n");
    assert!(steps.problems("count.sh", lines).contains("exit code 3"));
}
