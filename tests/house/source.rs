//! The project's own text, as the rules look at it.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file of the project.
pub struct Source {
    /// Below the project's folder, with forward slashes.
    pub path: String,
    pub text: String,
}

/// A line of a file; lines count from 1.
pub struct Line<'a> {
    pub number: usize,
    pub text: &'a str,
}

impl Source {
    /// All Rust files below some folders of the project, sorted by path.
    pub fn all(folders: &[&str]) -> Vec<Source> {
        let files = folders.iter().flat_map(|folder| files(&root().join(folder), "rs"));
        let sources: Vec<Source> = files.map(Source::read).collect();
        assert!(!sources.is_empty(), "there is no Rust file in {folders:?}");
        sources
    }

    fn read(path: PathBuf) -> Source {
        let text = fs::read_to_string(&path).expect("a source file is readable text");
        let below = path.strip_prefix(root()).expect("it was found below the root");
        Source { path: below.to_str().expect("file names are Unicode").to_owned(), text }
    }

    /// `engine` of `src/engine/pool.rs`; nothing for files that stand in `src` itself.
    pub fn folder(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split_once('/').map(|(folder, _)| folder)
    }

    /// The code: without comments, and without the unit tests at the end of the file or in one of their own.
    pub fn code(&self) -> impl Iterator<Item = Line<'_>> {
        let is_code = !self.path.ends_with("/tests.rs") && self.path != "src/fuzzed.rs";
        let end = self.text.find("#[cfg(test)]\nmod tests").unwrap_or(self.text.len());
        let code = self.text[..end].lines().enumerate().take_while(move |_| is_code);
        code.map(|(index, line)| Line {
            number: index + 1,
            text: line.split("//").next().unwrap_or_default(),
        })
    }

    /// Says where something was found.
    pub fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

impl Line<'_> {
    /// Whether the line has this word, and not as a part of a longer one.
    pub fn names(&self, word: &str) -> bool {
        let part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        self.text.match_indices(word).any(|(start, _)| {
            let (before, after) = (&self.text[..start], &self.text[start + word.len()..]);
            !before.ends_with(part_of_word) && !after.starts_with(part_of_word)
        })
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder whose names end so, sorted by path.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    entries.sort();
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path, extension),
        false => Vec::from_iter(path.extension().is_some_and(|it| it == extension).then_some(path)),
    };
    entries.into_iter().flat_map(below).collect()
}

/// Fails with everything that was found, one a line.
pub fn none(rule: &str, found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}
