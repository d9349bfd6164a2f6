//! Which characters end a part of a text, by the VR of its element.

use dicom_core::VR;

/// The VRs that character sets apply to (PS3.5 section 6.1.2.3), by the delimiters that begin a new part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// `\` between values, `=` between component groups, `^` between components.
    Name,
    /// `\` between values.
    Words,
    /// A single value of any length, in lines.
    Prose,
}

impl TextKind {
    pub fn of(vr: VR) -> Option<TextKind> {
        match vr {
            VR::PN => Some(TextKind::Name),
            VR::LO | VR::SH | VR::UC => Some(TextKind::Words),
            VR::LT | VR::ST | VR::UT => Some(TextKind::Prose),
            _ => None,
        }
    }

    pub fn separates_values(self, byte: u8) -> bool {
        byte == b'\\' && self != TextKind::Prose
    }

    /// Whether the initial sets are in force again after a byte (PS3.5 section 6.1.2.5.3).
    pub fn ends_part(self, byte: u8) -> bool {
        let in_name = self == TextKind::Name && matches!(byte, b'^' | b'=');
        byte.is_ascii_control() || in_name || self.separates_values(byte)
    }
}
