//! Text of DICOM elements (PS3.5 section 6.1), in whatever character sets they declare, as Unicode.
//!
//! Code extensions (ISO 2022) are followed whether they are declared or not. What cannot be read comes
//! as U+FFFD, and the ASCII around it stays. Nothing panics, and time is linear in the bytes.

mod declared;
mod decoder;
mod escape;
mod output;

use dicom_core::VR;

use decoder::Decoder;

pub use declared::CharacterSet;

impl CharacterSet {
    /// The text of a whole value, padding included. Between several values stands a `\`; where the
    /// element's type has only one, `\` is a sign like others.
    ///
    /// Types of elements that no character set applies to are read as ASCII.
    pub fn decode(self, vr: VR, value: &[u8]) -> String {
        let Some(kind) = Kind::of(vr) else { return String::from_utf8_lossy(value).into_owned() };
        match self {
            CharacterSet::Alone(encoding) => encoding.decode_with_bom_removal(value).0.into_owned(),
            CharacterSet::Undeclared => match str::from_utf8(value) {
                Ok(text) if !text.contains('\u{1b}') => text.to_owned(),
                _ => Decoder::new(CharacterSet::LATIN_1, kind).decode(value),
            },
            CharacterSet::Extended(start) => Decoder::new(start, kind).decode(value),
        }
    }
}

/// The types that character sets apply to (PS3.5 section 6.1.2.3), by what begins a new part in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `\` between values, `=` between component groups, `^` between components.
    Name,
    /// `\` between values.
    Words,
    /// One value of any length, in lines.
    Prose,
}

impl Kind {
    fn of(vr: VR) -> Option<Kind> {
        match vr {
            VR::PN => Some(Kind::Name),
            VR::LO | VR::SH | VR::UC => Some(Kind::Words),
            VR::LT | VR::ST | VR::UT => Some(Kind::Prose),
            _ => None,
        }
    }

    fn separates_values(self, byte: u8) -> bool {
        byte == b'\\' && self != Kind::Prose
    }

    /// After these the sets of the beginning hold again (PS3.5 section 6.1.2.5.3).
    fn ends_part(self, byte: u8) -> bool {
        let in_name = self == Kind::Name && matches!(byte, b'^' | b'=');
        byte.is_ascii_control() || in_name || self.separates_values(byte)
    }
}

#[cfg(test)]
mod tests;
