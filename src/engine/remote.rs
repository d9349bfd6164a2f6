//! Other processes that run whole requests for this one, as the engine sees them.
//!
//! The process at which requests come in, the first one, keeps each request in a lane, wherever it runs. A request
//! that runs elsewhere has a ticket. Its answer counts only with the ticket that the request has now: each time that a
//! request is given to another process it gets a new one, so that a late answer of a process that was lost is refused.
//! Finished runs come back as they end and are recorded by the first process, so that none of them is done again.

use std::sync::Arc;

use crate::dataflow::Response;
use crate::journal::{JournalError, RunRecord};

use super::budget::MemoryBudget;
use super::memory::RequestMemories;
use super::queue::{SchedulerHandle, SchedulerMessage};
use super::remote_request::{RemoteRequest, RemoteRequestKey, RunRecorder};
use super::remote_step::{RemoteStepEnd, StepValue, ValuePiece, WaitingStep};
use super::remote_steps::{RemoteSteps, StepReply};
use super::step_processes::{RemotePeer, StepProcesses};

/// The part of this process among several.
#[derive(Clone)]
pub enum ProcessMesh {
    /// Requests come in at this process, and others run some of them.
    First(Arc<dyn RemoteProcesses>),
    /// A process that runs requests of the first one, which records their finished runs.
    Member(Arc<dyn RunRecorder>),
}

/// The connections to the other processes.
pub trait RemoteProcesses: StepProcesses {
    /// Takes what reports of the other processes go to. Called once, before anything else.
    fn start(&self, reports: RemoteReports);

    /// The processes that are connected now.
    fn peers(&self) -> Vec<RemotePeer>;

    /// A connected process that has worked on a request since before it connected last.
    fn holder(&self, key: &RemoteRequestKey) -> Option<usize>;

    /// The requests that processes have worked on since before they connected last, and were not given again.
    fn held(&self) -> Vec<RemoteRequestKey>;

    /// Has a process stop its work on a request that it holds.
    fn release(&self, key: &RemoteRequestKey);

    /// Gives a request to a process. Returns the generation of its connection; `None` if it is not connected.
    fn run(&self, process: usize, request: &RemoteRequest) -> Option<u64>;

    /// Has a process cancel a request.
    fn cancel(&self, process: usize, key: &RemoteRequestKey);

    /// Notes that a request no longer runs at a process.
    fn ended(&self, process: usize, ticket: u64);
}

/// The way of reports of other processes into the engine, from any thread.
#[derive(Clone)]
pub struct RemoteReports {
    pub(super) scheduler: SchedulerHandle,
    pub(super) memories: Arc<RequestMemories>,
    pub(super) steps: Arc<RemoteSteps>,
    pub(super) budget: MemoryBudget,
}

/// The work of this process itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnShare {
    /// The requests that it runs.
    pub requests: usize,
    /// The requests that wait for its memory.
    pub waiting: usize,
    /// The bytes of memory that they take.
    pub memory_taken: u64,
}

impl RemoteReports {
    /// The final response to the request with this ticket. It is dropped if the request has another ticket now.
    pub fn answered(&self, ticket: u64, response: Response) {
        self.scheduler.send(SchedulerMessage::RemoteAnswered { ticket, response });
    }

    /// The interim response to the request with this ticket.
    pub fn interim(&self, ticket: u64, response: Response) {
        self.scheduler.send(SchedulerMessage::RemoteInterim { ticket, response });
    }

    /// The process cannot run the request with this ticket.
    pub fn refused(&self, ticket: u64) {
        self.scheduler.send(SchedulerMessage::RemoteRefused { ticket });
    }

    /// A process has connected, or is lost.
    pub fn changed(&self) {
        self.scheduler.send(SchedulerMessage::ProcessesChanged);
        self.steps.follow();
    }

    /// The end of the step with this ticket. It is dropped if the step has another ticket now.
    pub fn step_ended(&self, ticket: u64, end: RemoteStepEnd) {
        self.steps.reply(ticket, StepReply::Ended(Box::new(end)));
    }

    /// The process cannot run the step with this ticket.
    pub fn step_refused(&self, ticket: u64) {
        self.steps.reply(ticket, StepReply::Unable);
    }

    /// A piece of a value of the step with this ticket, at most so many bytes.
    pub fn piece(&self, ticket: u64, value: StepValue, offset: u64, max: usize) -> Option<ValuePiece> {
        self.steps.piece(ticket, value, offset, max, self.memories.store())
    }

    /// The work of this process itself.
    pub fn own_share(&self) -> OwnShare {
        let budget = &self.budget;
        let (requests, waiting) = budget.claims();
        OwnShare { requests, waiting, memory_taken: budget.total() - budget.free() }
    }

    /// The steps that wait until a process with their label is there.
    pub fn waiting_steps(&self) -> Vec<WaitingStep> {
        self.steps.waiting()
    }

    /// Records a finished run of another process, unless its request is answered. It is on the disk after
    /// [`RemoteReports::flush`].
    ///
    /// # Errors
    /// If the journal cannot be used.
    pub fn note(
        &self,
        key: &RemoteRequestKey,
        record: RunRecord,
        content: Vec<u8>,
    ) -> Result<(), JournalError> {
        self.memories.note_of_other(key, record, content)
    }

    /// Waits until all that was recorded so far is on the disk.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn flush(&self) -> Result<(), JournalError> {
        self.memories.flush()
    }
}
