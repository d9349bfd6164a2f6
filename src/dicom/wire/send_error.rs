//! Why sending failed, and what to do about it.

use std::io;

use dicom_ul::pdu::{AssociationRJ, AssociationRJServiceUserReason as UserReason, AssociationRJSource};

use crate::dicom::names::destination::DimseNode;
use crate::dicom::names::status::DimseStatus;

use super::association::AssociationError;

/// Why not all objects were sent and answered.
#[derive(Debug, thiserror::Error)]
#[error("talk to {destination}: {cause}")]
pub struct SendError {
    pub destination: Box<DimseNode>,
    #[source]
    pub cause: SendCause,
    /// How far the sending came.
    pub stage: SendStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendStage {
    /// No association was established: nothing can be sent to this destination now.
    Opening,
    /// The association was established, and failed later.
    Open,
}

#[derive(Debug, thiserror::Error)]
pub enum SendCause {
    #[error("the host's name is not known: {0}")]
    Unresolved(io::Error),
    #[error("no connection: {0}")]
    Unconnected(io::Error),
    #[error("the association was rejected: {}", .0.source)]
    Rejected(AssociationRJ),
    #[error("it takes none of the kinds of objects that were to be sent")]
    NothingTaken,
    #[error("{0}")]
    Tls(String),
    #[error("it answered: {0}{1}")]
    Answered(DimseStatus, String),
    #[error("it aborted the association")]
    Aborted,
    #[error("no answer in time")]
    Silent,
    #[error("it has not said yet whether it commits to the objects")]
    Uncommitted,
    /// A file of ours.
    #[error("an object could not be read: {0}")]
    Unreadable(String),
    #[error("{0}")]
    Broken(String),
}

impl SendError {
    /// Advice to the operator.
    pub fn remedy(&self) -> String {
        let DimseNode { ae_title, address, calling_ae, wait_max, .. } = &*self.destination;
        match &self.cause {
            SendCause::Unresolved(_) => format!("Check the host in {address}."),
            SendCause::Unconnected(_) => {
                format!("Check that a DICOM node is running at {address} and can be reached from here.")
            }
            SendCause::Rejected(rejection) => match &rejection.source {
                AssociationRJSource::ServiceUser(UserReason::CallingAETitleNotRecognized) => {
                    format!("Make the calling AE title {calling_ae} known at the destination.")
                }
                AssociationRJSource::ServiceUser(UserReason::CalledAETitleNotRecognized) => {
                    format!("The node at {address} is not called {ae_title}: correct the AE title.")
                }
                _ => "Try again later; if it stays, ask those who run the destination.".to_owned(),
            },
            SendCause::Answered(..) | SendCause::Aborted => {
                format!(
                    "See in the log of {ae_title} why; it may not know us, {calling_ae}, or not have that."
                )
            }
            SendCause::Tls(_) => "Check the certificates of both sides, and their authorities.".to_owned(),
            SendCause::NothingTaken => {
                "Let the destination accept these SOP classes, or send to another one.".to_owned()
            }
            SendCause::Silent => {
                format!("The destination said nothing for {} s; check that it is well.", wait_max.as_secs())
            }
            SendCause::Uncommitted => {
                format!("It may take its time; see that {ae_title} knows where {calling_ae} listens.")
            }
            SendCause::Unreadable(_) => UNREADABLE_REMEDY.to_owned(),
            SendCause::Broken(_) => {
                "Send again: what has arrived already is recognised by its identifiers.".to_owned()
            }
        }
    }
}

/// For a file of ours.
pub(in crate::dicom) const UNREADABLE_REMEDY: &str =
    "Check the disk that the file lies on, and how many files may be open.";

impl From<AssociationError> for SendCause {
    fn from(broken: AssociationError) -> SendCause {
        match broken {
            AssociationError::Rejected(rejection) => SendCause::Rejected(rejection),
            AssociationError::Silent => SendCause::Silent,
            AssociationError::Closed => SendCause::Broken("the destination closed the connection".to_owned()),
            AssociationError::Aborted => SendCause::Aborted,
            other => SendCause::Broken(format!("the association failed: {other}")),
        }
    }
}

impl From<io::Error> for SendCause {
    fn from(error: io::Error) -> SendCause {
        AssociationError::from(error).into()
    }
}
