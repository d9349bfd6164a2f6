//! Why sending failed, and what to do about it.

use std::io;

use dicom_ul::Pdu;
use dicom_ul::association::Error;
use dicom_ul::pdu::{
    AssociationRJ, AssociationRJServiceUserReason as UserReason, AssociationRJSource, ReadError,
};

use super::{Destination, Sent};

/// Why not all objects were sent and answered.
#[derive(Debug, thiserror::Error)]
#[error("send to {destination}: {cause}")]
pub struct SendError {
    pub destination: Box<Destination>,
    #[source]
    pub cause: Cause,
    /// The objects that had been answered before.
    pub sent: Vec<Sent>,
}

#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("the host's name is not known: {0}")]
    Unresolved(io::Error),
    #[error("no connection: {0}")]
    Unconnected(io::Error),
    #[error("the association was rejected: {}", .0.source)]
    Rejected(AssociationRJ),
    #[error("it takes none of the kinds of objects that were to be sent")]
    NothingTaken,
    #[error("no answer in time")]
    Silent,
    #[error("{0}")]
    Broken(String),
}

impl SendError {
    /// What the reader can do.
    pub fn remedy(&self) -> String {
        let Destination { ae_title, address, calling_ae, wait_max } = &*self.destination;
        match &self.cause {
            Cause::Unresolved(_) => format!("Check the host in {address}."),
            Cause::Unconnected(_) => {
                format!("Check that a DICOM node is running at {address} and can be reached from here.")
            }
            Cause::Rejected(rejection) => match &rejection.source {
                AssociationRJSource::ServiceUser(UserReason::CallingAETitleNotRecognized) => {
                    format!("Make the calling AE title {calling_ae} known at the destination.")
                }
                AssociationRJSource::ServiceUser(UserReason::CalledAETitleNotRecognized) => {
                    format!("The node at {address} is not called {ae_title}: correct the AE title.")
                }
                _ => "Try again later; if it stays, ask those who run the destination.".to_owned(),
            },
            Cause::NothingTaken => {
                "Let the destination accept these SOP classes, or send to another one.".to_owned()
            }
            Cause::Silent => {
                format!("The destination said nothing for {} s; check that it is well.", wait_max.as_secs())
            }
            Cause::Broken(_) => {
                "Send again: what has arrived already is recognised by its identifiers.".to_owned()
            }
        }
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Cause {
        match error {
            Error::ToAddress { source, .. } => Cause::Unresolved(source),
            Error::Connect { source, .. } => Cause::Unconnected(source),
            Error::Rejected { association_rj, .. } => Cause::Rejected(association_rj),
            Error::NoAcceptedPresentationContexts { .. } => Cause::NothingTaken,
            Error::ReceivePdu { source: ReadError::ReadPdu { source, .. }, .. } => source.into(),
            Error::ConnectionClosed { .. } => {
                Cause::Broken("the destination closed the connection".to_owned())
            }
            Error::UnexpectedPdu { pdu, .. } if matches!(*pdu, Pdu::AbortRQ { .. }) => Cause::aborted(),
            other => Cause::Broken(format!("the association failed: {other}")),
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Cause {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Cause::Silent,
            _ => Cause::Broken(format!("the connection broke: {error}")),
        }
    }
}

impl Cause {
    pub(super) fn aborted() -> Cause {
        Cause::Broken("the destination aborted the association".to_owned())
    }
}
