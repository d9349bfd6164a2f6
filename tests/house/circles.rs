//! Which files use which, and that no files do so in a circle.
//!
//! A path is followed through re-exports to the file that defines what it names. A re-export itself is a
//! face and no use, unless the file's own code names it.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, none};

type Path = Vec<String>;

struct Module {
    file: String,
    /// Paths that its code names.
    uses: Vec<Path>,
    /// Names that it gives on, and where they are from.
    faces: BTreeMap<String, Path>,
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let modules: BTreeMap<Path, Module> = Source::all(&["src"]).iter().filter_map(module).collect();
    let arrows: BTreeMap<&Path, BTreeSet<&Path>> = modules
        .iter()
        .map(|(path, module)| {
            let used =
                module.uses.iter().filter_map(|one| defining(&modules, &absolute(&modules, path, one)?, 0));
            (path, used.filter(|used| *used != path).collect())
        })
        .collect();
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 300, "too few uses were found");
    let reached: BTreeMap<&Path, BTreeSet<&Path>> =
        arrows.keys().map(|path| (*path, reached_from(&arrows, path))).collect();
    let in_circle = reached.iter().filter(|(path, reached)| reached.contains(*path)).map(|(path, _)| *path);
    let partners = |path: &Path| {
        let back = reached[path].iter().filter(|other| **other != path && reached[*other].contains(path));
        back.map(|other| modules[*other].file.clone()).collect::<Vec<_>>().join(", ")
    };
    none(
        "files use each other in a circle",
        in_circle.map(|path| format!("{}: with {}", modules[path].file, partners(path))),
    );
}

fn reached_from<'a>(arrows: &BTreeMap<&'a Path, BTreeSet<&'a Path>>, from: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Path> = arrows[from].iter().copied().collect();
    while let Some(path) = next.pop() {
        if reached.insert(path) {
            next.extend(&arrows[path]);
        }
    }
    reached
}

/// A file of `src` by its module's path; nothing for the tests of one.
fn module(source: &Source) -> Option<(Path, Module)> {
    let below = source.path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut path: Path = below.split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "tests") || ["lib", "main"].contains(&below) {
        return None;
    }
    path.pop_if(|last| last == "mod");
    let code: String = source.code().map(|line| format!("{}\n", line.text)).collect();
    let (mut uses, mut faces, mut rest) = (Vec::new(), BTreeMap::new(), String::new());
    for statement in code.split_inclusive(';') {
        let words = statement.trim_start();
        let begins = words.rfind("use ").filter(|at| words[..*at].ends_with(is_before_use) || *at == 0);
        match begins.map(|at| (&words[..at], words[at + 4..].trim_end_matches(';'))) {
            Some((before, tree)) if before.trim_end().rsplit('\n').next().is_some_and(is_face) => {
                rest.push_str(before);
                faces.extend(leaves(tree).into_iter().filter_map(|leaf| Some((leaf.last()?.clone(), leaf))));
            }
            Some((before, tree)) => {
                rest.push_str(before);
                uses.extend(leaves(tree));
            }
            None if words.rsplit('\n').next().is_some_and(|line| line.contains("mod ")) => {}
            None => rest.push_str(statement),
        }
    }
    uses.extend(inline(&rest));
    uses.extend(faces.iter().filter(|(name, _)| names(&rest, name)).map(|(_, path)| path.clone()));
    Some((path, Module { file: source.path.clone(), uses, faces }))
}

fn is_before_use(letter: char) -> bool {
    letter.is_whitespace()
}

fn is_face(before: &str) -> bool {
    before.trim_start().starts_with("pub")
}

fn names(code: &str, name: &str) -> bool {
    code.split(|letter: char| !is_of_word(letter)).any(|word| word == name)
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The paths in a tree of uses.
fn leaves(tree: &str) -> Vec<Path> {
    let tree = tree.trim();
    let Some((before, inside)) = tree.strip_suffix('}').and_then(|tree| tree.split_once('{')) else {
        let name = tree.split(" as ").next().unwrap_or_default();
        return vec![name.split("::").map(|part| part.trim().to_owned()).collect()];
    };
    let before: Path =
        before.split("::").filter(|part| !part.trim().is_empty()).map(|it| it.trim().to_owned()).collect();
    let (mut depth, mut begins, mut found) = (0, 0, Vec::new());
    let ended = format!("{inside},");
    for (at, letter) in ended.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(leaves(&ended[begins..at]).into_iter().filter(|leaf| leaf != &[""]));
                begins = at + 1;
            }
            _ => {}
        }
    }
    found.into_iter().map(|leaf| [before.clone(), leaf].concat()).collect()
}

/// The paths in code that is no use.
fn inline(code: &str) -> Vec<Path> {
    let words = code.split(|letter: char| !is_of_word(letter) && letter != ':');
    let paths = words.filter(|word| word.contains("::"));
    paths.map(|path| path.split("::").map(|part| part.trim_matches(':').to_owned()).collect()).collect()
}

/// A path from the root; nothing for one that leads to another crate.
fn absolute(modules: &BTreeMap<Path, Module>, from: &Path, path: &Path) -> Option<Path> {
    let first = path.first()?;
    let supers = path.iter().take_while(|part| *part == "super").count();
    match first.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([from.as_slice(), &path[1..]].concat()),
        "super" => Some([&from[..from.len().checked_sub(supers)?], &path[supers..]].concat()),
        _ => {
            let child = [from.as_slice(), std::slice::from_ref(first)].concat();
            modules.contains_key(&child).then(|| [from.as_slice(), path].concat())
        }
    }
}

/// The module that defines what a path names.
fn defining<'a>(modules: &'a BTreeMap<Path, Module>, path: &Path, faces_passed: usize) -> Option<&'a Path> {
    for end in (1..=path.len()).rev() {
        let Some((found, module)) = modules.get_key_value(&path[..end]) else { continue };
        let face = path.get(end).and_then(|name| module.faces.get(name));
        return match face {
            Some(face) if faces_passed < 10 => {
                let onward = [absolute(modules, found, face)?, path[end + 1..].to_vec()].concat();
                defining(modules, &onward, faces_passed + 1)
            }
            _ => Some(found),
        };
    }
    None
}
