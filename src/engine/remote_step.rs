//! A step that runs in another process than its request, and its end on the way back.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::dataflow::{Dataflow, ProcessLabel};
use crate::journal::RunRecord;
use crate::step::{CallAttempt, Digest, Fault, Request};

use super::remote_request::RemoteRequestKey;

/// The key of a run of a step in all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemoteStepKey {
    /// The request.
    pub request: RemoteRequestKey,
    /// The index of the node.
    pub node: usize,
    /// The index of the item, for a step that runs per item.
    pub item: Option<usize>,
    /// The digest of everything that its outputs depend on.
    pub run: Digest,
}

/// A step that another process is to run.
pub struct RemoteStep {
    /// The number under which it is answered; never used before.
    pub ticket: u64,
    /// The key.
    pub key: RemoteStepKey,
    /// The request.
    pub request: Arc<Request>,
    /// The dataflow.
    pub dataflow: Arc<Dataflow>,
    /// The batch, if it is one of a step in a stream: then the inputs are those of that step.
    pub batch: Option<RemoteBatch>,
    /// The inputs, in the order of their declaration.
    pub inputs: Vec<CarriedInput>,
    /// The bytes of the values that travel with the step, one after the other.
    pub content: Vec<u8>,
    /// The recorded answers to calls of the step, with their contents.
    pub runs: Vec<(RunRecord, Vec<u8>)>,
}

/// A batch of a step in a stream. The node of its key is that of the whole stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteBatch {
    /// The index of the step among those that the stream connects.
    pub member: usize,
    /// The key of the attempt.
    pub key: Digest,
    /// The time-out of the attempt.
    pub timeout: Duration,
}

impl RemoteBatch {
    /// The attempt at the batch.
    pub fn attempt(&self) -> CallAttempt {
        CallAttempt { key: self.key, timeout: self.timeout }
    }
}

/// The values at an input on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CarriedInput {
    /// No value.
    Absent,
    /// One value.
    One(CarriedValue),
    /// One value per item.
    Each(Vec<CarriedValue>),
}

/// A value on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CarriedValue {
    /// The request itself.
    Request,
    /// The item of the request with this index.
    Item(usize),
    /// A small value, in the content of the step.
    Here {
        /// The number of its bytes.
        bytes: usize,
    },
    /// A value in the store that the processes share.
    Stored {
        /// The digest of its form on disk.
        form: Digest,
    },
}

/// A value that one of two processes without a common store needs of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StepValue {
    /// What is stored under this digest.
    Stored(Digest),
    /// The content of the item of the request with this index.
    Item(usize),
}

/// A piece of such a value.
pub struct ValuePiece {
    /// The bytes of the whole value.
    pub total: u64,
    /// The digest of all bytes, with the first piece of an item: its own digest may be that of what it means.
    pub digest: Option<Digest>,
    /// The bytes of the piece.
    pub bytes: Vec<u8>,
}

/// How a step ended in another process.
#[derive(Clone, Debug)]
pub struct RemoteStepEnd {
    /// The record, without the digests of the inputs.
    pub record: RunRecord,
    /// The content of the record.
    pub content: Vec<u8>,
    /// What its fault says about another attempt, if it failed.
    pub again: AttemptNote,
}

/// What a fault says about another attempt: it is not a part of the fault's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptNote {
    /// The shortest wait, if a service says it.
    pub retry_after: Option<Duration>,
    /// Whether the service was not called at all.
    pub held_back: bool,
}

impl AttemptNote {
    /// The note of a fault.
    pub fn of(fault: &Fault) -> AttemptNote {
        AttemptNote { retry_after: fault.retry_after, held_back: fault.held_back }
    }

    /// The fault with what the note says.
    #[must_use]
    pub fn on(self, fault: Fault) -> Fault {
        Fault { retry_after: self.retry_after, held_back: self.held_back, ..fault }
    }
}

/// The needs of a step: label, version and memory of the process that runs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepNeed {
    /// The label.
    pub label: ProcessLabel,
    /// The version of its dataflow.
    pub version: Digest,
    /// The bytes of memory that its request takes.
    pub memory: u64,
}

/// A step that waits until a process with its label, and the memory for it, is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingStep {
    /// The number of the request in the journal.
    pub number: i64,
    /// The name of the step in the dataflow.
    pub step: String,
    /// The label.
    pub label: ProcessLabel,
    /// The version of the dataflow.
    pub version: Digest,
    /// The bytes of memory that its request takes.
    #[serde(default)]
    pub memory: u64,
    /// Whether processes with the label are there, and have too little memory.
    #[serde(default)]
    pub lacks_memory: bool,
    /// The time since which it waits.
    pub since: SystemTime,
}

impl WaitingStep {
    /// A step of a request that begins to wait now.
    pub fn new(number: i64, step: &str, need: StepNeed) -> WaitingStep {
        let (step, StepNeed { label, version, memory }) = (step.to_owned(), need);
        WaitingStep { number, step, label, version, memory, lacks_memory: false, since: SystemTime::now() }
    }

    /// Its needs of a process.
    pub fn need(&self) -> StepNeed {
        StepNeed { label: self.label.clone(), version: self.version, memory: self.memory }
    }
}
