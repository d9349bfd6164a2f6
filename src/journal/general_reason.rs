//! Reasons of faults in general words: for counts, metrics and pages that must name no patient.
//!
//! A reason has words of flow in it, and texts of others: names of files, values of data sets, answers of peers, what
//! a program said. The rule by which flow words its reasons, so that the two can be told apart:
//!
//! * A fault whose whole reason is that of a program says so ([`FaultOrigin::Program`]).
//! * What else was said elsewhere, for example by the operating system or by a peer, follows `: ` or `; ` and ends
//!   the reason. Only a place may come before: `slice 3 of 275 (NAME): the pixel data is cut off`.
//! * Values and names stand in quotation marks, in parentheses, or behind the noun that they name: `the file NAME
//!   could not be read`.
//!
//! General words are those that are left without all of that. As a second line of defence only words of lower case
//! are kept, numbers without their value, and a few terms: a name that somebody forgot to quote is left out, too.

use crate::step::{Fault, FaultOrigin};

const LETTERS_MAX: usize = 120;

/// The mark of what is left out.
const LEFT_OUT: &str = "…";

/// The reason of every fault that a program words.
const PROGRAM_REASON: &str = "a reason in the words of the program";

/// Terms with upper case that name nobody.
const TERMS: [&str; 20] = [
    "AE", "C-STORE", "CT", "DICOM", "GiB", "HTTP", "HU", "JPEG", "JSON", "KiB", "MiB", "MR", "PDF", "PNG",
    "SOP", "TCP", "TLS", "UID", "UTF-8", "YAML",
];

/// Nouns that a name may follow, and the verbs that end the name.
const NAMED: [&str; 4] = ["file", "item", "map", "read"];
const VERBS: [&str; 6] = ["are", "cannot", "could", "has", "is", "was"];

/// The reason of a fault in general words.
pub fn general_fault(fault: &Fault) -> String {
    match fault.origin {
        FaultOrigin::Flow => general(&fault.reason),
        FaultOrigin::Program => PROGRAM_REASON.to_owned(),
    }
}

/// A reason in general words. Text that a program or a peer has worded must not stand at its beginning.
pub fn general(reason: &str) -> String {
    let text = without_between(&without_between(own_words(reason), '"', '"'), '(', ')');
    let mut words: Vec<String> = Vec::new();
    let mut is_named = false;
    for word in text.split_whitespace() {
        is_named &= !VERBS.contains(&word);
        let word = if is_named { LEFT_OUT.to_owned() } else { general_word(word) };
        if word != LEFT_OUT || words.last().is_none_or(|last| last != LEFT_OUT) {
            words.push(word);
        }
        is_named |= words.last().is_some_and(|last| NAMED.contains(&last.as_str()));
    }
    words.join(" ").chars().take(LETTERS_MAX).collect()
}

/// The part of a reason before the first text of others.
fn own_words(reason: &str) -> &str {
    let end = |text: &str| [": ", "; "].iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    let first = end(reason);
    match is_place(&reason[..first]) && first + 2 <= reason.len() {
        true => &reason[..first + 2 + end(&reason[first + 2..])],
        false => &reason[..first],
    }
}

/// Whether a text is a place, as `slice 3 of 275 (NAME)`.
fn is_place(text: &str) -> bool {
    let words: Vec<&str> = text.splitn(5, ' ').collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    matches!(words.as_slice(), [_, number, "of", count, name]
        if is_number(number) && is_number(count) && name.starts_with('(') && name.ends_with(')'))
}

/// A text with all between the first and the last mark left out. Text of others may have such marks in it.
fn without_between(text: &str, begin: char, end: char) -> String {
    let Some(first) = text.find(begin) else { return text.to_owned() };
    let last = text.rfind(end).filter(|last| *last > first);
    let rest = last.map_or("", |last| &text[last + end.len_utf8()..]);
    format!("{}{begin}{LEFT_OUT}{end}{rest}", &text[..first])
}

/// A word, if it is one of flow; a number without its value; else the mark of what is left out.
fn general_word(word: &str) -> String {
    let bare = word.trim_end_matches([',', '.', ':', ';', '?']);
    let is_marked = |mark: &str| bare == mark;
    let is_plain = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'\'');
    let is_number = bare.bytes().any(|byte| byte.is_ascii_digit())
        && bare.bytes().all(|byte| byte.is_ascii_digit() || b".,+-%".contains(&byte));
    match () {
        () if is_number => without_value(word),
        () if is_plain || TERMS.contains(&bare) || is_marked("\"…\"") || is_marked("(…)") => {
            word.to_owned()
        }
        () => LEFT_OUT.to_owned(),
    }
}

fn without_value(word: &str) -> String {
    let mut text = String::new();
    for letter in word.chars() {
        match (letter.is_ascii_digit(), text.ends_with('#')) {
            (true, true) => {}
            (true, false) => text.push('#'),
            (false, _) => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_general_reason_has_no_numbers_names_or_paths() {
        for (reason, expected) in [
            (
                "slice 12 of 275 of \"Doe Jane\" is missing in /tmp/a between 31.0 and 33.0 mm",
                "slice # of # of \"…\" is missing in … between #.# and #.# mm",
            ),
            ("the value \"a\" of \"b\\\" Doe \" is wrong", "the value \"…\" is wrong"),
            ("the name \"Doe: Jane\" is wrong", "the name \"…\""),
            ("the file Doe Jane.dcm could not be read: No such file", "the file … could not be read"),
            ("the file doe jane is not DICOM", "the file … is not DICOM"),
            ("no connection to DOE^JANE, 3 tries", "no connection to … # tries"),
            ("the pixel data is cut off: 24 bytes are needed", "the pixel data is cut off"),
            (
                "slice 3 of 5 (doe): the pixel data is cut off: 24 bytes",
                "slice # of # (…): the pixel data is cut off",
            ),
        ] {
            assert_eq!(general(reason), expected, "{reason}");
        }
    }

    #[test]
    fn nothing_that_a_program_or_a_peer_words_is_kept() {
        for reason in [
            "the program \"a\" ended with exit code 3; standard error: doe jane was here",
            "peer:80 answered with status 400: doe jane is unknown",
            "the service says: doe jane",
            "the answer is no JSON array: doe jane",
            "it was refused (doe (jane)) by doe.example",
        ] {
            let general = general(reason);
            assert!(!general.contains("doe") && !general.contains("jane"), "{general}");
        }
        let fault = Fault::new("doe jane has no lungs", "See to doe jane.").of_program();
        assert_eq!(general_fault(&fault), PROGRAM_REASON);
    }
}
