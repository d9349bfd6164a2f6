//! Events that the receiver reports while it works. No text made of them has a patient's data.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::dicom::names::status::DimseStatus;
use crate::printable::counted;

use super::completion::{CompletionSignal, SenderEnd};

/// One occasion on which instances are brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntakeSession {
    pub way: SessionKind,
    /// No two have the same, whatever way they come.
    pub number: u64,
}

/// How instances come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionKind {
    /// C-STORE on an association.
    Association,
    /// A request over HTTP (STOW-RS), or the answer to one of ours (WADO-RS).
    Web,
    /// Files in a watched folder, one after the other without a pause.
    Folder,
}

impl fmt::Display for IntakeSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IntakeSession { way, number } = self;
        match way {
            SessionKind::Association => write!(f, "association {number}"),
            SessionKind::Web => write!(f, "HTTP transfer {number}"),
            SessionKind::Folder => write!(f, "folder transfer {number}"),
        }
    }
}

/// How an association came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssociationEnd {
    Released,
    /// By either side, or by the network.
    Aborted,
}

impl From<AssociationEnd> for SenderEnd {
    fn from(end: AssociationEnd) -> SenderEnd {
        match end {
            AssociationEnd::Released => SenderEnd::Released,
            AssociationEnd::Aborted => SenderEnd::Aborted,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverEvent {
    /// An association or an HTTP request has been accepted.
    Opened {
        session: IntakeSession,
        peer: SocketAddr,
        /// Empty over HTTP, which has no AE titles.
        calling_ae: String,
    },
    /// A connection, an association or an HTTP request was rejected.
    Rejected {
        peer: SocketAddr,
        reason: String,
    },
    /// An instance is in the inbox.
    Stored {
        session: IntakeSession,
        bytes: u64,
        instance: Box<ArrivedInstance>,
    },
    /// An instance that flow itself has made: it was answered with success, and is not kept.
    OwnResult {
        session: IntakeSession,
    },
    /// An instance was answered with a failure.
    Refused {
        session: IntakeSession,
        status: DimseStatus,
        reason: String,
    },
    Closed {
        session: IntakeSession,
        end: AssociationEnd,
        reason: String,
        instances: u64,
    },
    /// A study is complete and about to be handed over.
    Complete {
        instances: usize,
        bytes: u64,
        by: CompletionSignal,
    },
    /// A study has waited as long as it may, and is deleted.
    Discarded {
        instances: usize,
    },
    /// A study has waited longer than it should, and goes on waiting.
    Waits {
        instances: usize,
        folder: PathBuf,
    },
    /// An earlier process had received instances of a study and not handed them over.
    Adopted {
        instances: usize,
        end: AssociationEnd,
    },
    /// The sender of a study aborted, and the receiver has stopped: the received instances stay in the inbox.
    Kept {
        instances: usize,
        folder: PathBuf,
    },
    /// A list of studies was ordered by another process, and is being fetched.
    PullOrdered {
        from: String,
        entries: usize,
    },
    /// A study that was asked for is here.
    Fetched {
        /// Of the list, from 1.
        number: usize,
        instances: u64,
    },
    /// An archive fails while studies are fetched from it; it is tried again.
    FetchFails {
        from: String,
        reason: String,
    },
    /// A study that was asked for is not here, or not whole; number 0 is the whole list.
    NotFetched {
        number: usize,
        reason: String,
    },
    /// A watched folder cannot be looked into, or a file in it not be removed; it is tried again.
    NotWatched {
        folder: PathBuf,
        reason: String,
    },
    /// A file in a watched folder is cut off, and left for as long as it may still grow.
    LeftUnfinished {
        folder: PathBuf,
        reason: String,
        time: Duration,
    },
    /// A file in a watched folder was taken though nothing was written at its end.
    TakenUnwritten {
        folder: PathBuf,
        time: Duration,
    },
    /// A sender asked for a commitment, and cannot be told its outcome.
    NotReported {
        reason: String,
    },
    /// The listener could not accept a connection; it goes on.
    NotAccepted {
        reason: String,
    },
}

/// An instance that has come. No text that is shown is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivedInstance {
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub study_instance_uid: String,
    pub patient_id: String,
}

impl ReceiverEvent {
    /// Whether the event needs an operator's attention.
    pub fn is_warning(&self) -> bool {
        match self {
            ReceiverEvent::Opened { .. }
            | ReceiverEvent::Stored { .. }
            | ReceiverEvent::OwnResult { .. }
            | ReceiverEvent::Complete { .. }
            | ReceiverEvent::PullOrdered { .. }
            | ReceiverEvent::Fetched { .. } => false,
            ReceiverEvent::Rejected { .. }
            | ReceiverEvent::Refused { .. }
            | ReceiverEvent::Kept { .. }
            | ReceiverEvent::FetchFails { .. }
            | ReceiverEvent::NotFetched { .. }
            | ReceiverEvent::NotReported { .. }
            | ReceiverEvent::Discarded { .. }
            | ReceiverEvent::Waits { .. }
            | ReceiverEvent::Adopted { .. }
            | ReceiverEvent::NotWatched { .. }
            | ReceiverEvent::LeftUnfinished { .. }
            | ReceiverEvent::TakenUnwritten { .. }
            | ReceiverEvent::NotAccepted { .. } => true,
            ReceiverEvent::Closed { end, .. } => *end == AssociationEnd::Aborted,
        }
    }
}

impl fmt::Display for ReceiverEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiverEvent::Opened { session, peer, calling_ae } if calling_ae.is_empty() => {
                write!(f, "{session} opened from {peer}")
            }
            ReceiverEvent::Opened { session, peer, calling_ae } => {
                write!(f, "{session} opened by {calling_ae} at {peer}")
            }
            ReceiverEvent::Rejected { peer, reason } => {
                write!(f, "connection from {peer} rejected: {reason}")
            }
            ReceiverEvent::Stored { session, bytes, .. } => {
                write!(f, "{session} sent {}", counted(*bytes, "byte"))
            }
            ReceiverEvent::Refused { session, status, reason } => {
                write!(f, "instance of {session} refused: {status}: {reason}")
            }
            ReceiverEvent::Closed { session, end: AssociationEnd::Released, instances, .. } => {
                write!(f, "{session} released after {}", counted(*instances, "instance"))
            }
            ReceiverEvent::Closed { session, end: AssociationEnd::Aborted, reason, instances } => {
                write!(f, "{session} aborted after {}: {reason}", counted(*instances, "instance"))
            }
            ReceiverEvent::OwnResult { session } => write!(f, "{session} sent back a result of flow"),
            ReceiverEvent::Complete { instances, bytes, by } => {
                let instances = counted(*instances, "instance");
                write!(f, "study complete, because {by}: {instances}, {bytes} bytes")
            }
            ReceiverEvent::Discarded { instances } => {
                let instances = counted(*instances, "instance");
                write!(f, "a study is DELETED: it has waited as long as it may, with {instances}")
            }
            ReceiverEvent::Waits { instances, folder } => write!(
                f,
                "a study with {} in {} has waited longer than it should; `flow complete` ends that",
                counted(*instances, "instance"),
                folder.display()
            ),
            ReceiverEvent::Adopted { instances, end: AssociationEnd::Released } => {
                let instances = counted(*instances, "instance");
                write!(f, "taken up: {instances} of a study that was received before")
            }
            ReceiverEvent::Adopted { instances, end: AssociationEnd::Aborted } => {
                let instances = counted(*instances, "instance");
                write!(f, "taken up: {instances} of a study; waiting for the rest to be sent again")
            }
            ReceiverEvent::Kept { instances, folder } => write!(
                f,
                "the sender broke off after {}, which stay in {} until the next start",
                counted(*instances, "instance"),
                folder.display()
            ),
            ReceiverEvent::Fetched { .. }
            | ReceiverEvent::PullOrdered { .. }
            | ReceiverEvent::FetchFails { .. }
            | ReceiverEvent::NotFetched { .. } => self.describe_fetching(f),
            ReceiverEvent::NotWatched { .. }
            | ReceiverEvent::LeftUnfinished { .. }
            | ReceiverEvent::TakenUnwritten { .. } => self.describe_watching(f),
            ReceiverEvent::NotReported { reason } => {
                write!(f, "the outcome of a commitment cannot be told to who asked for it: {reason}")
            }
            ReceiverEvent::NotAccepted { reason } => write!(f, "connection not accepted: {reason}"),
        }
    }
}

impl ReceiverEvent {
    /// Text of an event of fetching; nothing for others.
    fn describe_fetching(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiverEvent::Fetched { number, instances } => {
                let instances = counted(*instances, "instance");
                write!(f, "fetched a study of number {number} of the list: {instances}")
            }
            ReceiverEvent::PullOrdered { from, entries } => {
                let entries = if *entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
                write!(f, "fetching from {from}, as `flow pull` asks: a list of {entries}")
            }
            ReceiverEvent::FetchFails { from, reason } => write!(f, "fetching from {from} fails: {reason}"),
            ReceiverEvent::NotFetched { number: 0, reason } => write!(f, "NOT FETCHED: {reason}"),
            ReceiverEvent::NotFetched { number, reason } => {
                write!(f, "NOT FETCHED, number {number} of the list: {reason}")
            }
            _ => Ok(()),
        }
    }

    /// Text of an event of a watched folder; nothing for others.
    fn describe_watching(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiverEvent::NotWatched { folder, reason } => {
                write!(f, "the watched folder {}: {reason}", folder.display())
            }
            ReceiverEvent::LeftUnfinished { folder, reason, time } => write!(
                f,
                "a file in the watched folder {} is not whole: {reason}; it is left, and refused if it has not changed for {}",
                folder.display(),
                crate::yaml::duration::shown(*time)
            ),
            ReceiverEvent::TakenUnwritten { folder, time } => write!(
                f,
                "a file in the watched folder {} has not changed for {}, and nothing is written at its end: it is \
                 taken with zeros there",
                folder.display(),
                crate::yaml::duration::shown(*time)
            ),
            _ => Ok(()),
        }
    }
}

/// Writes an event to the log.
pub fn log(event: &ReceiverEvent) {
    match event {
        ReceiverEvent::Stored { .. } => tracing::debug!("{event}"),
        _ if event.is_warning() => tracing::warn!("{event}"),
        _ => tracing::info!("{event}"),
    }
}
