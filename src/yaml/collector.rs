//! The collector of a file's problems, while the file is read and checked.

use std::borrow::Cow;

use super::problem::{Problem, Problems, shortened};

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
    /// A problem that is not told.
    untold: Option<Problem>,
}

/// The most problems that are told: a hostile file of 1 MiB has a hundred thousand.
const PROBLEMS_MAX: usize = 1000;

/// The longest line that is shown with a problem of it, in bytes.
const SOURCE_BYTES_MAX: usize = 1000;

struct CollectedFile<'a> {
    name: Cow<'a, str>,
    text: Cow<'a, str>,
}

impl<'a> ProblemCollector<'a> {
    pub fn new(file: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>) -> ProblemCollector<'a> {
        let file = CollectedFile { name: file.into(), text: text.into() };
        ProblemCollector { files: vec![file], problems: Vec::new(), untold: None }
    }

    /// Adds a file that is read together with the first one, and returns its index for places.
    pub fn add_file(&mut self, name: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>) -> usize {
        self.files.push(CollectedFile { name: name.into(), text: text.into() });
        self.files.len() - 1
    }

    /// Notes a problem; the caller may give it a hint. Behind the first thousand none is told any more.
    pub fn add(&mut self, place: SourcePlace, message: impl Into<String>) -> &mut Problem {
        let mut message = shortened(message.into());
        match self.problems.len() {
            ..PROBLEMS_MAX => {}
            PROBLEMS_MAX => message.push_str("; further problems are not listed"),
            _ => return self.untold.insert(Problem { message, ..Problem::default() }),
        }
        let file = &self.files[place.file];
        let source = file.text.lines().nth(place.line - 1).unwrap_or_default();
        let source = if source.len() <= SOURCE_BYTES_MAX { source } else { "" };
        let rest = source.chars().count().saturating_sub(place.column - 1);
        self.problems.push(Problem {
            file: file.name.clone().into_owned(),
            line: place.line,
            column: place.column,
            message,
            hint: None,
            source: source.to_owned(),
            width: place.width.min(rest).max(1),
            details: Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn collector_of_one(text: &str) -> Problem {
        let mut collector = ProblemCollector::new("x", "");
        collector.add(SourcePlace::START, text).hint(text.to_owned());
        collector.finish::<()>(None).unwrap_err().iter().next().unwrap().clone()
    }

    #[test]
    fn problems_are_bounded_in_number_and_length() {
        let text = format!("{}\nshort", "x: 1, ".repeat(10_000));
        let mut collector = ProblemCollector::new("x", text.as_str());
        for line in [1, 2] {
            let place = SourcePlace { line, ..SourcePlace::START };
            (0..PROBLEMS_MAX)
                .for_each(|number| collector.add(place, number.to_string()).hint("no".to_owned()));
        }
        let problems = collector.finish::<()>(None).unwrap_err();
        assert_eq!(problems.iter().len(), PROBLEMS_MAX + 1);
        assert!(problems.to_string().len() < 100 * PROBLEMS_MAX, "long lines are not shown");
        let long = collector_of_one(&"é".repeat(5000));
        assert!(long.message.len() < 4100 && long.hint.unwrap().len() < 4100);
        let last = problems.iter().last().unwrap();
        assert_eq!(
            (last.message.as_str(), last.source.as_str()),
            ("0; further problems are not listed", "short")
        );
    }
}
