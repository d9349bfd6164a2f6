//! The reasons why an association cannot go on.

use std::io;

use dicom_ul::pdu::AssociationRJ;

use crate::dicom::wire::command::CommandSetError;

/// The reason why an association cannot go on, or was not established.
#[derive(Debug, thiserror::Error)]
pub(in crate::dicom) enum AssociationError {
    #[error("the connection was closed")]
    Closed,
    #[error("the peer was silent for too long")]
    Silent,
    #[error("the connection broke: {0}")]
    Io(io::Error),
    #[error("the peer announced a PDU of {0} bytes, more than agreed")]
    TooLong(u32),
    #[error("the peer sent something that is not a DICOM PDU")]
    NotAPdu,
    #[error("the peer aborted it")]
    Aborted,
    #[error("{0}")]
    Command(#[from] CommandSetError),
    #[error("the peer's command set is too long")]
    CommandTooLong,
    #[error("the peer {0}")]
    Peer(&'static str),
    #[error("rejected: {}", .0.source)]
    Rejected(AssociationRJ),
    #[error("{0}")]
    Own(String),
}

impl From<io::Error> for AssociationError {
    fn from(error: io::Error) -> AssociationError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AssociationError::Silent,
            io::ErrorKind::UnexpectedEof => AssociationError::Closed,
            _ => AssociationError::Io(error),
        }
    }
}
