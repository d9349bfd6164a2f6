//! The collector of a file's problems, while the file is read and checked.

use super::problem::{Problem, Problems};

/// A stretch of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePlace {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In characters; at least 1.
    pub width: usize,
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
    file: &'a str,
    lines: Vec<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> ProblemCollector<'a> {
    pub fn new(file: &'a str, text: &'a str) -> ProblemCollector<'a> {
        ProblemCollector { file, lines: text.lines().collect(), problems: Vec::new() }
    }

    /// Notes a problem; the caller may give it a hint.
    pub fn add(&mut self, place: SourcePlace, message: impl Into<String>) -> &mut Problem {
        let source = self.lines.get(place.line - 1).copied().unwrap_or_default();
        let rest = source.chars().count().saturating_sub(place.column - 1);
        self.problems.push(Problem {
            file: self.file.to_owned(),
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
