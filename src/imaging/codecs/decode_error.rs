//! Why pixels cannot be decoded, and what to do about it.

use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::imaging::elements::{ElementDamage, HeaderElements};

/// UIDs of the standard begin with this; others are a manufacturer's own.
const STANDARD_ROOT: &str = "1.2.840.10008.";

/// Why pixels cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the file is not DICOM")]
    NotDicom,
    #[error("the file has no pixel data")]
    NoPixels,
    #[error(transparent)]
    Broken(ElementDamage),
    #[error("the pixel data is cut off: {needed} bytes are needed, {declared} declared, {present} there")]
    CutOff { needed: usize, declared: usize, present: usize },
    #[error("{0}")]
    Damaged(String),
    /// The pixels' kind is not supported, whatever the file.
    #[error("there is no decoder for {0}")]
    Unsupported(String),
}

impl DecodeError {
    /// The error for a file without pixels: it never had any, or they are lost to damage.
    pub fn missing(elements: &HeaderElements) -> DecodeError {
        elements.damage.clone().map_or(DecodeError::NoPixels, DecodeError::Broken)
    }

    pub fn not_encapsulated(transfer_syntax_uid: &str) -> DecodeError {
        let name = syntax_name(transfer_syntax_uid);
        DecodeError::Damaged(format!("the pixels are not encapsulated, though the transfer syntax is {name}"))
    }

    /// The error for a transfer syntax without a decoder.
    pub fn no_decoder(transfer_syntax_uid: &str) -> DecodeError {
        let name = syntax_name(transfer_syntax_uid);
        DecodeError::Unsupported(match is_private_syntax(transfer_syntax_uid) {
            true => format!("the private transfer syntax {transfer_syntax_uid}"),
            false => format!("the transfer syntax {name}"),
        })
    }

    /// The error for pixels of another size than the header says.
    pub fn other_size(bytes: usize, pixels: &str, expected: usize) -> DecodeError {
        DecodeError::Damaged(format!(
            "the pixel data has {bytes} bytes, but {pixels} take {expected}: the header does not describe these pixels"
        ))
    }

    pub fn damaged(reason: impl ToString) -> DecodeError {
        DecodeError::Damaged(format!("the compressed pixels are damaged: {}", reason.to_string()))
    }

    pub(super) fn in_frame(self, number: usize, frames: usize) -> DecodeError {
        match self {
            DecodeError::Damaged(reason) if frames > 1 => {
                DecodeError::Damaged(format!("{reason} (frame {number} of {frames})"))
            }
            other => other,
        }
    }

    pub fn remedy(&self) -> &'static str {
        match self {
            DecodeError::Unsupported(_) => {
                "Send the study uncompressed (Explicit VR Little Endian) or as JPEG 2000 or RLE lossless."
            }
            _ => "Send this slice again from its source.",
        }
    }
}

/// Whether a transfer syntax is none of the standard's, but a manufacturer's own.
pub fn is_private_syntax(transfer_syntax_uid: &str) -> bool {
    !transfer_syntax_uid.is_empty() && !transfer_syntax_uid.starts_with(STANDARD_ROOT)
}

/// The name of a transfer syntax, or its UID if the name is not known.
pub fn syntax_name(transfer_syntax_uid: &str) -> String {
    let known = TransferSyntaxRegistry.get(transfer_syntax_uid);
    known.map_or(transfer_syntax_uid, |syntax| syntax.name()).to_owned()
}
