//! The README against the command: subcommands, options, exit codes, and the commands it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use flow::dataflow::Dataflow;
use flow::step::Table;

use crate::source::{none, root};

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("README.md is there")
}

/// The blocks of code in a language.
fn blocks<'a>(readme: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let blocks = readme.split("```").skip(1).step_by(2);
    blocks.filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

/// What the command says of itself, or of a subcommand.
fn help(of: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_flow")).args(of).arg("--help").output();
    let output = output.expect("flow runs");
    assert!(output.status.success(), "flow {of:?} has no help");
    String::from_utf8(output.stdout).expect("help is text")
}

fn subcommands() -> BTreeSet<String> {
    let help = help(&[]);
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// The long options in a text.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    let long = words.filter(|word| {
        word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
    });
    long.map(str::to_owned).collect()
}

/// Those that a subcommand has: each begins a line of its help.
fn options_of(subcommand: &str) -> BTreeSet<String> {
    let help = help(&[subcommand]);
    let beginnings = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let mut found: BTreeSet<String> = beginnings.flat_map(options).collect();
    assert!(found.remove("--help"));
    found
}

/// The command reference: the README's part about each subcommand.
fn reference(readme: &str) -> Vec<(String, String)> {
    let parts = readme.split("\n### `flow ").skip(1);
    let names = parts.map(|part| {
        let name: String = part.chars().take_while(char::is_ascii_lowercase).collect();
        (name, part.split("\n#").next().unwrap_or_default().to_owned())
    });
    names.collect()
}

#[test]
fn the_reference_has_every_subcommand_and_option_and_no_other() {
    let readme = readme();
    let reference = reference(&readme);
    let named: BTreeSet<String> = reference.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(named, subcommands());
    for (name, part) in reference {
        assert_eq!(options(&part), options_of(&name), "options of flow {name}: README, then help");
    }
}

/// What an option is where it is not given, by option.
fn defaults_of(subcommand: &str) -> BTreeMap<String, String> {
    let help = help(&[subcommand]);
    let mut option = String::new();
    let mut defaults = BTreeMap::new();
    for line in help.lines().map(str::trim_start) {
        // Values of an option begin with a dash too.
        if let Some(named) = options(line).pop_first().filter(|_| line.starts_with('-')) {
            option = named;
        }
        let default = line.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']'));
        if let Some((default, _)) = default {
            defaults.insert(option.clone(), default.to_owned());
        }
    }
    defaults
}

#[test]
fn the_defaults_in_the_reference_are_those_of_the_help() {
    let mut rows = 0;
    for (name, part) in reference(&readme()) {
        let defaults = defaults_of(&name);
        for row in part.lines().filter(|line| line.starts_with("| `-")) {
            let option = options(row).pop_first().expect("a row is about an option");
            let said = row.split('|').nth(3).expect("a row has three cells").trim().replace('`', "");
            let meant = defaults.get(&option).cloned().unwrap_or_default();
            assert_eq!(said, meant, "default of {option} of flow {name}: README, then help");
            rows += 1;
        }
    }
    assert!(rows > 20, "only {rows} rows");
}

#[test]
fn the_commands_that_are_shown_exist() {
    let readme = readme();
    let shown: Vec<&str> = blocks(&readme, "sh").flat_map(str::lines).filter_map(invocation).collect();
    assert!(shown.len() > 10, "only {shown:?}");
    let wrong = shown.iter().filter(|line| {
        let name = line.split_whitespace().next().unwrap_or_default();
        !subcommands().contains(name) || !options(line).is_subset(&options_of(name))
    });
    none("README shows commands that do not exist", wrong.map(|line| (*line).to_owned()));
}

/// What follows `flow` on a line of a shell's block; what stands behind `#` or `|` is not for flow.
fn invocation(line: &str) -> Option<&str> {
    const BEFORE: [&str; 3] =
        ["flow ", "cargo run --release -- ", "cargo run --release --example own_step -- "];
    let words = BEFORE.iter().find_map(|before| line.strip_prefix(before))?;
    words.split(['#', '|', '>']).next()
}

#[test]
fn the_step_that_is_shown_is_the_example() {
    let example = |name: &str| fs::read_to_string(root().join("examples").join(name)).expect("it is there");
    let (readme, file) = (readme(), example("own_step.rs") + &example("own-step.yaml"));
    let parts = blocks(&readme, "yaml").filter(|block| block.contains("measure-bone"));
    let lines: Vec<&str> = blocks(&readme, "rust").chain(parts).flat_map(str::lines).collect();
    assert!(lines.len() > 20, "only {lines:?}");
    let strange = lines.iter().filter(|line| !file.lines().any(|other| other == **line));
    none("the example lacks these lines of README", strange.map(|line| (*line).to_owned()));
}

#[test]
fn the_dataflow_that_is_shown_is_sound() {
    let readme = readme();
    let text = blocks(&readme, "yaml").find(|block| block.starts_with("dataflow:"));
    let text = text.expect("README shows a dataflow");
    Dataflow::parse("README.md", text, &Table::built_in()).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let help = help(&[]);
    let (_, codes) = help.split_once("Exit codes:\n").expect("the help has them");
    let readme = readme();
    let missing = codes
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .filter(|(code, meaning)| !readme.contains(&format!("| {code} | {meaning} |")));
    none("exit codes that README lacks", missing.map(|(code, meaning)| format!("| {code} | {meaning} |")));
}

#[test]
fn the_checks_run_the_command_that_is_shown() {
    let script = fs::read_to_string(root().join(".ci/run")).expect(".ci/run is there");
    let shown = readme();
    let test = "cargo test --release";
    assert!(shown.lines().any(|line| line == test), "README does not show {test:?}");
    assert!(script.lines().any(|line| line == test), ".ci/run does not run {test:?}");
}
