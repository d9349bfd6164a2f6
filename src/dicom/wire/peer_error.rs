//! The errors of exchanges with peers, with advice to the operator.

use std::io;
use std::time::Duration;

use dicom_ul::pdu::{AssociationRJ, AssociationRJServiceUserReason as UserReason, AssociationRJSource};

use crate::dicom::names::peer_address::PeerAddress;
use crate::dicom::names::status::DimseStatus;

use super::association::AssociationError;

/// An exchange with a peer that failed.
#[derive(Debug, thiserror::Error)]
#[error("talk to {peer}: {cause}")]
pub struct PeerError {
    pub peer: PeerAddress,
    #[source]
    pub cause: PeerErrorCause,
    /// The stage at which the exchange failed.
    pub stage: ExchangeStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeStage {
    /// The peer cannot be reached, or refuses us: every other request to it would fail now, too.
    Opening,
    /// The association or connection was there, and the exchange failed later.
    Open,
}

#[derive(Debug, thiserror::Error)]
pub enum PeerErrorCause {
    #[error("the host's name is not known: {0}")]
    Unresolved(io::Error),
    #[error("no connection: {0}")]
    Unconnected(io::Error),
    #[error("{0}")]
    Tls(String),
    #[error("no answer in time")]
    Silent,
    /// A file of ours could not be read.
    #[error("an object could not be read: {0}")]
    Unreadable(String),
    #[error("{0}")]
    Broken(String),
    #[error("the association was rejected: {}", .0.source)]
    Rejected(AssociationRJ),
    #[error("it takes none of the kinds of objects that were to be sent")]
    NothingTaken,
    #[error("it answered: {0}{1}")]
    Answered(DimseStatus, String),
    #[error("it aborted the association")]
    Aborted,
    #[error("it has not said yet whether it commits to the objects")]
    Uncommitted,
    /// The service is busy (503, 429). It may have said when to try again.
    #[error("it wants to be asked again later (status {status})")]
    Later { status: u16, after: Option<Duration> },
    #[error("it refuses, with status {status}{}", colon(.reason))]
    Refused { status: u16, reason: String },
    #[error("its answer cannot be used: {0}")]
    NotUnderstood(String),
    #[error("there are more than {0} answers")]
    TooMany(usize),
    /// The receiver of the answer's body failed, not the service.
    #[error("{0}")]
    NotTaken(String),
}

impl PeerErrorCause {
    /// Whether a DICOMweb service is absent or refuses us, so that every other request would fail too.
    pub(in crate::dicom) fn is_absence(&self) -> bool {
        match self {
            PeerErrorCause::Unresolved(_)
            | PeerErrorCause::Unconnected(_)
            | PeerErrorCause::Tls(_)
            | PeerErrorCause::Later { .. } => true,
            PeerErrorCause::Refused { status, .. } => matches!(status, 401 | 403 | 404),
            _ => false,
        }
    }
}

impl PeerError {
    /// An exchange over HTTP that failed.
    pub(in crate::dicom) fn over_web(peer: impl Into<PeerAddress>, cause: PeerErrorCause) -> PeerError {
        let stage = if cause.is_absence() { ExchangeStage::Opening } else { ExchangeStage::Open };
        PeerError { peer: peer.into(), cause, stage }
    }

    /// Advice to the operator.
    pub fn remedy(&self) -> String {
        let (peer, own_name) = (&self.peer, self.peer.own_name());
        match &self.cause {
            PeerErrorCause::Unresolved(_) => format!("Check the host in {peer}."),
            PeerErrorCause::Unconnected(_) => {
                format!("Check that {peer} is running and can be reached from here.")
            }
            PeerErrorCause::Tls(_) => {
                "Check the certificates of both sides, and their authorities.".to_owned()
            }
            PeerErrorCause::Silent => {
                format!("It was waited for {} s: check that {peer} is well.", peer.wait_max().as_secs())
            }
            PeerErrorCause::Unreadable(_) => {
                "Check the disk that the file lies on, and how many files may be open.".to_owned()
            }
            PeerErrorCause::Broken(_) => {
                "Try again: what has arrived already is recognised by its identifiers.".to_owned()
            }
            PeerErrorCause::Rejected(rejection) => match &rejection.source {
                AssociationRJSource::ServiceUser(UserReason::CallingAETitleNotRecognized) => {
                    format!("Make the calling AE title {own_name} known at the destination.")
                }
                AssociationRJSource::ServiceUser(UserReason::CalledAETitleNotRecognized) => {
                    let title = peer.ae_title().unwrap_or_default();
                    format!("The node at {peer} is not called {title}: correct the AE title.")
                }
                _ => "Try again later; if it stays, ask those who run the destination.".to_owned(),
            },
            PeerErrorCause::Answered(..) | PeerErrorCause::Aborted => {
                format!("See in the log of {peer} why; it may not know us, {own_name}, or not have that.")
            }
            PeerErrorCause::NothingTaken => {
                "Let the destination accept these SOP classes, or send to another one.".to_owned()
            }
            PeerErrorCause::Uncommitted => {
                format!("It may take its time; see that {peer} knows where {own_name} listens.")
            }
            PeerErrorCause::Later { .. } => "Ask again later.".to_owned(),
            PeerErrorCause::Refused { status: 401 | 403, .. } => {
                "Let the service know us: by authorization, certificate or address.".to_owned()
            }
            PeerErrorCause::Refused { status: 404, .. } => {
                format!("Check the path in {peer}, and what was asked for.")
            }
            PeerErrorCause::Refused { .. } | PeerErrorCause::NotUnderstood(_) => {
                format!("Check that {peer} is a DICOMweb service; its own log may say more.")
            }
            PeerErrorCause::TooMany(_) => "Ask for less: a narrower query, or a higher limit.".to_owned(),
            PeerErrorCause::NotTaken(_) => "Make room, and ask again.".to_owned(),
        }
    }

    /// The error's cause and the advice, for a message that names the peer already.
    pub fn advice(&self) -> String {
        format!("{}. {}", self.cause, self.remedy())
    }
}

fn colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl From<AssociationError> for PeerErrorCause {
    fn from(broken: AssociationError) -> PeerErrorCause {
        match broken {
            AssociationError::Rejected(rejection) => PeerErrorCause::Rejected(rejection),
            AssociationError::Silent => PeerErrorCause::Silent,
            AssociationError::Closed => PeerErrorCause::Broken("it closed the connection".to_owned()),
            AssociationError::Aborted => PeerErrorCause::Aborted,
            other => PeerErrorCause::Broken(format!("the association failed: {other}")),
        }
    }
}

impl From<io::Error> for PeerErrorCause {
    fn from(error: io::Error) -> PeerErrorCause {
        AssociationError::from(error).into()
    }
}
