//! What is wrong with a dataflow file, for the person who writes it: place, words, hint.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file as it was named to the parser.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// A lowercase sentence without a full stop.
    pub message: String,
    /// What to do about it, where something can be said.
    pub hint: Option<String>,
    /// The line of the file.
    pub source: String,
    /// How many characters of the line are meant, from the column on.
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
        // The indentation is repeated, not counted: a tab stays as wide as it is above.
        let indent: String =
            source.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        writeln!(f, "{line:>5} | {source}")?;
        write!(f, "      | {indent}{}", "^".repeat(*width))?;
        hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Everything that is wrong with a file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts them by place; `None` if there are none.
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
