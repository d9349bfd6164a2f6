//! The frames between process 0 and another process, after their handshake.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dataflow::{Dataflow, RequestPriority, Response};
use crate::engine::RemoteRequestKey;
use crate::journal::RunRecord;
use crate::step::{Digest, Request};

/// A frame of process 0.
#[derive(Serialize, Deserialize)]
pub enum OrderFrame {
    Run(Box<RunOrder>),
    /// A request is to end with an error response.
    Cancel(RemoteRequestKey),
    /// A request is no longer wanted from this process.
    Release(RemoteRequestKey),
    /// Process 0 has the answer to a request.
    Taken {
        ticket: u64,
    },
    /// All notes up to this one are on the disk.
    Noted {
        number: u64,
    },
    Beat,
    /// All requests are answered.
    End,
}

/// A request to run. The contents of its runs follow one after the other.
#[derive(Serialize, Deserialize)]
pub struct RunOrder {
    pub ticket: u64,
    pub key: RemoteRequestKey,
    pub request: Arc<Request>,
    /// The name of its priority.
    pub priority: PriorityName,
    pub deadline: Option<Duration>,
    /// The finished runs, each with the bytes of its content.
    pub runs: Vec<(RunRecord, usize)>,
    /// The dataflow, if this process has not been told of it.
    pub dataflow: Option<AnnouncedVersion>,
}

/// A frame of another process.
#[derive(Serialize, Deserialize)]
pub enum ReportFrame {
    /// A run has ended; its content follows.
    Note(Box<RunNote>),
    Answer {
        ticket: u64,
        response: Box<Response>,
    },
    Interim {
        ticket: u64,
        response: Box<Response>,
    },
    /// This process cannot run a request.
    Unable {
        ticket: u64,
        reason: String,
    },
    Beat,
}

/// A run that has ended in another process.
#[derive(Clone, Serialize, Deserialize)]
pub struct RunNote {
    /// Notes of a process are numbered in their order.
    pub number: u64,
    pub key: RemoteRequestKey,
    pub record: RunRecord,
    /// Whether something waits until it is on the disk.
    pub is_awaited: bool,
}

/// A version of a dataflow as process 0 sends it to the others.
#[derive(Clone, Serialize, Deserialize)]
pub struct AnnouncedVersion {
    pub name: String,
    pub text: String,
    pub version: Digest,
}

impl AnnouncedVersion {
    pub fn of(dataflow: &Dataflow) -> AnnouncedVersion {
        AnnouncedVersion {
            name: dataflow.name().to_owned(),
            text: dataflow.text().to_owned(),
            version: dataflow.digest(),
        }
    }
}

/// A priority on the wire.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum PriorityName {
    Urgent,
    Normal,
    OffPeak,
}

impl From<RequestPriority> for PriorityName {
    fn from(priority: RequestPriority) -> PriorityName {
        match priority {
            RequestPriority::Urgent => PriorityName::Urgent,
            RequestPriority::Normal => PriorityName::Normal,
            RequestPriority::OffPeak => PriorityName::OffPeak,
        }
    }
}

impl From<PriorityName> for RequestPriority {
    fn from(name: PriorityName) -> RequestPriority {
        match name {
            PriorityName::Urgent => RequestPriority::Urgent,
            PriorityName::Normal => RequestPriority::Normal,
            PriorityName::OffPeak => RequestPriority::OffPeak,
        }
    }
}
