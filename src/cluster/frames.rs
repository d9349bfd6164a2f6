//! The frames between process 0 and another process, after their handshake.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dataflow::{Dataflow, RequestPriority, Response};
use crate::engine::{AttemptNote, CarriedInput, RemoteBatch, RemoteRequestKey, RemoteStepKey};
use crate::journal::RunRecord;
use crate::step::{Digest, Request};

use super::chunks::{ChunkReply, ChunkRequest};

/// A frame of process 0.
#[derive(Serialize, Deserialize)]
pub enum OrderFrame {
    Run(Box<RunOrder>),
    /// A request that the process has worked on since before is to go on. With a deadline, process 0 has not had the
    /// interim response.
    Resume {
        ticket: u64,
        key: RemoteRequestKey,
        has_deadline: bool,
    },
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
    /// A step of a request that process 0 has.
    Step(Box<StepOrder>),
    /// A step is no longer wanted.
    CancelStep {
        ticket: u64,
    },
    /// Process 0 has the end of a step, and all that it gave.
    StepTaken {
        ticket: u64,
    },
    /// The process gets no steps of some requests.
    LeftOut {
        reason: String,
    },
    /// Process 0 needs what a step gave.
    Fetch(ChunkRequest),
    /// A chunk of an input follows.
    Chunk(ChunkReply),
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

/// A step to run. The bytes of its small inputs follow, and then the contents of its runs.
#[derive(Serialize, Deserialize)]
pub struct StepOrder {
    pub ticket: u64,
    pub key: RemoteStepKey,
    /// The request, if this process has not been told of it over this connection.
    pub request: Option<Arc<Request>>,
    /// The batch, if it is one of a step in a stream.
    pub batch: Option<RemoteBatch>,
    pub inputs: Vec<CarriedInput>,
    /// The bytes of the small inputs.
    pub input_bytes: usize,
    /// The recorded answers to calls of it, each with the bytes of its content.
    pub runs: Vec<(RunRecord, usize)>,
    /// The dataflow, if this process has not been told of it.
    pub dataflow: Option<AnnouncedVersion>,
}

/// The end of a step. The content of its record follows.
#[derive(Serialize, Deserialize)]
pub struct StepEndNote {
    pub ticket: u64,
    pub record: RunRecord,
    pub again: AttemptNote,
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
    StepEnded(Box<StepEndNote>),
    /// This process cannot run a step.
    StepUnable {
        ticket: u64,
        reason: String,
    },
    /// A step needs a value.
    Fetch(ChunkRequest),
    /// A chunk of what a step gave follows.
    Chunk(ChunkReply),
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
