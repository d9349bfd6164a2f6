//! Decodes a value byte by byte, with the character sets in force at each byte.

use super::escape::{self, CodeHalves, LeftSet, RightSet};
use super::kind::TextKind;
use super::output::TextOutput;

const ESCAPE: u8 = 0x1B;

pub struct TextDecoder {
    kind: TextKind,
    /// The sets at the beginning of every part.
    start: CodeHalves,
    now: CodeHalves,
    output: TextOutput,
}

impl TextDecoder {
    pub fn new(start: CodeHalves, kind: TextKind) -> TextDecoder {
        TextDecoder { kind, start, now: start, output: TextOutput::default() }
    }

    pub fn decode(mut self, value: &[u8]) -> String {
        let mut rest = value;
        while let Some(&first) = rest.first() {
            let used = match first {
                ESCAPE => self.escape(rest),
                0x80.. => self.right(rest),
                _ => self.left(rest),
            };
            rest = &rest[used..];
        }
        self.output.finish()
    }

    // Each branch returns the number of bytes read, at least one.

    fn escape(&mut self, rest: &[u8]) -> usize {
        let length = escape::length(rest);
        match self.now.after(&rest[1..length]) {
            Some(sides) => self.now = sides,
            None => self.output.unreadable(),
        }
        length
    }

    fn left(&mut self, rest: &[u8]) -> usize {
        let pair = rest.first_chunk::<2>().filter(|pair| pair.iter().all(u8::is_ascii_graphic));
        // EUC-JP has both sets in the right half, and a prefix byte before each character of the second.
        match (self.now.left, pair) {
            (LeftSet::Kanji, Some([one, two])) => {
                self.output.push(encoding_rs::EUC_JP, &[one | 0x80, two | 0x80]);
                2
            }
            (LeftSet::MoreKanji, Some([one, two])) => {
                self.output.push(encoding_rs::EUC_JP, &[0x8F, one | 0x80, two | 0x80]);
                2
            }
            _ => {
                self.single(rest[0]);
                1
            }
        }
    }

    fn single(&mut self, byte: u8) {
        match byte {
            b'\\' if self.now.left == LeftSet::Romaji && !self.kind.separates_values(byte) => {
                self.output.letter('¥');
            }
            b'~' if self.now.left == LeftSet::Romaji => self.output.letter('‾'),
            _ => self.output.ascii(byte),
        }
        if self.kind.ends_part(byte) {
            self.now = self.start;
        }
    }

    fn right(&mut self, rest: &[u8]) -> usize {
        let second = rest.get(1).copied().unwrap_or(0);
        let (encoding, used) = match self.now.right {
            RightSet::None => (encoding_rs::WINDOWS_1252, 1),
            RightSet::Single(encoding) => (encoding, 1),
            RightSet::Double(encoding) if second >= 0x80 => (encoding, 2),
            RightSet::Katakana if matches!(rest[0], 0xA1..=0xDF) => (encoding_rs::SHIFT_JIS, 1),
            RightSet::Katakana if matches!(second, 0x40..=0x7E | 0x80..=0xFC) => (encoding_rs::SHIFT_JIS, 2),
            RightSet::Double(_) | RightSet::Katakana => {
                self.output.unreadable();
                return 1;
            }
        };
        self.output.push(encoding, &rest[..used]);
        used
    }
}
