//! Decodes the text of DICOM elements (PS3.5 section 6.1), in any declared character set, to Unicode.
//!
//! Code extensions (ISO 2022) are followed whether they are declared or not. Bytes that cannot be read become
//! U+FFFD, and the ASCII around them stays. Decoding does not panic, and its time is linear in the number of
//! bytes.

mod declared;
mod decoder;
mod escape;
mod kind;
mod output;

use dicom_core::VR;

use decoder::TextDecoder;
use kind::TextKind;

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

#[cfg(test)]
mod tests;
