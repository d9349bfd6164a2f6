//! The value of Specific Character Set (0008,0005): the defined terms of PS3.3 C.12.1.1.2.

use encoding_rs::Encoding;

use super::escape::{CodeHalves, LeftSet, RightSet};

/// The character sets of a data set's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharacterSet {
    /// No known set beyond ASCII is declared without escape sequences. Bytes beyond ASCII are read as UTF-8
    /// if they are valid UTF-8, else as Latin 1.
    Undeclared,
    /// Declared sets, after which escape sequences may switch to others.
    Extended(CodeHalves),
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
    pub(super) const LATIN_1: CodeHalves =
        CodeHalves { left: LeftSet::Ascii, right: RightSet::Single(encoding_rs::WINDOWS_1252) };

    /// Reads the terms, separated by `\`.
    ///
    /// The initial right half is the first one that any of the terms has. The standard takes that of the
    /// first term only, but some files omit the escape sequence for Korean.
    pub fn declared(terms: &str) -> CharacterSet {
        let mut sets = terms.split('\\').map(term);
        let first = sets.next().flatten();
        match first {
            Some(DefinedTerm::Alone(encoding)) => CharacterSet::Alone(encoding),
            Some(DefinedTerm::Sides(sides)) => CharacterSet::Extended(sides.or_right(sets.find_map(right))),
            None => sets.find_map(right).map_or(CharacterSet::Undeclared, |right| {
                CharacterSet::Extended(CodeHalves { left: LeftSet::Ascii, right })
            }),
        }
    }
}

enum DefinedTerm {
    Sides(CodeHalves),
    Alone(&'static Encoding),
}

fn right(term: Option<DefinedTerm>) -> Option<RightSet> {
    match term {
        Some(DefinedTerm::Sides(sides)) if sides.right != RightSet::None => Some(sides.right),
        _ => None,
    }
}

/// Reads one term, including the misspellings that occur in files (`ISO IR 100`, `ISO_2022_IR_100`).
fn term(text: &str) -> Option<DefinedTerm> {
    let text = text.trim_matches([' ', '\0']);
    match text {
        "GB18030" | "GBK" | "ISO 2022 GBK" => return Some(DefinedTerm::Alone(encoding_rs::GB18030)),
        _ if !text.starts_with("ISO") => return None,
        _ => {}
    }
    let registered = text.rsplit(|letter: char| !letter.is_ascii_digit()).next()?;
    if registered == "192" {
        return Some(DefinedTerm::Alone(encoding_rs::UTF_8));
    }
    let left = if matches!(registered, "13" | "14") { LeftSet::Romaji } else { LeftSet::Ascii };
    Some(DefinedTerm::Sides(CodeHalves { left, right: registered_right(registered)? }))
}

/// The right half of a set, by its number in the international register of coded character sets.
fn registered_right(number: &str) -> Option<RightSet> {
    Some(match number {
        // Escape sequences place the Japanese sets with two bytes in the left half.
        "6" | "14" | "87" | "159" => RightSet::None,
        "13" => RightSet::Katakana,
        "58" => RightSet::Double(encoding_rs::GBK),
        "149" => RightSet::Double(encoding_rs::EUC_KR),
        "100" => RightSet::Single(encoding_rs::WINDOWS_1252),
        "101" => RightSet::Single(encoding_rs::ISO_8859_2),
        "109" => RightSet::Single(encoding_rs::ISO_8859_3),
        "110" => RightSet::Single(encoding_rs::ISO_8859_4),
        "126" => RightSet::Single(encoding_rs::ISO_8859_7),
        "127" => RightSet::Single(encoding_rs::ISO_8859_6),
        "138" => RightSet::Single(encoding_rs::ISO_8859_8),
        "144" => RightSet::Single(encoding_rs::ISO_8859_5),
        "148" => RightSet::Single(encoding_rs::WINDOWS_1254),
        "166" => RightSet::Single(encoding_rs::WINDOWS_874),
        "203" => RightSet::Single(encoding_rs::ISO_8859_15),
        _ => return None,
    })
}
