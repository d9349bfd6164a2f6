//! The value of Specific Character Set (0008,0005): the defined terms of PS3.3 C.12.1.1.2.

use encoding_rs::Encoding;

use super::escape::{Left, Right, Sides};

/// The character sets of a data set's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharacterSet {
    /// No known set beyond ASCII is declared without escape sequences. Bytes beyond ASCII are read as UTF-8
    /// if they are valid UTF-8, else as Latin 1.
    Undeclared,
    /// Declared sets, after which escape sequences may switch to others.
    Extended(Sides),
    /// Unicode and the Chinese multi-byte sets, which have no escape sequences.
    Alone(&'static Encoding),
}

impl Default for CharacterSet {
    /// The sets of a data set without a declaration.
    fn default() -> CharacterSet {
        CharacterSet::Undeclared
    }
}

impl CharacterSet {
    pub(super) const LATIN_1: Sides =
        Sides { left: Left::Ascii, right: Right::Single(encoding_rs::WINDOWS_1252) };

    /// Reads the terms, separated by `\`.
    ///
    /// The initial right half is the first one that any of the terms has. The standard takes that of the
    /// first term only, but some files omit the escape sequence for Korean.
    pub fn declared(terms: &str) -> CharacterSet {
        let mut sets = terms.split('\\').map(term);
        let first = sets.next().flatten();
        match first {
            Some(Term::Alone(encoding)) => CharacterSet::Alone(encoding),
            Some(Term::Sides(sides)) => CharacterSet::Extended(sides.or_right(sets.find_map(right))),
            None => sets.find_map(right).map_or(CharacterSet::Undeclared, |right| {
                CharacterSet::Extended(Sides { left: Left::Ascii, right })
            }),
        }
    }
}

enum Term {
    Sides(Sides),
    Alone(&'static Encoding),
}

fn right(term: Option<Term>) -> Option<Right> {
    match term {
        Some(Term::Sides(sides)) if sides.right != Right::None => Some(sides.right),
        _ => None,
    }
}

/// Reads one term, including the misspellings that occur in files (`ISO IR 100`, `ISO_2022_IR_100`).
fn term(text: &str) -> Option<Term> {
    let text = text.trim_matches([' ', '\0']);
    match text {
        "GB18030" | "GBK" | "ISO 2022 GBK" => return Some(Term::Alone(encoding_rs::GB18030)),
        _ if !text.starts_with("ISO") => return None,
        _ => {}
    }
    let registered = text.rsplit(|letter: char| !letter.is_ascii_digit()).next()?;
    if registered == "192" {
        return Some(Term::Alone(encoding_rs::UTF_8));
    }
    let left = if matches!(registered, "13" | "14") { Left::Romaji } else { Left::Ascii };
    Some(Term::Sides(Sides { left, right: registered_right(registered)? }))
}

/// The right half of a set, by its number in the international register of coded character sets.
fn registered_right(number: &str) -> Option<Right> {
    Some(match number {
        // Escape sequences place the Japanese sets with two bytes in the left half.
        "6" | "14" | "87" | "159" => Right::None,
        "13" => Right::Katakana,
        "58" => Right::Double(encoding_rs::GBK),
        "149" => Right::Double(encoding_rs::EUC_KR),
        "100" => Right::Single(encoding_rs::WINDOWS_1252),
        "101" => Right::Single(encoding_rs::ISO_8859_2),
        "109" => Right::Single(encoding_rs::ISO_8859_3),
        "110" => Right::Single(encoding_rs::ISO_8859_4),
        "126" => Right::Single(encoding_rs::ISO_8859_7),
        "127" => Right::Single(encoding_rs::ISO_8859_6),
        "138" => Right::Single(encoding_rs::ISO_8859_8),
        "144" => Right::Single(encoding_rs::ISO_8859_5),
        "148" => Right::Single(encoding_rs::WINDOWS_1254),
        "166" => Right::Single(encoding_rs::WINDOWS_874),
        "203" => Right::Single(encoding_rs::ISO_8859_15),
        _ => return None,
    })
}
