//! Rule for the series that a study must have: `'Chest 1.0' and ('Lung*' or Modality = 'SR')`.
//!
//! A text in quotes is a Series Description, `Keyword = 'text'` another element of the top level. `*` and `?`
//! stand for other letters; small and capital letters are the same. `and` binds tighter than `or`. Matching
//! is done instance by instance: each instance gets the marks of the texts that it fits.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use crate::imaging::Part10File;

/// A checked rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedSeries {
    /// Texts to match, by the element that they are compared with; the index is the text's mark.
    texts: Vec<(Tag, String)>,
    rule: SeriesRule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SeriesRule {
    Mark(usize),
    All(Vec<SeriesRule>),
    Any(Vec<SeriesRule>),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at {place:?}; write for example 'Chest*' and ('Lung' or Modality = 'SR')")]
pub struct SeriesRuleError {
    reason: String,
    place: String,
}

/// The most texts: each has a mark, a bit of one word.
const TEXTS_MAX: usize = 64;
const DEPTH_MAX: usize = 16;

impl ExpectedSeries {
    /// The marks of what a file fits, a bit for each text. Its beginning up to the pixels is enough.
    pub(in crate::dicom) fn marks(&self, file: &[u8]) -> u64 {
        let Ok(file) = Part10File::open_header(file) else { return 0 };
        let elements = file.elements();
        let fits = |(tag, pattern): &(Tag, String)| {
            elements.texts(*tag).iter().any(|text| like(&text.to_lowercase(), pattern))
        };
        let marks = self.texts.iter().enumerate().filter(|(_, text)| fits(text));
        marks.fold(0, |marks, (index, _)| marks | 1 << index)
    }

    /// The marks of what a file on disk fits.
    pub(in crate::dicom) fn marks_of(&self, path: &Path) -> io::Result<u64> {
        let mut beginning = Vec::new();
        File::open(path)?.take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
        Ok(self.marks(&beginning))
    }

    pub(in crate::dicom) fn is_met(&self, marks: u64) -> bool {
        self.rule.is_met(marks)
    }
}

/// The bytes at the beginning of a file that are read: the description of the series is within them.
const BEGINNING_BYTES: u64 = 128 << 10;

impl SeriesRule {
    fn is_met(&self, marks: u64) -> bool {
        match self {
            SeriesRule::Mark(index) => marks >> index & 1 == 1,
            SeriesRule::All(rules) => rules.iter().all(|rule| rule.is_met(marks)),
            SeriesRule::Any(rules) => rules.iter().any(|rule| rule.is_met(marks)),
        }
    }
}

/// Whether a text matches a pattern with `*` and `?`. The time is at most the product of their lengths.
fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for letter in pattern.chars() {
        let before = std::mem::replace(&mut fits, vec![false; text.len() + 1]);
        fits[0] = letter == '*' && before[0];
        for end in 1..=text.len() {
            fits[end] = match letter {
                '*' => before[end] || fits[end - 1],
                '?' => before[end - 1],
                letter => before[end - 1] && text[end - 1] == letter,
            };
        }
    }
    fits[text.len()]
}

impl FromStr for ExpectedSeries {
    type Err = SeriesRuleError;

    fn from_str(text: &str) -> Result<ExpectedSeries, SeriesRuleError> {
        let mut parser = SeriesRuleParser { rest: text, texts: Vec::new(), depth: 0 };
        let rule = parser.any()?;
        match parser.rest.trim_start() {
            "" => Ok(ExpectedSeries { texts: parser.texts, rule }),
            _ => Err(parser.wrong("`and` or `or` is missing")),
        }
    }
}

struct SeriesRuleParser<'a> {
    rest: &'a str,
    texts: Vec<(Tag, String)>,
    depth: usize,
}

impl SeriesRuleParser<'_> {
    fn any(&mut self) -> Result<SeriesRule, SeriesRuleError> {
        let mut rules = vec![self.all()?];
        while self.takes_word("or") {
            rules.push(self.all()?);
        }
        Ok(SeriesRule::Any(rules))
    }

    fn all(&mut self) -> Result<SeriesRule, SeriesRuleError> {
        let mut rules = vec![self.one()?];
        while self.takes_word("and") {
            rules.push(self.one()?);
        }
        Ok(SeriesRule::All(rules))
    }

    fn one(&mut self) -> Result<SeriesRule, SeriesRuleError> {
        if self.takes("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.wrong("it is nested too deep"));
            }
            let rule = self.any()?;
            self.depth -= 1;
            return if self.takes(")") { Ok(rule) } else { Err(self.wrong("a `)` is missing")) };
        }
        let tag = if self.rest.trim_start().starts_with(['\'', '"']) {
            tags::SERIES_DESCRIPTION
        } else {
            self.keyword()?
        };
        let text = (tag, self.quoted()?);
        let known = self.texts.iter().position(|known| *known == text);
        let index = known.unwrap_or(self.texts.len());
        if known.is_none() {
            self.texts.push(text);
        }
        if index == TEXTS_MAX {
            Err(self.wrong("there are too many texts"))
        } else {
            Ok(SeriesRule::Mark(index))
        }
    }

    fn keyword(&mut self) -> Result<Tag, SeriesRuleError> {
        let start = self.rest.trim_start();
        let length = start.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(start.len());
        let entry = StandardDataDictionary.by_name(&start[..length]);
        let tag = entry
            .map(|entry| entry.tag())
            .ok_or_else(|| self.wrong("a text in quotes, or a keyword of DICOM, is missing"))?;
        self.rest = &start[length..];
        if self.takes("=") { Ok(tag) } else { Err(self.wrong("a `=` is missing")) }
    }

    fn quoted(&mut self) -> Result<String, SeriesRuleError> {
        let start = self.rest.trim_start();
        let quote = start.chars().next().filter(|letter| matches!(letter, '\'' | '"'));
        let quote = quote.ok_or_else(|| self.wrong("a text in quotes is missing"))?;
        let (text, rest) =
            start[1..].split_once(quote).ok_or_else(|| self.wrong("a quotation mark is not closed"))?;
        self.rest = rest;
        Ok(text.trim().to_lowercase())
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let start = self.rest.trim_start();
        let Some(rest) = start.strip_prefix(word) else { return false };
        let ends = !rest.starts_with(|letter: char| letter.is_alphanumeric());
        if ends {
            self.rest = rest;
        }
        ends
    }

    fn takes(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn wrong(&self, reason: &str) -> SeriesRuleError {
        let place = self.rest.trim_start().chars().take(20).collect();
        SeriesRuleError { reason: reason.to_owned(), place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_met_by_the_marks_of_its_texts() {
        let expected: ExpectedSeries = "'A' and ('B*' or Modality = 'SR' and 'a')".parse().unwrap();
        let texts =
            [(tags::SERIES_DESCRIPTION, "a"), (tags::SERIES_DESCRIPTION, "b*"), (tags::MODALITY, "sr")];
        assert_eq!(expected.texts, texts.map(|(tag, text)| (tag, text.to_owned())));
        for (marks, met) in [(0b000, false), (0b001, false), (0b010, false), (0b011, true), (0b101, true)] {
            assert_eq!(expected.is_met(marks), met, "{marks:03b}");
        }
    }

    #[test]
    fn what_is_no_rule_is_told_with_its_place() {
        for (text, reason, place) in [
            ("", "a text in quotes, or a keyword of DICOM, is missing", ""),
            ("'A' 'B'", "`and` or `or` is missing", "'B'"),
            ("'A' and", "a text in quotes, or a keyword of DICOM, is missing", ""),
            ("('A'", "a `)` is missing", ""),
            ("Modalty = 'CT'", "a text in quotes, or a keyword of DICOM, is missing", "Modalty = 'CT'"),
            ("Modality 'CT'", "a `=` is missing", "'CT'"),
            ("'A", "a quotation mark is not closed", "'A"),
        ] {
            let (reason, place) = (reason.to_owned(), place.to_owned());
            assert_eq!(text.parse::<ExpectedSeries>(), Err(SeriesRuleError { reason, place }), "{text}");
        }
        assert!("(".repeat(1_000_000).parse::<ExpectedSeries>().is_err());
    }

    #[test]
    fn patterns_fit_whole_texts() {
        for (text, pattern, fits) in [
            ("chest 1.0", "chest*", true),
            ("chest", "chest*", true),
            ("chest", "che?t", true),
            ("chest", "che", false),
            ("", "*", true),
            ("abc", "*b*", true),
            ("abc", "*d*", false),
        ] {
            assert_eq!(like(text, pattern), fits, "{text} {pattern}");
        }
    }
}
