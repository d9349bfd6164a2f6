//! The collector of a file's problems, while the file is read and checked.

use std::borrow::Cow;

use super::problem::{Problem, Problems};

/// A stretch of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePlace {
    /// The index of the file, where several are read as one.
    pub file: usize,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In characters; at least 1.
    pub width: usize,
}

impl SourcePlace {
    /// The beginning of the first file.
    pub(crate) const START: SourcePlace = SourcePlace { file: 0, line: 1, column: 1, width: 1 };
}

/// A value and its place in the file.
#[derive(Clone, Debug)]
pub struct PlacedValue<T> {
    /// The place where the value begins.
    pub place: SourcePlace,
    /// The value itself.
    pub value: T,
}

pub(crate) struct ProblemCollector<'a> {
    files: Vec<CollectedFile<'a>>,
    problems: Vec<Problem>,
}

struct CollectedFile<'a> {
    name: Cow<'a, str>,
    text: Cow<'a, str>,
}

impl<'a> ProblemCollector<'a> {
    pub fn new(file: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>) -> ProblemCollector<'a> {
        let file = CollectedFile { name: file.into(), text: text.into() };
        ProblemCollector { files: vec![file], problems: Vec::new() }
    }

    /// Adds a file that is read together with the first one, and returns its index for places.
    pub fn add_file(&mut self, name: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>) -> usize {
        self.files.push(CollectedFile { name: name.into(), text: text.into() });
        self.files.len() - 1
    }

    /// Notes a problem; the caller may give it a hint.
    pub fn add(&mut self, place: SourcePlace, message: impl Into<String>) -> &mut Problem {
        let file = &self.files[place.file];
        let source = file.text.lines().nth(place.line - 1).unwrap_or_default();
        let rest = source.chars().count().saturating_sub(place.column - 1);
        self.problems.push(Problem {
            file: file.name.clone().into_owned(),
            line: place.line,
            column: place.column,
            message: message.into(),
            hint: None,
            source: source.to_owned(),
            width: place.width.min(rest).max(1),
        });
        self.problems.last_mut().expect("one was pushed")
    }

    /// The result of reading, if there is no problem.
    pub fn finish<T>(self, made: Option<T>) -> Result<T, Problems> {
        match Problems::of(self.problems) {
            Some(problems) => Err(problems),
            None => Ok(made.expect("nothing is missing where nothing is wrong")),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}
