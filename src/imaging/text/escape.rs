//! The character sets of the two halves of the byte range, and the escape sequences that change them (PS3.3
//! tables C.12-3 and C.12-4).

use encoding_rs::Encoding;

/// The sets for bytes below 80H and from there on (G0 and G1 of ISO 2022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeHalves {
    pub left: LeftSet,
    pub right: RightSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftSet {
    Ascii,
    /// Japanese ASCII (ISO-IR 14), with ¥ and ‾ in the places of \ and ~.
    Romaji,
    /// JIS X 0208, two bytes per character.
    Kanji,
    /// JIS X 0212, two bytes per character.
    MoreKanji,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightSet {
    None,
    Single(&'static Encoding),
    /// A set with two bytes per character.
    Double(&'static Encoding),
    /// ISO-IR 13; the rest of Shift_JIS, which is not in the standard, is read as well.
    Katakana,
}

impl CodeHalves {
    /// Takes another right half if this one has none.
    pub fn or_right(self, other: Option<RightSet>) -> CodeHalves {
        let right = if self.right == RightSet::None { other.unwrap_or(RightSet::None) } else { self.right };
        CodeHalves { right, ..self }
    }

    /// The sets after an escape sequence, given without its first byte. `None` if the sequence is unknown.
    pub fn after(self, sequence: &[u8]) -> Option<CodeHalves> {
        let left = |left| Some(CodeHalves { left, ..self });
        let right = |right| Some(CodeHalves { right, ..self });
        match sequence {
            b"(B" => left(LeftSet::Ascii),
            b"(J" => left(LeftSet::Romaji),
            b"$B" | b"$@" => left(LeftSet::Kanji),
            b"$(D" => left(LeftSet::MoreKanji),
            b")I" => right(RightSet::Katakana),
            b"$)A" => right(RightSet::Double(encoding_rs::GBK)),
            b"$)C" => right(RightSet::Double(encoding_rs::EUC_KR)),
            [b'-', set] => right(RightSet::Single(single(*set)?)),
            _ => None,
        }
    }
}

/// The right half of a set with one byte per character, by the last byte of its escape sequence.
fn single(set: u8) -> Option<&'static Encoding> {
    Some(match set {
        b'A' => encoding_rs::WINDOWS_1252,
        b'B' => encoding_rs::ISO_8859_2,
        b'C' => encoding_rs::ISO_8859_3,
        b'D' => encoding_rs::ISO_8859_4,
        b'F' => encoding_rs::ISO_8859_7,
        b'G' => encoding_rs::ISO_8859_6,
        b'H' => encoding_rs::ISO_8859_8,
        b'L' => encoding_rs::ISO_8859_5,
        b'M' => encoding_rs::WINDOWS_1254,
        b'T' => encoding_rs::WINDOWS_874,
        b'b' => encoding_rs::ISO_8859_15,
        _ => return None,
    })
}

/// The length of the escape sequence at the beginning: ESC, any number of intermediate bytes, a final byte
/// (ISO 2022 section 13). If the sequence is invalid, only the ESC counts.
pub fn length(bytes: &[u8]) -> usize {
    let intermediate = bytes.iter().skip(1).take_while(|byte| matches!(byte, 0x20..=0x2F)).count();
    match bytes.get(1 + intermediate) {
        Some(0x30..=0x7E) if intermediate > 0 => intermediate + 2,
        _ => 1,
    }
}
