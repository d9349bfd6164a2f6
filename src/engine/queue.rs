//! The queue at which requests enter the engine, and wait while too many are under way.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::dataflow::{Dataflow, RequestPriority, Response};
use crate::journal::{Receipt, RequestHistory};
use crate::step::{Digest, Fault};

use super::answer_queue::{AnswerSender, AnswerTurn, AnsweredRequest};
use super::control::EngineControl;
use super::memory::{MemoryKey, RequestMemories};
use super::remote_request::RemoteRequest;
use super::running_dataflows::{DataflowRefusal, RunningDataflows};
use super::step_runner::StepRunner;

/// The entrance of the engine: requests wait here until a lane is free. Any thread may submit.
pub struct RequestQueue {
    scheduler: SchedulerHandle,
    dataflows: Arc<RunningDataflows>,
    memories: Arc<RequestMemories>,
    /// `None` only while the queue is being dropped.
    answers: Option<AnswerSender>,
}

/// A request to run, with the way in which it is to be run.
pub struct RequestSubmission {
    /// The receipt that the journal gave for the request.
    pub receipt: Receipt,
    /// The version of the dataflow that is to run it; `None` for the engine's first one. A version
    /// that the engine does not have makes an error response.
    pub version: Option<Digest>,
    /// The fault because of which the request is not run; it gets an error response that names it.
    pub refused: Option<Fault>,
    /// The time by which there has to be a response.
    pub deadline: RequestDeadline,
    /// The digest of an earlier response to it, which the next one supersedes.
    pub supersedes: Option<Digest>,
    /// When it begins, among those that wait.
    pub priority: RequestPriority,
}

impl RequestSubmission {
    /// Has the request run by this version of a dataflow.
    #[must_use]
    pub fn under(self, version: Digest) -> RequestSubmission {
        RequestSubmission { version: Some(version), ..self }
    }
}

/// The time by which there has to be a response. It counts only where the dataflow has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestDeadline {
    /// The deadline of the dataflow, counted from now.
    OfDataflow,
    /// This time from now: for a request that an earlier process accepted.
    Within(Duration),
    /// No deadline: it has passed, and its interim response was delivered.
    Passed,
}

impl From<Receipt> for RequestSubmission {
    fn from(receipt: Receipt) -> RequestSubmission {
        RequestSubmission {
            receipt,
            version: None,
            refused: None,
            deadline: RequestDeadline::OfDataflow,
            supersedes: None,
            priority: RequestPriority::Normal,
        }
    }
}

/// A handle that cancels requests, from any thread.
#[derive(Clone)]
pub struct RequestCanceller(SchedulerHandle);

impl RequestCanceller {
    /// Gives up the running steps of a request and starts no more of them. The request gets an error
    /// response, for which the failure part still runs; one whose work is all done gets its results.
    /// A request that is not in the engine is left as it is.
    pub fn cancel(&self, request: Digest) {
        self.0.send(SchedulerMessage::Cancel { request, version: None });
    }

    /// Cancels a request on its way through one dataflow, by that one's digest.
    pub fn cancel_version(&self, request: Digest, version: Digest) {
        self.0.send(SchedulerMessage::Cancel { request, version: Some(version) });
    }
}

/// A handle that ends the waits for requests of paused dataflows, when no more requests are to come.
pub struct PausedWaits(Weak<RunningDataflows>);

impl PausedWaits {
    /// From now on, nobody waits for what is paused: no thread that submits, and not [`RequestQueue::settle`].
    pub fn end(&self) {
        let dataflows = self.0.upgrade().map(|dataflows| dataflows.from(0)).unwrap_or_default();
        dataflows.iter().for_each(|shared| shared.slots.end());
    }
}

/// Submits new requests. It may outlive the queue: what it is given then is left to the next start.
///
/// Unlike [`RequestQueue::submit`] it never blocks, so that its holder has to bound the number of requests
/// under way itself.
#[derive(Clone)]
pub struct RequestSubmitter {
    scheduler: SchedulerHandle,
    dataflows: Weak<RunningDataflows>,
    memories: Arc<RequestMemories>,
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

    /// Whether a request for this version would begin at once: there is room for it besides so many `others` that are to
    /// be submitted before it, and nothing is paused.
    pub fn begins_at_once(&self, version: Digest, others: usize) -> bool {
        self.dataflows.upgrade().is_some_and(|dataflows| dataflows.begins_at_once(version, others))
    }

    /// Submits a request that another process accepted, with the runs that it has recorded. Returns whether the
    /// dataflow is here. A request may be given again once it was answered.
    pub fn run_for_other(&self, given: RemoteRequest) -> bool {
        let RemoteRequest { key, request, priority, deadline, runs, .. } = given;
        let Some(dataflows) = self.dataflows.upgrade() else { return true };
        let Some(dataflow) = dataflows.position(key.version) else { return false };
        self.memories.store().begin_holding(request.id);
        self.memories.open_for_other(&key, runs);
        let submission = RequestSubmission {
            version: Some(key.version),
            deadline: deadline.map_or(RequestDeadline::Passed, RequestDeadline::Within),
            priority,
            ..RequestSubmission::from(Receipt::unrecorded(request))
        };
        let shared = dataflows.at(dataflow);
        shared.slots.announce();
        self.scheduler.send(SchedulerMessage::Submitted { dataflow, submission, since: Instant::now() });
        shared.slots.enter_at_once(priority);
        true
    }
}

/// A message to the scheduler.
pub(super) enum SchedulerMessage {
    Submitted {
        /// The place of its dataflow in the set.
        dataflow: usize,
        submission: RequestSubmission,
        since: Instant,
    },
    Cancel {
        request: Digest,
        /// Of this dataflow only, by its digest.
        version: Option<Digest>,
    },
    Hurry(Digest),
    /// The deadline of the request with this number has passed.
    Overdue(u64),
    /// The interim response to the request of this number has been made.
    InterimMade {
        number: u64,
        response: Response,
    },
    /// Something that was paused may begin, or is paused now.
    Changed,
    /// The final response of another process.
    RemoteAnswered {
        ticket: u64,
        response: Response,
    },
    /// The interim response of another process.
    RemoteInterim {
        ticket: u64,
        response: Response,
    },
    /// Another process cannot run a request that it was given.
    RemoteRefused {
        ticket: u64,
    },
    /// Another process has connected, or is lost.
    ProcessesChanged,
    /// No more requests come.
    Closed,
}

/// A sender of messages to the scheduler that also wakes the first worker.
#[derive(Clone)]
pub(super) struct SchedulerHandle {
    messages: Sender<SchedulerMessage>,
    worker: Arc<OnceLock<Thread>>,
}

impl SchedulerHandle {
    pub fn send(&self, message: SchedulerMessage) {
        // A failure means that the workers have ended.
        let _ = self.messages.send(message);
        self.worker.get().iter().for_each(|worker| worker.unpark());
    }
}

impl RequestQueue {
    /// A queue, and the receiver of its messages for the scheduler.
    pub(super) fn new(
        dataflows: Arc<RunningDataflows>,
        memories: Arc<RequestMemories>,
        answers: AnswerSender,
    ) -> (RequestQueue, Receiver<SchedulerMessage>) {
        let (messages, heard) = channel();
        let scheduler = SchedulerHandle { messages, worker: Arc::default() };
        (RequestQueue { scheduler, dataflows, memories, answers: Some(answers) }, heard)
    }

    /// Submits a request. The call blocks while twice as many requests as there are lanes are waiting, in
    /// work or in delivery; half as many for one off-peak, unless it is the only one of those, and twice as many for an
    /// urgent one. Requests of a paused dataflow do not count, up to 16 times as many. The deadline of the request
    /// counts meanwhile.
    pub fn submit(&self, submission: impl Into<RequestSubmission>) {
        self.resume(submission.into(), None);
    }

    /// Submits a request that an earlier process worked on: the steps that its history has as done are not
    /// run again.
    pub fn resume(&self, submission: RequestSubmission, history: Option<&RequestHistory>) {
        let (dataflow, submission) = self.placed(submission);
        let shared = self.dataflows.at(dataflow);
        self.memories.store().begin_holding(submission.receipt.request().id);
        if let Some(number) = submission.receipt.number() {
            let version = submission.version.unwrap_or_else(|| shared.work.dataflow.digest());
            let memory = MemoryKey { request: submission.receipt.request().id, version };
            self.memories.enter(number);
            self.memories.open(memory, number, history);
        }
        let priority = submission.priority;
        shared.slots.announce();
        self.scheduler.send(SchedulerMessage::Submitted { dataflow, submission, since: Instant::now() });
        // The scheduler says of which requests the dataflow is paused, also meanwhile: those do not block.
        shared.slots.enter(priority);
    }

    fn placed(&self, submission: RequestSubmission) -> (usize, RequestSubmission) {
        placed(&self.dataflows, submission)
    }

    /// A handle to submit new requests with, from any thread.
    pub fn submitter(&self) -> RequestSubmitter {
        let (dataflows, memories) = (Arc::downgrade(&self.dataflows), Arc::clone(&self.memories));
        RequestSubmitter { scheduler: self.scheduler.clone(), dataflows, memories }
    }

    /// Delivers a response that an earlier process made.
    pub fn deliver(&self, receipt: Receipt, response: Response) {
        receipt.number().into_iter().for_each(|number| self.memories.enter(number));
        self.memories.store().begin_holding(receipt.request().id);
        let dataflow = self.dataflows.position(response.version).unwrap_or(0);
        let (shared, priority) = (self.dataflows.at(dataflow), RequestPriority::Normal);
        shared.slots.announce();
        shared.slots.enter(priority);
        // The delivery threads run until the queue is closed.
        if let Some(answers) = &self.answers {
            let turn = AnswerTurn::Recorded;
            answers.send([AnsweredRequest { dataflow, receipt, priority, response, turn }]);
        }
    }

    /// Waits until the sink has the responses to all submitted requests; once [`PausedWaits::end`] was called, as
    /// [`RequestQueue::settle_but_paused`].
    pub fn settle(&self) {
        self.dataflows.from(0).iter().for_each(|shared| shared.slots.wait_for_all());
    }

    /// Waits until the sink has the responses to all submitted requests but those that wait because their dataflow is
    /// paused.
    pub fn settle_but_paused(&self) {
        self.dataflows.from(0).iter().for_each(|shared| shared.slots.wait_for_all_but_held());
    }

    /// Whether a request of this priority can be submitted to a version of a dataflow without waiting.
    pub fn has_room(&self, version: Digest, priority: RequestPriority) -> bool {
        let place = self.dataflows.position(version).unwrap_or(0);
        self.dataflows.at(place).slots.has_room(priority)
    }

    /// Waits until a slot may be free that was not before, or [`RequestQueue::signal_room`] is called, for at most this
    /// time.
    pub fn wait_for_room(&self, time: Duration) {
        self.dataflows.room().wait(time);
    }

    /// Ends a wait for room.
    pub fn signal_room(&self) {
        self.dataflows.room().signal();
    }

    /// The control of what may begin.
    pub fn control(&self) -> &EngineControl {
        self.dataflows.control()
    }

    /// Has the engine look again at what is paused.
    pub fn notice_pauses(&self) {
        self.scheduler.send(SchedulerMessage::Changed);
    }

    /// Adds a dataflow, which requests can be run by from then on.
    ///
    /// # Errors
    /// If there are too many.
    pub fn add(&self, dataflow: &Arc<Dataflow>) -> Result<(), DataflowRefusal> {
        self.dataflows.add(dataflow)
    }

    /// Has a request that waits for a lane begin before all that are not urgent. A request that has begun, or is not in
    /// the engine, is left as it is.
    pub fn hurry(&self, request: Digest) {
        self.scheduler.send(SchedulerMessage::Hurry(request));
    }

    /// A handle to run steps of requests that another process has. It may outlive the queue.
    pub fn step_runner(&self) -> StepRunner {
        StepRunner::new(Arc::downgrade(&self.dataflows), Arc::clone(&self.memories))
    }

    /// A handle to cancel requests with. It may outlive the queue.
    pub fn canceller(&self) -> RequestCanceller {
        RequestCanceller(self.scheduler.clone())
    }

    /// A handle to end the waits for what is paused with. It may outlive the queue.
    pub fn paused_waits(&self) -> PausedWaits {
        PausedWaits(Arc::downgrade(&self.dataflows))
    }

    pub(super) fn scheduler(&self) -> SchedulerHandle {
        self.scheduler.clone()
    }

    pub(super) fn worker(&self) -> Arc<OnceLock<Thread>> {
        Arc::clone(&self.scheduler.worker)
    }
}

/// The index of a submission's dataflow. Where its version is not loaded, the first dataflow answers it
/// with an error response.
fn placed(dataflows: &RunningDataflows, submission: RequestSubmission) -> (usize, RequestSubmission) {
    let Some(version) = submission.version else { return (0, submission) };
    match dataflows.position(version) {
        Some(dataflow) => (dataflow, submission),
        None => (0, RequestSubmission { version: None, refused: Some(not_loaded(version)), ..submission }),
    }
}

fn not_loaded(version: Digest) -> Fault {
    Fault::new(
        format!("it was accepted under version {version} of its dataflow, which is not loaded"),
        "Start flow with that dataflow, and run the request again with `flow retry`.",
    )
}

/// Says that no more requests come.
impl Drop for RequestQueue {
    fn drop(&mut self) {
        self.answers = None;
        self.scheduler.send(SchedulerMessage::Closed);
    }
}
