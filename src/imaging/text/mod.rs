//! Decodes the text of DICOM elements (PS3.5 section 6.1), in any declared character set, to Unicode.
//!
//! Code extensions (ISO 2022) are followed whether they are declared or not. Bytes that cannot be read become
//! U+FFFD, and the ASCII around them stays. Decoding does not panic, and its time is linear in the number of
//! bytes.

mod declared;
mod decoder;
mod escape;
mod output;

use dicom_core::VR;

use decoder::TextDecoder;

pub use declared::CharacterSet;

impl CharacterSet {
    /// The text of a whole value, including padding. A `\` separates several values; in elements with a
    /// single value, `\` is an ordinary character.
    ///
    /// Elements whose VR is not affected by character sets are read as ASCII.
    pub fn decode(self, vr: VR, value: &[u8]) -> String {
        let Some(kind) = TextKind::of(vr) else { return String::from_utf8_lossy(value).into_owned() };
        match self {
            CharacterSet::Alone(encoding) => encoding.decode_with_bom_removal(value).0.into_owned(),
            CharacterSet::Undeclared => match str::from_utf8(value) {
                Ok(text) if !text.contains('\u{1b}') => text.to_owned(),
                _ => TextDecoder::new(CharacterSet::LATIN_1, kind).decode(value),
            },
            CharacterSet::Extended(start) => TextDecoder::new(start, kind).decode(value),
        }
    }
}

/// The VRs that character sets apply to (PS3.5 section 6.1.2.3), by the delimiters that begin a new part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextKind {
    /// `\` between values, `=` between component groups, `^` between components.
    Name,
    /// `\` between values.
    Words,
    /// A single value of any length, in lines.
    Prose,
}

impl TextKind {
    fn of(vr: VR) -> Option<TextKind> {
        match vr {
            VR::PN => Some(TextKind::Name),
            VR::LO | VR::SH | VR::UC => Some(TextKind::Words),
            VR::LT | VR::ST | VR::UT => Some(TextKind::Prose),
            _ => None,
        }
    }

    fn separates_values(self, byte: u8) -> bool {
        byte == b'\\' && self != TextKind::Prose
    }

    /// Whether the initial sets are in force again after a byte (PS3.5 section 6.1.2.5.3).
    fn ends_part(self, byte: u8) -> bool {
        let in_name = self == TextKind::Name && matches!(byte, b'^' | b'=');
        byte.is_ascii_control() || in_name || self.separates_values(byte)
    }
}

#[cfg(test)]
mod tests;
