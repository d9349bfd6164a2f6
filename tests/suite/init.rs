//! `flow init` and `flow step`: what they write, by the commands that they print.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::peers::tool;

/// A shell in a folder, for which this flow is the one on the path.
fn shell(script: &str, folder: &Path) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_flow")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(folder).env("PATH", path);
    command.env("XDG_STATE_HOME", folder.join("user-state")).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The commands that are printed.
fn next_commands(printed: &str) -> String {
    let (_, next) = printed.split_once("next:\n").expect("the next commands");
    let commands = next.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    commands.collect::<Vec<&str>>().join("\n")
}

#[test]
fn the_commands_that_init_prints_work_as_printed() {
    if tool("/usr/bin/python3").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let begun = shell("flow init", folder.path());
    assert!(begun.status.success(), "{}", said(&begun));
    let commands = next_commands(&said(&begun));
    assert_eq!(commands.lines().count(), 5);
    let ended = shell(&commands, folder.path());
    assert!(ended.status.success(), "{commands}\n{}", said(&ended));
    assert!(said(&ended).contains("\"words\":5"), "{}", said(&ended));
    let output = folder.path().join("my-steps/flow-output");
    let response = fs::read_dir(output).unwrap().next().unwrap().unwrap().path();
    let words = fs::read_to_string(response.join("words.json")).unwrap();
    let words: serde_json::Value = serde_json::from_str(&words).unwrap();
    assert_eq!(words["total"], 9);
    let again = shell("flow init", folder.path());
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
    let rust =
        shell("flow init --language rust other && cat other/Cargo.toml other/src/main.rs", folder.path());
    assert!(rust.status.success() && said(&rust).contains("flow::cli::main"), "{}", said(&rust));
}

#[test]
fn a_step_runs_alone_on_files() {
    if tool("/usr/bin/python3").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    shell("flow init . && echo '[{\"words\": 2}, 3]' > counts.json", folder.path());
    let alone = |arguments: &str| shell(&format!("flow step {arguments}"), folder.path());
    let more =
        alone("counts --dataflow dataflow.yaml --input item=letters/first.txt --with least=5 --output out");
    assert!(more.status.success(), "{}", said(&more));
    let json = fs::read_to_string(folder.path().join("out/json.json")).unwrap();
    assert!(json.contains("\"words\": 2"), "{json}");
    let total =
        alone("total --dataflow dataflow.yaml --input counts=out/json.json --input 'counts={\"words\": 4}'");
    assert!(said(&total).contains("files  files  flow-step/files/words.json"), "{}", said(&total));
    let words = fs::read_to_string(folder.path().join("flow-step/files/words.json")).unwrap();
    assert!(words.contains("\"total\": 6"), "{words}");

    let failed = alone("total --dataflow dataflow.yaml --input counts=[1]");
    assert_eq!(failed.status.code(), Some(1));
    let whole = said(&failed);
    assert!(whole.contains("the step failed: TypeError") && whole.contains("| Traceback"), "{whole}");
    for (arguments, expected) in [
        ("nothing", "no step is called"),
        ("coutns --dataflow dataflow.yaml", "did you mean \"counts\"?"),
        ("counts --dataflow dataflow.yaml", "needs the input \"item\" of type item"),
        ("counts --dataflow dataflow.yaml --input file=a", "has no input \"file\""),
        ("counts --dataflow dataflow.yaml --input item=none", "is no item"),
        (
            "counts --dataflow dataflow.yaml --input item=letters/first.txt --with least=many",
            "takes a whole number",
        ),
        ("total --dataflow dataflow.yaml --input counts=no", "it is no JSON"),
    ] {
        let wrong = alone(arguments);
        assert_eq!(wrong.status.code(), Some(2), "{arguments}");
        assert!(said(&wrong).contains(expected), "{arguments}: {}", said(&wrong));
    }
}

#[test]
fn values_of_steps_go_from_one_run_alone_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let sample = shell("flow sample study --matrix 64 --slices 16", folder.path());
    if !sample.status.success() {
        panic!("{}", said(&sample));
    }
    let script = "for file in $(find study -name '*.dcm' | sort); do set -- \"$@\" --input headers=\"$file\"; done; \
                  first=$(find study -name '*.dcm' | sort | head -1); flow step read-header --input file=$first";
    let header = shell(script, folder.path());
    assert!(header.status.success(), "{}", said(&header));
    assert!(folder.path().join("flow-step/header.cbor").is_file(), "{}", said(&header));
    let next = shell("flow step sort-series --input headers=flow-step/header.cbor", folder.path());
    assert_eq!(next.status.code(), Some(1), "one slice is no series: {}", said(&next));
    assert!(said(&next).contains("the step failed"), "{}", said(&next));
}

#[test]
fn a_message_type_is_written_beside_those_that_flow_carries_and_its_examples_run() {
    let folder = tempfile::tempdir().unwrap();
    let begun = shell("flow init chat-type blood-pressure", folder.path());
    assert!(begun.status.success(), "{}", said(&begun));
    let ended = shell(&next_commands(&said(&begun)), folder.path());
    assert!(ended.status.success() && said(&ended).contains("3 examples answered"), "{}", said(&ended));
    assert!(fs::read_dir(folder.path().join("types")).unwrap().count() > 20, "the others are there");
    let file = folder.path().join("types/blood-pressure.yaml");
    let text = fs::read_to_string(&file).unwrap().replace("at_least: 100", "at_least: 200");
    fs::write(&file, text).unwrap();
    let other = shell("flow check --examples types/blood-pressure.yaml", folder.path());
    assert_eq!(other.status.code(), Some(3), "{}", said(&other));
    assert!(said(&other).contains("should be answered with"), "{}", said(&other));
    for (name, code) in [("blood-pressure", 2), ("Blood", 2), ("../blood", 2)] {
        let again = shell(&format!("flow init chat-type {name}"), folder.path());
        assert_eq!(again.status.code(), Some(code), "{}", said(&again));
    }
}

#[test]
fn a_message_type_with_a_step_in_python_runs() {
    if tool("/usr/bin/python3").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let begun = shell("flow init chat-type two-means --language python", folder.path());
    assert!(begun.status.success(), "{}", said(&begun));
    let second = shell("flow init chat-type other-means --language python", folder.path());
    assert!(second.status.success(), "beside another: {}", said(&second));
    for printed in [&begun, &second] {
        let ended = shell(&next_commands(&said(printed)), folder.path());
        assert!(ended.status.success() && said(&ended).contains("2 examples answered"), "{}", said(&ended));
    }
}
