//! Dataflow files and what is said of them.
//!
//! Each `tests/dataflows/NAME.yaml` has its `NAME.expected` beside it: the problems as a person sees
//! them, or the drawing of a sound dataflow. With `FLOW_ACCEPT` set, the files are written anew from
//! what the code says; the difference is then for a person to judge.

mod steps;

use std::fs;
use std::path::{Path, PathBuf};

use flow::dataflow::Dataflow;

fn check(input: &Path, expected: &Path) {
    let text = fs::read_to_string(input).unwrap();
    let name = input.file_name().unwrap().to_str().unwrap();
    let said = match Dataflow::parse(name, &text, &steps::table()) {
        Ok(dataflow) => format!("{} {}\n", dataflow.name(), dataflow.digest()),
        Err(problems) => format!("{problems}\n"),
    };
    if std::env::var_os("FLOW_ACCEPT").is_some() {
        fs::write(expected, &said).unwrap();
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    assert_eq!(said, wanted, "\n{} gives\n{said}\nbut {} has\n{wanted}", input.display(), expected.display());
}

#[test]
fn files_and_what_is_said_of_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dataflows");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    inputs.sort();
    assert!(inputs.len() > 20, "the fixtures are missing");
    inputs.iter().for_each(|input| check(input, &input.with_extension("expected")));
}
