//! What may name what, and how large things are.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{Line, Source, none, root};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Crates (names that end in `_`: all crates whose names begin so), and the folders that may name them.
const OWNERS: &[(&str, &[&str])] = &[
    ("timely", &["engine", "ledger"]),
    ("differential_dataflow", &["ledger"]),
    // Unsound: RUSTSEC-2021-0120.
    ("abomonation", &[]),
    // `replay` names the folder `dicom_file`.
    ("dicom_", &["dicom_file", "imaging", "dicom", "replay"]),
    ("jpeg2k", &["imaging"]),
    ("jpegls", &["imaging"]),
    ("ab_glyph", &["imaging"]),
    ("dejavu", &["imaging"]),
    ("encoding_rs", &["imaging"]),
    ("unicode_bidi", &["imaging"]),
    ("unifont", &["imaging"]),
    ("png", &["imaging", "replay"]),
    ("pdf_writer", &["imaging"]),
    ("subsetter", &["imaging"]),
    ("base64", &["audit", "books", "calls", "chat"]),
    ("bytemuck", &["imaging"]),
    ("memmap2", &["dicom", "imaging", "step"]),
    ("rusqlite", &["chat", "journal", "ledger", "tally"]),
    ("ciborium", &["step", "dicom", "replay"]),
    ("rayon", &["imaging", "dicom", "cli"]),
    ("percent_encoding", &["books", "chat", "monitor"]),
    ("rustls", &["tls"]),
    ("ipnet", &["dicom"]),
    ("hyper", &["calls", "chat", "dicom", "monitor"]),
    ("hyper_util", &["chat", "dicom", "monitor"]),
    ("http_body_util", &["chat", "dicom"]),
    ("tokio", &["calls", "chat", "dicom", "monitor"]),
    ("include_dir", &["chat"]),
    ("jsonschema", &["chat"]),
    ("lettre", &["alarm"]),
    ("ratatui", &["cli"]),
    ("ureq", &["calls"]),
    ("futures_util", &["chat"]),
    ("jsonwebtoken", &["chat"]),
    ("tokio_tungstenite", &["chat"]),
    ("object_store", &["calls"]),
    ("tokio_rustls", &["chat", "dicom", "monitor"]),
    ("memchr", &["dicom", "program"]),
    ("rustix", &["admission", "books", "cli", "journal", "program", "store", "dicom", "files", "tokens"]),
    ("tar", &["books", "replay"]),
    ("sha2", &["books", "calls"]),
    ("zstd", &["books", "cluster"]),
    ("saphyr_parser", &["yaml"]),
    ("tempfile", &["backup", "books", "chat", "cli", "monitor", "program"]),
    ("blake3", &["step", "cluster"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("libc", &["cli", "program"]),
    ("indicatif", &["cli"]),
    ("signal_hook", &["cli"]),
    ("tracing_subscriber", &["cli"]),
];

/// The steps, and what a dataflow means, are functions of their inputs alone.
const PURE: [&str; 5] = ["step", "yaml", "dataflow", "dicom_file", "imaging"];

/// Clock, environment, randomness, network, and what is said to a person.
const IMPURE: [&str; 9] = [
    "Instant",
    "SystemTime",
    "std::env",
    "std::net",
    "std::process",
    "rand",
    "RandomState",
    "println",
    "eprintln",
];

/// The folders of `src` in the order of the map in `lib.rs`.
fn map() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs is there");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.filter_map(|row| row.split_once("`]")).map(|(folder, _)| folder.to_owned()).collect()
}

#[test]
fn every_folder_stands_in_the_map() {
    let entries = fs::read_dir(root().join("src")).expect("src is there");
    let folders = entries.map(|entry| entry.expect("a readable entry").path()).filter(|path| path.is_dir());
    let folders: BTreeSet<String> = folders
        .map(|path| path.file_name().expect("it has a name").to_str().expect("Unicode").into())
        .collect();
    assert_eq!(folders, BTreeSet::from_iter(map()));
}

#[test]
fn a_folder_uses_only_what_stands_above_it_in_the_map() {
    let map = map();
    let place = |folder: &str| map.iter().position(|other| other == folder);
    let mut arrows = 0;
    let mut wrong = Vec::new();
    for source in Source::all(&["src"]) {
        let Some(folder) = source.folder() else { continue };
        for line in source.code() {
            for used in line.text.split("crate::").skip(1) {
                arrows += 1;
                let used: String =
                    used.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
                if place(&used).is_none_or(|used| Some(used) > place(folder)) {
                    wrong.push(source.at(line.number, &format!("{folder} uses {used:?}")));
                }
            }
        }
    }
    assert!(arrows > 100, "only {arrows} uses were found");
    none("a folder uses what stands below it, or is not in the map of src/lib.rs", wrong);
}

#[test]
fn a_crate_is_named_by_its_owners_only() {
    let mut wrong = Vec::new();
    for source in Source::all(&["src"]) {
        for (name, owners) in
            OWNERS.iter().filter(|(_, owners)| !owners.contains(&source.folder().unwrap_or_default()))
        {
            let named = source.code().filter(|line| names_crate(line, name));
            wrong.extend(
                named.map(|line| source.at(line.number, &format!("only {owners:?} may name {name}"))),
            );
        }
    }
    none("a crate is named outside its folders", wrong);
}

fn names_crate(line: &Line, name: &str) -> bool {
    let mut paths =
        line.text.split("::").map(|part| part.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next());
    let is_it = |word: &str| if name.ends_with('_') { word.starts_with(name) } else { word == name };
    // The last part has no `::` behind it: it is no path's beginning.
    let ends = line.text.split("::").count() - 1;
    paths.by_ref().take(ends).flatten().any(is_it)
}

#[test]
fn what_is_pure_names_no_clock_environment_or_network() {
    let mut wrong = Vec::new();
    for source in Source::all(&PURE.map(|folder| format!("src/{folder}")).each_ref().map(String::as_str)) {
        for line in source.code() {
            let named = IMPURE.iter().filter(|name| line.names(name));
            wrong.extend(named.map(|name| source.at(line.number, &format!("names {name}"))));
        }
    }
    none("a step sees its inputs and parameters only", wrong);
}

#[test]
fn files_begin_with_what_they_are_and_end_in_time() {
    let sources = Source::all(&["src", "tests", "benches", "examples"]);
    let wrong = sources.iter().filter_map(|source| {
        let lines = source.text.lines().count();
        let long = (lines > FILE_LINES_MAX).then(|| format!("{lines} lines, {FILE_LINES_MAX} at most"));
        let bare = (!source.text.starts_with("//! "))
            .then(|| "the first line is not `//! ` and what the file is".into());
        long.or(bare).map(|what| source.at(1, &what))
    });
    none("files", wrong);
}

#[test]
fn functions_are_short() {
    let sources = Source::all(&["src", "tests", "benches", "examples"]);
    let functions: Vec<(&Source, Function)> = sources
        .iter()
        .flat_map(|source| functions(source).into_iter().map(move |one| (source, one)))
        .collect();
    assert!(functions.len() > 1000, "only {} functions were found", functions.len());
    let long = functions.iter().filter(|(_, function)| function.lines > FUNCTION_LINES_MAX);
    none(
        "functions",
        long.map(|(source, function)| {
            source.at(
                function.start,
                &format!("a function of {} lines, {FUNCTION_LINES_MAX} at most", function.lines),
            )
        }),
    );
}

struct Function {
    start: usize,
    lines: usize,
}

/// Functions with a body, in a formatted file: what begins with `fn` ends with a brace below it.
fn functions(source: &Source) -> Vec<Function> {
    let lines: Vec<&str> = source.text.lines().collect();
    let begins = lines.iter().enumerate().filter(|(_, line)| is_function(line));
    let whole = |(index, line): (usize, &&str)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let below = lines[index..].iter().map(|line| line.strip_prefix(indent).unwrap_or_default());
        // Without a body, in a trait, it is `);` or `) -> Type;`.
        let end = below.clone().position(|line| line == "}" || line.starts_with(')') && line.ends_with(';'));
        Function { start: index + 1, lines: end.map_or(below.count(), |end| end + 1) }
    };
    begins.map(whole).collect()
}

fn is_function(line: &str) -> bool {
    const BEFORE: [&str; 6] = ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "async"];
    let mut words = line.split_whitespace().skip_while(|word| BEFORE.contains(word));
    words.next() == Some("fn") && !line.ends_with(['}', ';'])
}

#[test]
fn nothing_is_left_undone_or_unwrapped() {
    let mut wrong = Vec::new();
    for source in Source::all(&["src", "benches", "examples"]) {
        let unwraps = source.code().filter(|line| line.text.contains(".unwrap()"));
        wrong.extend(unwraps.map(|line| source.at(line.number, "an `expect` states why it holds")));
    }
    let sources = Source::all(&["src", "tests", "benches", "examples"]);
    for source in sources.iter().filter(|source| source.path != file!()) {
        for (index, line) in source.text.lines().enumerate() {
            let mark = ["TODO", "FIXME", "todo!", "unimplemented!"].iter().find(|mark| line.contains(**mark));
            wrong.extend(mark.map(|mark| source.at(index + 1, &format!("{mark} has no home"))));
        }
    }
    none("unfinished", wrong);
}
