//! The reasons why an object cannot be converted to another transfer syntax.

use std::io;

/// The reason why an object cannot be converted to another transfer syntax.
#[derive(Debug, thiserror::Error)]
pub(in crate::dicom) enum TranscodeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("its data set is damaged at byte {at}: {what}")]
    Damaged { at: u64, what: &'static str },
    #[error("its pixels cannot be decoded: {0}")]
    Pixels(String),
}
