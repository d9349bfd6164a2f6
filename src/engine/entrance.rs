//! Where requests come in, and wait while too many are under way.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::dataflow::Response;
use crate::journal::{History, Receipt};
use crate::step::{Digest, Fault};

use super::delivery::{Answered, Turn};
use super::job::Work;
use super::slots::RequestSlots;

pub struct Entrance {
    scheduler: SchedulerHandle,
    slots: Arc<RequestSlots>,
    work: Arc<Work>,
    /// Taken only when the entrance is dropped.
    answers: Option<Sender<Answered>>,
}

/// A request, and what is known of it from before.
pub struct Submission {
    pub receipt: Receipt,
    /// Why it is not to be begun: its response is an error response then.
    pub refused: Option<Fault>,
    pub deadline: Deadline,
    /// The digest of an earlier response to it, which the next one supersedes.
    pub supersedes: Option<Digest>,
}

/// When there has to be a response. A dataflow without a deadline has none, whatever stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// As the dataflow says, from now on.
    OfDataflow,
    /// For a request that was accepted before.
    Within(Duration),
    /// For one whose deadline has passed and was answered for.
    Passed,
}

impl From<Receipt> for Submission {
    fn from(receipt: Receipt) -> Submission {
        Submission { receipt, refused: None, deadline: Deadline::OfDataflow, supersedes: None }
    }
}

/// Cancels requests, from any thread and as long as there is one to cancel.
#[derive(Clone)]
pub struct Canceller(SchedulerHandle);

impl Canceller {
    /// Gives up what is under way for a request, and begins nothing more of it. It gets its error
    /// response, which the failure part still makes; one whose work is all done gets its results.
    /// Nothing happens to a request that is not here.
    pub fn cancel(&self, request: Digest) {
        self.0.send(SchedulerMessage::Cancel(request));
    }
}

/// What the one who leads requests into lanes is told.
pub(super) enum SchedulerMessage {
    Submitted {
        submission: Submission,
        since: Instant,
    },
    Cancel(Digest),
    /// The deadline of the request of this number has passed.
    Overdue(u64),
    /// The error response because of it.
    InterimMade {
        number: u64,
        response: Response,
    },
    /// No more requests come.
    Closed,
}

/// Tells the first worker something, and wakes it.
#[derive(Clone)]
pub(super) struct SchedulerHandle {
    messages: Sender<SchedulerMessage>,
    worker: Arc<OnceLock<Thread>>,
}

impl SchedulerHandle {
    pub fn send(&self, message: SchedulerMessage) {
        // Workers that are gone have nothing more to do.
        let _ = self.messages.send(message);
        self.worker.get().iter().for_each(|worker| worker.unpark());
    }
}

impl Entrance {
    /// An entrance and its other end. Beside the requests in lanes as many may wait or be delivered.
    pub(super) fn new(
        lanes: NonZero<usize>,
        work: Arc<Work>,
        answers: Sender<Answered>,
    ) -> (Entrance, Receiver<SchedulerMessage>) {
        let (messages, heard) = channel();
        let slots = Arc::new(RequestSlots::new(lanes.get().saturating_mul(2)));
        let scheduler = SchedulerHandle { messages, worker: Arc::default() };
        (Entrance { scheduler, slots, work, answers: Some(answers) }, heard)
    }

    /// Hands a request over. It waits while too many are under way; the request's deadline does not.
    pub fn submit(&self, submission: impl Into<Submission>) {
        self.resume(submission.into(), None);
    }

    /// Hands a request over of which there is a history: what is finished is not done again.
    pub fn resume(&self, submission: Submission, history: Option<&History>) {
        if let Some(number) = submission.receipt.number() {
            self.work.memories.enter(number);
            self.work.memories.open(submission.receipt.request().id, number, history);
        }
        self.scheduler.send(SchedulerMessage::Submitted { submission, since: Instant::now() });
        self.slots.enter();
    }

    /// Hands over a response that was made before, to be delivered.
    pub fn deliver(&self, receipt: Receipt, response: Response) {
        receipt.number().into_iter().for_each(|number| self.work.memories.enter(number));
        self.slots.enter();
        // Those who deliver stay until the entrance is closed.
        if let Some(answers) = &self.answers {
            let _ = answers.send(Answered { receipt, response, turn: Turn::Recorded });
        }
    }

    /// Waits until the sink has the responses to all that was handed over.
    pub fn settle(&self) {
        self.slots.wait_for_all();
    }

    pub fn canceller(&self) -> Canceller {
        Canceller(self.scheduler.clone())
    }

    pub(super) fn scheduler(&self) -> SchedulerHandle {
        self.scheduler.clone()
    }

    pub(super) fn worker(&self) -> Arc<OnceLock<Thread>> {
        Arc::clone(&self.scheduler.worker)
    }

    pub(super) fn slots(&self) -> Arc<RequestSlots> {
        Arc::clone(&self.slots)
    }
}

/// Says that no more requests come.
impl Drop for Entrance {
    fn drop(&mut self) {
        self.answers = None;
        self.scheduler.send(SchedulerMessage::Closed);
    }
}
