//! Problems of a file, as its author sees them: position, message and hint.

use std::fmt;

use serde::Serialize;

/// One problem and its position.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The name of the file as given to the parser.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// A lowercase sentence without a full stop.
    pub message: String,
    /// A suggestion for correcting it, if there is one.
    pub hint: Option<String>,
    /// The text of the line.
    pub source: String,
    /// The number of characters that are wrong, from `column` on.
    pub width: usize,
}

impl Problem {
    pub(crate) fn hint(&mut self, hint: impl Into<Option<String>>) {
        self.hint = hint.into();
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { file, line, column, message, hint, source, width } = self;
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        // The indentation is copied, so that a tab is as wide as in the line above.
        let indent: String =
            source.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        writeln!(f, "{line:>5} | {source}")?;
        write!(f, "      | {indent}{}", "^".repeat(*width))?;
        hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// All problems of a file, sorted by position. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts problems by position; `None` if there are none.
    pub(crate) fn of(mut problems: Vec<Problem>) -> Option<Problems> {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.dedup();
        (!problems.is_empty()).then_some(Problems(problems))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}
