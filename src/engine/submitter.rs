//! A handle that submits new requests without waiting, from threads that must not block.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::memory::{MemoryKey, RequestMemories};
use super::queue::{RequestSubmission, SchedulerHandle, SchedulerMessage, placed};
use super::running_dataflows::RunningDataflows;

/// Submits new requests. It may outlive the queue: what it is given then is left to the next start.
///
/// Unlike [`super::RequestQueue::submit`] it never blocks, so that its holder has to bound the number of requests
/// under way itself.
#[derive(Clone)]
pub struct RequestSubmitter {
    pub(super) scheduler: SchedulerHandle,
    pub(super) dataflows: Weak<RunningDataflows>,
    pub(super) memories: Arc<RequestMemories>,
}

impl RequestSubmitter {
    /// Submits a request that was accepted just now.
    pub fn submit(&self, submission: RequestSubmission) {
        let Some(dataflows) = self.dataflows.upgrade() else { return };
        let (dataflow, submission) = placed(&dataflows, submission);
        let shared = dataflows.at(dataflow);
        self.memories.store().begin_holding(submission.receipt.request().id);
        if let Some(number) = submission.receipt.number() {
            let version = submission.version.unwrap_or_else(|| shared.work.dataflow.digest());
            let memory = MemoryKey { request: submission.receipt.request().id, version };
            self.memories.enter(number);
            self.memories.open(memory, number, None);
        }
        let priority = submission.priority;
        shared.slots.announce();
        self.scheduler.send(SchedulerMessage::Submitted { dataflow, submission, since: Instant::now() });
        shared.slots.enter_at_once(priority);
    }
}
