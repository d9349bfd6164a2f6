//! The threat model: each line names a test that holds it, and each test that is named exists.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{Source, none, root};

/// The rows of the table of doors: what could be tried, what holds, and the tests.
fn rows(page: &str) -> Vec<[&str; 3]> {
    let table = page.split("door by door").nth(1).expect("the page has a table of doors");
    let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let cells = rows.take_while(|line| line.starts_with('|')).map(|line| {
        let mut cells = line.trim_matches('|').split(" | ");
        [(); 3].map(|()| cells.next().unwrap_or_default().trim())
    });
    cells.collect()
}

/// The names of all tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in Source::all(&["src", "tests"]) {
        let after = source.text.split("#[test]").skip(1);
        let names_here = after.filter_map(|rest| rest.split_once("fn ")?.1.split('(').next());
        names.extend(names_here.map(str::to_owned));
    }
    names
}

#[test]
fn each_threat_has_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/src/explanation/threat-model.md")).expect("it is there");
    let (rows, tests) = (rows(&page), tests());
    assert!(rows.len() > 20, "only {} rows were found", rows.len());
    assert!(tests.len() > 1000, "only {} tests were found", tests.len());
    let mut wrong = Vec::new();
    for [threat, _, named] in rows {
        let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("{threat}: no test is named"));
        }
        let missing = named.into_iter().filter(|name| !tests.contains(*name));
        wrong.extend(missing.map(|name| format!("{threat}: there is no test {name}")));
    }
    none("the threat model", wrong);
}
