//! `flow check`, `flow graph` and `flow steps`, as functions of their arguments.

use crate::support::steps;
use std::fs;
use std::path::Path;

use clap::{Args, FromArgMatches};
use flow::cli::{check, graph, steps as list};

/// Reads arguments as the dispatcher does.
fn arguments<T: Args + FromArgMatches>(words: &[&str]) -> T {
    let command = T::augment_args(clap::Command::new("flow").no_binary_name(true));
    T::from_arg_matches(&command.get_matches_from(words)).unwrap()
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dataflows").join(name);
    path.to_str().unwrap().to_owned()
}

/// Verdict, stdout, stderr.
fn run_check(words: &[&str]) -> (check::CheckVerdict, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let verdict = arguments::<check::CheckArguments>(words).run(&steps::table(), &mut out, &mut err).unwrap();
    (verdict, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn run_graph(words: &[&str]) -> Result<String, graph::GraphError> {
    let mut out = Vec::new();
    arguments::<graph::GraphArguments>(words).run(&steps::table(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn run_steps(words: &[&str]) -> Result<String, list::StepsError> {
    let mut out = Vec::new();
    arguments::<list::StepsArguments>(words).run(&steps::table(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_sound_file_is_one_line() {
    let file = fixture("switches.yaml");
    let (verdict, out, err) = run_check(&[&file]);
    assert_eq!((verdict, err.as_str()), (check::CheckVerdict::Sound, ""));
    assert_eq!(out.lines().count(), 1);
    assert!(out.contains(": switches, 8 steps, "), "{out}");
}

#[test]
fn problems_of_all_files_are_printed_and_counted() {
    let (sound, one, many) = (fixture("switches.yaml"), fixture("deep.yaml"), fixture("cycles.yaml"));
    let (verdict, out, err) = run_check(&[&one, &sound, &many]);
    assert_eq!(verdict, check::CheckVerdict::Problems);
    assert_eq!(out.lines().count(), 1);
    assert!(err.contains("deep.yaml: 1 problem\n"), "{err}");
    assert!(err.contains("cycles.yaml: 4 problems\n"), "{err}");
    assert!(err.contains("these steps wait for each other"), "{err}");
}

#[test]
fn a_file_that_is_not_there_is_worse_than_problems() {
    let (verdict, out, err) = run_check(&["ct-lugn", &fixture("deep.yaml")]);
    assert_eq!((verdict, out.as_str()), (check::CheckVerdict::Unknown, ""));
    assert!(err.contains("hint: did you mean \"ct-lung\"?"), "{err}");
    let (verdict, _, err) = run_check(&[env!("CARGO_MANIFEST_DIR")]);
    assert_eq!(verdict, check::CheckVerdict::Unreadable);
    assert!(err.starts_with("could not read "), "{err}");
}

#[test]
fn verdicts_as_json() {
    let (verdict, out, err) =
        run_check(&["--json", &fixture("deep.yaml"), &fixture("switches.yaml"), "nothing"]);
    assert_eq!((verdict, err.as_str()), (check::CheckVerdict::Unknown, ""));
    let read: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(read[0]["verdict"], "problems");
    assert_eq!(read[0]["problems"][0]["line"], 2);
    assert_eq!(read[0]["problems"][0]["column"], 23);
    assert_eq!(read[1]["verdict"], "sound");
    assert_eq!(read[1]["steps"], 8);
    assert_eq!(read[2]["verdict"], "unreadable");
}

#[test]
fn each_format_of_a_drawing() {
    let file = fixture("switches.yaml");
    let expected = |name: &str| fs::read_to_string(fixture(name)).unwrap();
    assert_eq!(run_graph(&[&file]).unwrap(), expected("switches.expected"));
    assert_eq!(run_graph(&[&file, "--format", "dot"]).unwrap(), expected("switches.dot"));
    assert_eq!(run_graph(&[&file, "--format", "mermaid"]).unwrap(), expected("switches.mermaid"));
    assert!(matches!(run_graph(&[&fixture("deep.yaml")]), Err(graph::GraphError::Load(_))));
}

#[test]
fn steps_with_what_they_take_and_give() {
    let expected = "\
find-lungs  version 1
  Finds lungs.
  needs  volume  volume
  gives  lungs  lungs
  with   threshold  -400 HU    a number from -1024 to 0 HU           air is below
         levels     [-950] HU  a list of numbers from -1024 to 0 HU
         method     plain      one of plain, region
         airways    true       true or false
";
    assert_eq!(run_steps(&["find-lungs"]).unwrap(), expected);
    let all = run_steps(&[]).unwrap();
    assert!(all.contains("\n  needs  headers  all header\n"), "{all}");
    assert!(all.contains("header, optional\n"), "{all}");
    match run_steps(&["find-lugns"]) {
        Err(list::StepsError::Unknown { hint, .. }) => {
            assert_eq!(hint.unwrap(), "did you mean \"find-lungs\"?")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn steps_as_json() {
    let read: serde_json::Value =
        serde_json::from_str(&run_steps(&["--json", "find-lungs"]).unwrap()).unwrap();
    let threshold = &read[0]["parameters"][0];
    assert_eq!(threshold["default"], -400.0);
    assert_eq!((&threshold["least"], &threshold["most"]), (&(-1024.0).into(), &0.0.into()));
    assert_eq!(read[0]["inputs"][0]["takes"], "one");
    assert_eq!(read[0]["parameters"][2]["choices"][1], "region");
}
