//! Why sending failed, and what to do about it.

use std::io;

use dicom_ul::pdu::{AssociationRJ, AssociationRJServiceUserReason as UserReason, AssociationRJSource};

use crate::dicom::names::destination::Destination;
use crate::dicom::names::status::Status;

use super::association::Broken;

/// Why not all objects were sent and answered.
#[derive(Debug, thiserror::Error)]
#[error("talk to {destination}: {cause}")]
pub struct SendError {
    pub destination: Box<Destination>,
    #[source]
    pub cause: Cause,
    /// How far it came.
    pub stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No association came about: so it is for everything that is to be sent there.
    Opening,
    /// It broke off.
    Open,
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
    #[error("{0}")]
    Tls(String),
    #[error("it answered: {0}{1}")]
    Answered(Status, String),
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
    /// What the reader can do.
    pub fn remedy(&self) -> String {
        let Destination { ae_title, address, calling_ae, wait_max, .. } = &*self.destination;
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
            Cause::Answered(..) | Cause::Aborted => {
                format!(
                    "See in the log of {ae_title} why; it may not know us, {calling_ae}, or not have that."
                )
            }
            Cause::Tls(_) => "Check the certificates of both sides, and their authorities.".to_owned(),
            Cause::NothingTaken => {
                "Let the destination accept these SOP classes, or send to another one.".to_owned()
            }
            Cause::Silent => {
                format!("The destination said nothing for {} s; check that it is well.", wait_max.as_secs())
            }
            Cause::Uncommitted => {
                format!("It may take its time; see that {ae_title} knows where {calling_ae} listens.")
            }
            Cause::Unreadable(_) => UNREADABLE_REMEDY.to_owned(),
            Cause::Broken(_) => {
                "Send again: what has arrived already is recognised by its identifiers.".to_owned()
            }
        }
    }
}

/// For a file of ours.
pub(in crate::dicom) const UNREADABLE_REMEDY: &str =
    "Check the disk that the file lies on, and how many files may be open.";

impl From<Broken> for Cause {
    fn from(broken: Broken) -> Cause {
        match broken {
            Broken::Rejected(rejection) => Cause::Rejected(rejection),
            Broken::Silent => Cause::Silent,
            Broken::Closed => Cause::Broken("the destination closed the connection".to_owned()),
            Broken::Aborted => Cause::Aborted,
            other => Cause::Broken(format!("the association failed: {other}")),
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Cause {
        Broken::from(error).into()
    }
}
