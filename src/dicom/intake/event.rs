//! What the receiver tells of itself while it works. No text made of it has a patient's data.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::dicom::names::status::Status;

use super::completion::{Left, Signal};

/// One occasion on which instances are brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Visit {
    pub way: Way,
    /// No two have the same, whatever way they come.
    pub number: u64,
}

/// How instances come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// C-STORE on an association.
    Association,
    /// A request over HTTP (STOW-RS), or the answer to one of ours (WADO-RS).
    Web,
    /// Files in a watched folder, one after the other without a pause.
    Folder,
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Visit { way, number } = self;
        match way {
            Way::Association => write!(f, "association {number}"),
            Way::Web => write!(f, "HTTP transfer {number}"),
            Way::Folder => write!(f, "folder transfer {number}"),
        }
    }
}

/// How an association came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Released,
    /// By either side, or by the network.
    Aborted,
}

impl From<End> for Left {
    fn from(end: End) -> Left {
        match end {
            End::Released => Left::Released,
            End::Aborted => Left::Aborted,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An association has been agreed on, or a request over HTTP is let in.
    Opened {
        visit: Visit,
        peer: SocketAddr,
        /// Empty over HTTP, which has no AE titles.
        calling_ae: String,
    },
    /// A connection did not become an association, or a request over HTTP was not let in.
    TurnedAway {
        peer: SocketAddr,
        reason: String,
    },
    /// An instance is in the inbox.
    Stored {
        visit: Visit,
        bytes: u64,
        instance: Box<Arrived>,
    },
    /// An instance was answered with a failure.
    Refused {
        visit: Visit,
        status: Status,
        reason: String,
    },
    Closed {
        visit: Visit,
        end: End,
        reason: String,
        instances: u64,
    },
    /// A study is complete and about to be handed over.
    Complete {
        instances: usize,
        bytes: u64,
        by: Signal,
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
        end: End,
    },
    /// The sender of a study broke off, and receiving has ended: what has arrived stays in the inbox.
    Kept {
        instances: usize,
        folder: PathBuf,
    },
    /// A study that was asked for is here.
    Fetched {
        /// Of the list, from 1.
        number: usize,
        instances: u64,
    },
    /// A study that was asked for is not here, or not whole.
    NotFetched {
        number: usize,
        reason: String,
    },
    /// A watched folder cannot be looked into, or a file in it not be removed; it is tried again.
    NotWatched {
        folder: PathBuf,
        reason: String,
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
pub struct Arrived {
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub study_instance_uid: String,
    pub patient_id: String,
}

impl Event {
    /// Whether somebody who runs the receiver should look at it.
    pub fn is_warning(&self) -> bool {
        match self {
            Event::Opened { .. } | Event::Stored { .. } | Event::Complete { .. } | Event::Fetched { .. } => {
                false
            }
            Event::TurnedAway { .. }
            | Event::Refused { .. }
            | Event::Kept { .. }
            | Event::NotFetched { .. }
            | Event::NotReported { .. }
            | Event::Discarded { .. }
            | Event::Waits { .. }
            | Event::Adopted { .. }
            | Event::NotWatched { .. }
            | Event::NotAccepted { .. } => true,
            Event::Closed { end, .. } => *end == End::Aborted,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Opened { visit, peer, calling_ae } if calling_ae.is_empty() => {
                write!(f, "{visit} opened from {peer}")
            }
            Event::Opened { visit, peer, calling_ae } => {
                write!(f, "{visit} opened by {calling_ae} at {peer}")
            }
            Event::TurnedAway { peer, reason } => write!(f, "connection from {peer} turned away: {reason}"),
            Event::Stored { visit, bytes, .. } => write!(f, "{visit} sent {bytes} bytes"),
            Event::Refused { visit, status, reason } => {
                write!(f, "instance of {visit} refused: {status}: {reason}")
            }
            Event::Closed { visit, end: End::Released, instances, .. } => {
                write!(f, "{visit} released after {instances} instances")
            }
            Event::Closed { visit, end: End::Aborted, reason, instances } => {
                write!(f, "{visit} aborted after {instances} instances: {reason}")
            }
            Event::Complete { instances, bytes, by } => {
                write!(f, "study complete, because {by}: {instances} instances, {bytes} bytes")
            }
            Event::Discarded { instances } => {
                write!(f, "a study is DELETED: it has waited as long as it may, with {instances} instances")
            }
            Event::Waits { instances, folder } => write!(
                f,
                "a study with {instances} instances in {} has waited longer than it should; `flow complete` ends that",
                folder.display()
            ),
            Event::Adopted { instances, end: End::Released } => {
                write!(f, "taken up: {instances} instances of a study that was received before")
            }
            Event::Adopted { instances, end: End::Aborted } => {
                write!(f, "taken up: {instances} instances of a study; waiting for the rest to be sent again")
            }
            Event::Kept { instances, folder } => write!(
                f,
                "the sender broke off after {instances} instances; they stay in {} until the next start",
                folder.display()
            ),
            Event::Fetched { number, instances } => {
                write!(f, "fetched a study of number {number} of the list: {instances} instances")
            }
            Event::NotFetched { number, reason } => {
                write!(f, "NOT FETCHED, number {number} of the list: {reason}")
            }
            Event::NotWatched { folder, reason } => {
                write!(f, "the watched folder {}: {reason}", folder.display())
            }
            Event::NotReported { reason } => {
                write!(f, "the outcome of a commitment cannot be told to who asked for it: {reason}")
            }
            Event::NotAccepted { reason } => write!(f, "connection not accepted: {reason}"),
        }
    }
}

/// Writes an event to the log.
pub fn log(event: &Event) {
    match event {
        Event::Stored { .. } => tracing::debug!("{event}"),
        _ if event.is_warning() => tracing::warn!("{event}"),
        _ => tracing::info!("{event}"),
    }
}
