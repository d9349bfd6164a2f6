//! The collector of the problems of one file.

use super::problem::{Problem, Problems};

/// A range within one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// In characters; at least 1.
    pub width: usize,
}

/// A value and its position in the file.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub place: Place,
    pub value: T,
}

pub(crate) struct Collector<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> Collector<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Collector<'a> {
        Collector { file, lines: text.lines().collect(), problems: Vec::new() }
    }

    /// Adds a problem and returns it, so that the caller can add a hint.
    pub fn add(&mut self, place: Place, message: impl Into<String>) -> &mut Problem {
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

    /// The checked value if the file has no problems, otherwise the problems.
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
