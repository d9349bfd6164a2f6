//! Other processes that run single steps for this one, as the engine sees them.

use crate::dataflow::ProcessLabel;
use crate::step::Digest;

use super::process_choice::ProcessCandidate;
use super::remote_step::{RemoteStep, RemoteStepKey};

/// A process that can be given work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemotePeer {
    /// The index.
    pub process: usize,
    /// The generation of its connection.
    pub generation: u64,
    /// The worker threads of a process: it is given work in proportion.
    pub workers: usize,
    /// The bytes of memory that its work may take.
    pub memory: u64,
    /// The bytes that the work given to it takes.
    pub taken: u64,
    /// The requests and the steps that were given to it.
    pub load: usize,
    /// Whether it sees the store of this process.
    pub shares_store: bool,
}

impl RemotePeer {
    /// The process as a candidate for work, with this load, of whose inputs these bytes have to be brought.
    pub fn candidate(&self, load: usize, to_bring: u64) -> ProcessCandidate {
        let RemotePeer { process, workers, memory, taken, .. } = *self;
        ProcessCandidate { process, workers, load, memory, free: memory.saturating_sub(taken), to_bring }
    }
}

/// The connections to processes that run steps.
pub trait StepProcesses: Send + Sync {
    /// The generation of the connection to a process, which is new with each connection. A process that was lost keeps
    /// it for a moment, in which it may come back; `None` then.
    fn generation(&self, process: usize) -> Option<u64>;

    /// Whether this process has a label itself.
    fn has_label(&self, label: &ProcessLabel) -> bool;

    /// The processes with a label that are connected now, but for those that cannot run steps of this version of a
    /// dataflow.
    fn labelled(&self, label: &ProcessLabel, version: &Digest) -> Vec<RemotePeer>;

    /// Notes that a process has too little memory for steps of a request that takes this many bytes.
    fn left_out(&self, process: usize, memory: u64);

    /// A connected process that has worked on a step since before it connected last.
    fn step_holder(&self, key: &RemoteStepKey) -> Option<usize>;

    /// Gives a step to a process. Returns the generation of its connection; `None` if it is not connected.
    fn run_step(&self, process: usize, step: &RemoteStep) -> Option<u64>;

    /// Has a process give up the step with this ticket.
    fn cancel_step(&self, process: usize, ticket: u64);

    /// Whether a process sees the store of this one.
    fn shares_store(&self, process: usize) -> bool;

    /// Fetches a value of a step from a process that does not; `None` if it is not connected, or does not have it.
    fn fetch(&self, process: usize, ticket: u64, digest: Digest) -> Option<Vec<u8>>;

    /// Notes that a step no longer runs at a process, which may forget it.
    fn step_ended(&self, process: usize, ticket: u64);
}
