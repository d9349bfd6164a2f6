//! Files that have to be known elsewhere: steps, dataflows, examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use flow::dataflow::Dataflow;
use flow::step::StepTable;

use crate::source::{files, none, root};
use crate::tools::{cargo, in_project};

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file has a name").to_str().expect("names are Unicode").to_owned()
}

#[test]
fn every_file_of_steps_is_a_step_that_a_dataflow_can_name() {
    let mut files = files(&root().join("src/imaging/steps"), "rs");
    files.extend(self::files(&root().join("src/json/steps"), "rs"));
    files.extend(self::files(&root().join("src/books/steps"), "rs"));
    files.extend(self::files(&root().join("src/chat/steps"), "rs"));
    files.push(root().join("src/program/run_program.rs"));
    files.push(root().join("src/calls/call_http.rs"));
    let names =
        files.iter().map(|path| stem(path).replace('_', "-")).filter(|name| name != "mod" && name != "tests");
    let table = StepTable::built_in();
    let known = table.iter().map(|step| step.declaration.name.to_owned());
    assert_eq!(BTreeSet::from_iter(names), BTreeSet::from_iter(known));
}

#[test]
fn every_dataflow_is_sound_with_the_built_in_steps() {
    let files = files(&root().join("dataflows"), "yaml");
    assert!(!files.is_empty());
    for file in files {
        let dataflow = Dataflow::load(file.to_str().expect("Unicode"), &StepTable::built_in());
        let dataflow = dataflow.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(dataflow.name(), stem(&file));
    }
}

#[test]
fn the_example_that_embeds_flow_is_killed_and_answers_all_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().join("guests");
    let run = ["run", "--quiet", "--release", "--example", "embed", "--", folder.to_str().expect("Unicode")];
    let killed = cargo(&run).output().expect("cargo runs");
    assert!(!killed.status.success() && killed.stdout.is_empty(), "it is killed half way");
    let greeted = files(&folder, "txt").len();
    // Several requests are in work at once, so the 500th need not be the 500th to be answered.
    assert!((400..600).contains(&greeted), "{greeted} are greeted before it is killed");
    let ended = cargo(&run).output().expect("cargo runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "every guest is greeted: Whole\n");
    for number in 1..=1000 {
        let greeting = fs::read_to_string(folder.join(format!("guest-{number}.txt")));
        assert_eq!(greeting.expect("each guest is greeted"), format!("hello guest-{number}\n"));
    }
}

#[test]
fn the_example_with_a_step_of_its_own_gives_its_result() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = |name: &str| folder.path().join(name).to_str().expect("Unicode").to_owned();
    let output = folder("output");
    let run = ["run", "--quiet", "--release", "--example", "own_step", "--", "run", "examples/own-step.yaml"];
    let mut command = cargo(&run);
    command.args(["--output", &output, "--state", &folder("state")]);
    let ended = command.output().expect("cargo runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let bone = files(Path::new(&output), "json").into_iter().find(|path| stem(path) == "bone");
    let bone = fs::read(bone.expect("the step gave its file")).expect("it is readable");
    let bone: serde_json::Value = serde_json::from_slice(&bone).expect("it is JSON");
    let volume_ml = bone["volume_ml"].as_f64().expect("it is a number");
    assert!((100.0..5000.0).contains(&volume_ml), "the bones of a chest are not {volume_ml} mL");
}

/// The blocks of a page in a language, as they stand.
fn shown(page: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join(page)).expect("the book has the page");
    let blocks = page.split("\n```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    blocks.map(str::to_owned).collect()
}

const OWN_SOURCE: &str = "docs/src/tutorial/own-source.md";

#[test]
fn the_lesson_about_a_source_runs_as_it_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().join("lines").to_str().expect("Unicode").to_owned();
    let commands = shown(OWN_SOURCE, "sh");
    let outputs = shown(OWN_SOURCE, "text");
    assert_eq!((commands.len(), outputs.len()), (3, 2));
    let run = |commands: &str| {
        let commands = commands
            .replace(" lines/", &format!(" {place}/"))
            .replace("mkdir lines", &format!("mkdir {place}"));
        let ended = in_project("sh").args(["-e", "-c", &commands]).output().expect("there is a shell");
        let [out, err] =
            [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(ended.status.success(), "{commands}{err}");
        (out, err.replace(&place, "lines"))
    };
    let (out, _) = run(&commands[0]);
    assert!(out.ends_with(&format!("{}\n", outputs[0])), "{out}");
    let (out, _) = run(&commands[1]);
    let answers = files(Path::new(&place).join("answers").as_path(), "txt");
    assert_eq!(
        answers.len(),
        3,
        "`when` leaves out one word, and what is known is not answered again: {out}"
    );
    let (_, err) = run(&commands[2]);
    assert!(outputs[1].lines().all(|line| err.contains(line)), "{err}");
}

#[test]
fn the_lesson_about_a_source_shows_the_example() {
    let file = fs::read_to_string(root().join("examples/own_source.rs")).expect("it is there");
    let dataflow = fs::read_to_string(root().join("examples/own-source.yaml")).expect("it is there");
    let blocks = [shown(OWN_SOURCE, "rust"), shown(OWN_SOURCE, "yaml")].concat();
    assert!(blocks.len() > 6, "only {} blocks", blocks.len());
    let strange = blocks
        .into_iter()
        .filter(|block| !(file.contains(block.as_str()) || dataflow.contains(block.as_str())));
    none("the example does not have what the lesson shows", strange);
}
