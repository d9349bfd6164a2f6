//! The README and the book against the program: subcommands, options, defaults, exit codes, steps, links,
//! and the commands that they show. The commands of chapters that need no peer are run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use flow::dataflow::Dataflow;
use flow::step::{Fault, Payload, Request, ResponseFiles, Step, StepOutputs, StepTable};
use serde::{Deserialize, Serialize};

use crate::source::{files, none, root};

/// The README must fit on a page that people read to its end.
const README_LINES_MAX: usize = 250;

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The chapters of the book, `SUMMARY.md` included.
fn chapters() -> Vec<PathBuf> {
    files(&root().join("docs/src"), "md")
}

/// The README and all chapters as one text.
fn pages() -> String {
    let pages = [root().join("README.md")].into_iter().chain(chapters());
    let texts = pages.map(|path| fs::read_to_string(&path).expect("a page is text"));
    texts.collect::<Vec<String>>().join("\n\n")
}

/// The blocks of code in a language.
fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

/// What Markdown links to, without what is elsewhere on the network.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.is_empty() && !target.contains("://"))
}

/// The anchors of a page: its headings as GitHub and mdBook write them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|letter| letter.is_alphanumeric() || "- _".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_chapter_is_in_the_summary() {
    let summary = page("docs/src/SUMMARY.md");
    let listed: BTreeSet<PathBuf> = links(&summary).map(|link| root().join("docs/src").join(link)).collect();
    let mut written: BTreeSet<PathBuf> = chapters().into_iter().collect();
    assert!(written.remove(&root().join("docs/src/SUMMARY.md")));
    assert_eq!(listed, written);
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut wrong = Vec::new();
    for path in [root().join("README.md")].into_iter().chain(chapters()) {
        let text = fs::read_to_string(&path).expect("a page is text");
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let found = target.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !found {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    none("links lead nowhere", wrong);
}

#[test]
fn the_readme_is_one_page() {
    let lines = page("README.md").lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines, at most {README_LINES_MAX}");
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

/// The section about each subcommand in the reference.
fn reference() -> Vec<(String, String)> {
    let page = page(REFERENCE);
    let parts = page.split("\n## `flow ").skip(1);
    let names = parts.map(|part| {
        let name: String =
            part.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '-').collect();
        (name, part.split("\n#").next().unwrap_or_default().to_owned())
    });
    names.collect()
}

const REFERENCE: &str = "docs/src/reference/command-line.md";

#[test]
fn the_reference_has_every_subcommand_and_option_and_no_other() {
    let reference = reference();
    let named: BTreeSet<String> = reference.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(named, subcommands());
    for (name, part) in reference {
        assert_eq!(options(&part), options_of(&name), "options of flow {name}: reference, then help");
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
    for (name, part) in reference() {
        let defaults = defaults_of(&name);
        for row in part.lines().filter(|line| line.starts_with("| `-")) {
            let option = options(row).pop_first().expect("a row is about an option");
            let said = row.split('|').nth(3).expect("a row has three cells").trim().replace('`', "");
            let meant = defaults.get(&option).cloned().unwrap_or_default();
            assert_eq!(said, meant, "default of {option} of flow {name}: reference, then help");
            rows += 1;
        }
    }
    assert!(rows > 20, "only {rows} rows");
}

#[test]
fn the_commands_that_are_shown_exist() {
    let pages = pages();
    let shown: Vec<&str> = blocks(&pages, "sh").flat_map(str::lines).filter_map(invocation).collect();
    assert!(shown.len() > 50, "only {shown:?}");
    let known: BTreeMap<String, BTreeSet<String>> =
        subcommands().into_iter().map(|name| (name.clone(), options_of(&name))).collect();
    let wrong = shown.iter().filter(|line| {
        let name = line.split_whitespace().next().unwrap_or_default();
        known.get(name).is_none_or(|known| !options(line).is_subset(known))
    });
    none("the pages show commands that do not exist", wrong.map(|line| (*line).to_owned()));
}

/// What follows `flow` on a line of a shell's block; what stands behind `#` or `|` is not for flow.
fn invocation(line: &str) -> Option<&str> {
    const BEFORE: [&str; 4] = [
        "flow ",
        "cargo run --release -- ",
        "cargo run --release --example own_step -- ",
        "cargo run --release --example own_source -- ",
    ];
    let words = BEFORE.iter().find_map(|before| line.strip_prefix(before))?;
    words.split(['#', '|', '>']).next()
}

/// Chapters whose shell commands run as they are, one after the other, in a folder of their own.
const RUN: [&str; 6] = [
    "tutorial/first-study.md",
    "tutorial/own-dataflow.md",
    "explanation/scale.md",
    "how-to/replay.md",
    "how-to/backup.md",
    "how-to/torture.md",
];

#[test]
fn the_commands_of_chapters_without_peers_run() {
    for chapter in RUN {
        let folder = tempfile::tempdir().expect("a temporary folder");
        symlink(root().join("dataflows"), folder.path().join("dataflows")).expect("a link can be made");
        let page = page(&format!("docs/src/{chapter}"));
        let script: Vec<&str> = blocks(&page, "sh").flat_map(str::lines).collect();
        assert!(script.len() > 3, "only {script:?} in {chapter}");
        let ended = shell(&script.join("\n"), folder.path()).output().expect("there is a shell");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{chapter}: {}\n{said}", ended.status);
    }
}

/// The chapters that go on with the first study, in the order of the book.
const IN_ONE_FOLDER: [&str; 4] =
    ["tutorial/first-study.md", "tutorial/own-dataflow.md", "how-to/backup.md", "how-to/replay.md"];

#[test]
fn chapters_about_the_first_study_can_be_followed_in_one_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    symlink(root().join("dataflows"), folder.path().join("dataflows")).expect("a link can be made");
    for chapter in IN_ONE_FOLDER {
        let page = page(&format!("docs/src/{chapter}"));
        let script: Vec<&str> = blocks(&page, "sh").flat_map(str::lines).collect();
        let ended = shell(&script.join("\n"), folder.path()).output().expect("there is a shell");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{chapter}: {}\n{said}", ended.status);
        let no_guess = !said.contains("could be meant");
        assert!(no_guess, "{chapter}: a request that is named is not the only one\n{said}");
        let printed = String::from_utf8_lossy(&ended.stdout);
        let counts =
            page.split(['`', '\n']).filter(|part| part.ends_with(" identical") && part.contains(" steps, "));
        let stale = counts.filter(|count| !printed.contains(count));
        none("the page shows counts that are not printed", stale.map(|count| format!("{chapter}: {count}")));
    }
}

#[test]
fn the_lesson_about_an_own_dataflow_shows_what_is_printed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    symlink(root().join("dataflows"), folder.path().join("dataflows")).expect("a link can be made");
    let page = page("docs/src/tutorial/own-dataflow.md");
    let files = ["cp ", "sed ", "flow graph ", "flow check "];
    let lines = blocks(&page, "sh").flat_map(str::lines);
    let script: Vec<&str> = lines.filter(|line| files.iter().any(|begin| line.starts_with(begin))).collect();
    let ended = shell(&script.join("\n"), folder.path()).output().expect("there is a shell");
    let printed =
        String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    let printed: BTreeSet<&str> = printed.lines().map(str::trim_end).collect();
    let shown: Vec<&str> = blocks(&page, "text").flat_map(str::lines).collect();
    assert!(shown.len() > 10, "{shown:?}");
    // The version changes with every step.
    let is_fixed = |line: &str| line != "…" && !line.starts_with("ct-lung  ");
    let stale = shown.iter().filter(|line| is_fixed(line) && !printed.contains(line.trim_end()));
    none("the page shows lines that are not printed", stale.map(|line| (*line).to_owned()));
}

/// A shell that ends at the first command that fails, and for which this `flow` is the one on the path.
fn shell(script: &str, folder: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_flow")).parent().expect("a program lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-e", "-x", "-c", script]).current_dir(folder);
    command.env("PATH", format!("{}:{path}", program.display()));
    command
}

#[test]
fn the_step_that_is_shown_is_the_example() {
    let (pages, file) = (pages(), page("examples/own_step.rs") + &page("examples/own-step.yaml"));
    let parts = blocks(&pages, "yaml").filter(|block| block.contains("measure-bone"));
    let step = blocks(&pages, "rust")
        .filter(|block| block.contains("measure_bone") || block.contains("measure-bone"));
    let lines: Vec<&str> = step.chain(parts).flat_map(str::lines).collect();
    assert!(lines.len() > 20, "only {lines:?}");
    let strange = lines.iter().filter(|line| !file.lines().any(|other| other == **line));
    none("the example lacks lines that the pages show", strange.map(|line| (*line).to_owned()));
}

#[test]
fn the_steps_in_the_reference_are_those_of_the_table() {
    let page = page("docs/src/reference/steps.md");
    let (steps, _) = page.split_once("\n## ").expect("the first section is the table of steps");
    let rows = steps.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let table = StepTable::built_in();
    let known: Vec<&str> = table.iter().map(|step| step.declaration.name).collect();
    assert_eq!(rows.collect::<Vec<&str>>(), known);
}

/// An item of the page about streams.
#[derive(Clone, Default, Serialize, Deserialize)]
struct OrderText(String);

impl Payload for OrderText {
    const TYPE: &'static str = "order-text";
}

/// The steps of a reader's own that the page about streams wires.
fn with_order_steps(table: StepTable) -> StepTable {
    let step = |name| Step::new(name, 1, "Shown in the book.");
    let lines = step("read-lines").takes::<Request>("request").gives_many::<OrderText>("lines");
    let order = step("read-order").takes::<OrderText>("line").gives::<OrderText>("order");
    let large = step("keep-large").takes::<OrderText>("order").gives_many::<OrderText>("large");
    let prices = step("find-prices").takes::<OrderText>("order").gives::<OrderText>("price");
    let total = step("add-up").takes_each::<OrderText>("price").gives::<OrderText>("total");
    let report = step("report-total").takes::<OrderText>("total").gives::<ResponseFiles>("files");
    table
        .with(lines.runs_many(|_| Ok(std::iter::empty::<Result<OrderText, Fault>>())))
        .with(order.runs_each(|line: OrderText, _| Ok(line)))
        .with(large.runs_some(|order: OrderText, _| Ok(Some(order))))
        .with(prices.runs_batch(|orders: Vec<OrderText>, _| Ok(orders.into_iter().map(Ok).collect())))
        .with(total.folds(|_| OrderText::default(), |total: &mut OrderText, price: OrderText| *total = price))
        .with(report.runs(|_| Ok(StepOutputs::one("files", ResponseFiles(Vec::new())))))
}

#[test]
fn the_dataflows_that_are_shown_are_sound() {
    let pages = pages();
    let table = with_order_steps(StepTable::built_in());
    let shown: Vec<&str> = blocks(&pages, "yaml").filter(|block| block.starts_with("dataflow:")).collect();
    assert!(shown.len() > 1, "only {shown:?}");
    for text in shown {
        Dataflow::parse("a page", text, &table).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let help = help(&[]);
    let (_, codes) = help.split_once("Exit codes:\n").expect("the help has them");
    let reference = page(REFERENCE);
    let missing = codes
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .filter(|(code, meaning)| !reference.contains(&format!("| {code} | {meaning} |")));
    none(
        "exit codes that the reference lacks",
        missing.map(|(code, meaning)| format!("| {code} | {meaning} |")),
    );
}

#[test]
fn the_checks_run_the_command_that_is_shown() {
    let (script, shown) = (page(".ci/run"), page("README.md"));
    let test = "cargo test --release";
    assert!(shown.lines().any(|line| line == test), "README does not show {test:?}");
    assert!(script.lines().any(|line| line == test), ".ci/run does not run {test:?}");
}

#[test]
fn the_metrics_that_are_shown_are_served() {
    let (shown, served) = (page("docs/src/how-to/monitor.md"), page("src/monitor/metrics.rs"));
    let words = shown.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
    let names: BTreeSet<&str> = words
        .filter(|word| word.starts_with("flow_"))
        .map(|name| name.strip_suffix("_bucket").unwrap_or(name))
        .collect();
    assert!(names.len() > 5, "only {names:?}");
    let wrong = names.iter().filter(|name| !served.contains(&format!("\"{name}\"")));
    none("metrics that the page shows and flow does not serve", wrong.map(|name| (*name).to_owned()));
}
