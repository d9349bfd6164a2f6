//! Other processes that run whole requests for this one, as the engine sees them.
//!
//! The process at which requests come in, the first one, keeps each request in a lane, wherever it runs. A request
//! that runs elsewhere has a ticket. Its answer counts only with the ticket that the request has now: each time that a
//! request is given to another process it gets a new one, so that a late answer of a process that was lost is refused.
//! Finished runs come back as they end and are recorded by the first process, so that none of them is done again.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dataflow::{Dataflow, RequestPriority, Response};
use crate::journal::{JournalError, RunRecord};
use crate::step::{Digest, Request};

use super::memory::RequestMemories;
use super::queue::{SchedulerHandle, SchedulerMessage};

/// The part of this process among several.
#[derive(Clone)]
pub enum ProcessMesh {
    /// Requests come in at this process, and others run some of them.
    First(Arc<dyn RemoteProcesses>),
    /// This process runs requests of the first one, which records their finished runs.
    Member(Arc<dyn RunRecorder>),
}

/// The key of a request in all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemoteRequestKey {
    /// The number of its row in the journal of the first process.
    pub number: i64,
    /// Its identifier.
    pub request: Digest,
    /// The digest of its dataflow.
    pub version: Digest,
}

/// A request that another process is to run.
pub struct RemoteRequest {
    /// The number under which it is answered; never used before.
    pub ticket: u64,
    /// Its key.
    pub key: RemoteRequestKey,
    /// The request.
    pub request: Arc<Request>,
    /// The dataflow that runs it.
    pub dataflow: Arc<Dataflow>,
    /// When it begins, among those that wait.
    pub priority: RequestPriority,
    /// The time that is left until its deadline; `None` if there is none, or its interim response is delivered.
    pub deadline: Option<Duration>,
    /// Its finished runs with their contents.
    pub runs: Vec<(RunRecord, Vec<u8>)>,
}

/// A process that can be given requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemotePeer {
    /// Its index.
    pub process: usize,
    /// Its worker threads: it is given requests in proportion.
    pub workers: usize,
}

/// The connections to the other processes.
pub trait RemoteProcesses: Send + Sync {
    /// Takes what reports of the other processes go to. Called once, before anything else.
    fn start(&self, reports: RemoteReports);

    /// The processes that are connected now.
    fn peers(&self) -> Vec<RemotePeer>;

    /// The generation of the connection to a process, which is new with each connection. A process that was lost keeps
    /// it for a moment, in which it may come back; `None` then.
    fn generation(&self, process: usize) -> Option<u64>;

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

/// The recorder of finished runs in the first process, for a process that runs requests of it.
pub trait RunRecorder: Send + Sync {
    /// Has a run recorded, without waiting for it.
    fn note(&self, key: &RemoteRequestKey, record: RunRecord, content: Vec<u8>);

    /// Has a run recorded; when this returns, it is on the disk of the first process. Waits as long as that process is
    /// away.
    ///
    /// # Errors
    /// If the request is no longer wanted.
    fn note_durably(
        &self,
        key: &RemoteRequestKey,
        record: RunRecord,
        content: Vec<u8>,
    ) -> Result<(), RunNotRecorded>;
}

/// The request of a run is no longer run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is no longer run by this process")]
pub struct RunNotRecorded;

/// The way of reports of other processes into the engine, from any thread.
#[derive(Clone)]
pub struct RemoteReports {
    pub(super) scheduler: SchedulerHandle,
    pub(super) memories: Arc<RequestMemories>,
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
