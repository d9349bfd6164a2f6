//! Problems of a file, for the person who writes it: place, message, hint.

use std::fmt;

use serde::Serialize;

/// One problem of a file, with its place. Displayed with the line of the file:
///
/// ```
/// use flow::yaml::Problem;
///
/// let problem = Problem {
///     file: "x.yaml".to_owned(),
///     line: 3,
///     column: 9,
///     message: "the step \"fnd\" is not known".to_owned(),
///     hint: Some("did you mean \"find\"?".to_owned()),
///     source: "  step: fnd".to_owned(),
///     width: 3,
///     details: Vec::new(),
/// };
/// assert_eq!(
///     problem.to_string(),
///     "x.yaml:3:9: the step \"fnd\" is not known\n    3 |   step: fnd\n      |         ^^^\n  \
///      hint: did you mean \"find\"?"
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The name of the file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The message: a lowercase sentence without a full stop.
    pub message: String,
    /// The hint, if there is one.
    pub hint: Option<String>,
    /// The text of the line; empty if that is very long.
    pub source: String,
    /// The number of characters that the problem is about, from the column on.
    pub width: usize,
    /// What a program said about it, line by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl Problem {
    pub(crate) fn hint(&mut self, hint: impl Into<Option<String>>) {
        self.hint = hint.into().filter(|hint| !hint.is_empty()).map(shortened);
    }

    /// Adds the last lines of what a program said, if they are more than one: that one is in the message.
    pub(crate) fn details(&mut self, said: &str) -> &mut Problem {
        let lines: Vec<&str> = said.trim_end().lines().collect();
        let last = &lines[lines.len().saturating_sub(DETAILS_MAX)..];
        if lines.len() > 1 {
            self.details = last.iter().map(|line| shortened((*line).to_owned())).collect();
        }
        self
    }
}

/// The lines of what a program said that are shown, at most.
const DETAILS_MAX: usize = 20;

/// The longest message and hint, in bytes: names in them may be as long as the file.
const TEXT_BYTES_MAX: usize = 4000;

/// The beginning of a text that is too long for a message.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { file, line, column, message, hint, source, width, details } = self;
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        // The indentation is repeated, not counted: a tab stays as wide as it is above.
        let indent: String =
            source.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        writeln!(f, "{line:>5} | {source}")?;
        write!(f, "      | {indent}{}", "^".repeat(*width))?;
        details.iter().try_for_each(|said| write!(f, "\n  | {said}"))?;
        hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// All problems of a file and of those that it is read with, in the order of each. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts them by place; `None` if there are none.
    pub(crate) fn of(mut problems: Vec<Problem>) -> Option<Problems> {
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        problems.dedup();
        (!problems.is_empty()).then_some(Problems(problems))
    }

    /// The problems, in the order of the file.
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
