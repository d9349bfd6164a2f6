//! The one on the first worker who leads requests into idle lanes, passes on what is said about
//! them, and takes the answers out.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use timely::worker::Worker;

use crate::dataflow::{Response, Verdict};
use crate::journal::Receipt;
use crate::step::{Digest, Fault, Request};

use super::clock::Alarm;
use super::delivery::{Answered, Turn};
use super::entrance::{Deadline, SchedulerHandle, SchedulerMessage, Submission};
use super::epoch::{Begin, Order};
use super::event::{Event, tell};
use super::lane::{LaneInput, LaneResponse, LaneResponses};
use super::shared::Shared;

/// The first worker's ends of the channels to those who bring requests and take answers.
pub struct SchedulerChannels {
    pub messages: Receiver<SchedulerMessage>,
    pub answers: Sender<Answered>,
    pub scheduler: SchedulerHandle,
}

pub struct RequestScheduler<'a> {
    lanes: Vec<(LaneInput, Option<PendingRequest>)>,
    /// In turn, so that none of them is served better.
    idle: VecDeque<usize>,
    waiting: VecDeque<PendingRequest>,
    /// How many requests there were: their numbers.
    count: u64,
    channels: SchedulerChannels,
    done: LaneResponses,
    shared: &'a Arc<Shared>,
}

/// A request that is not answered.
struct PendingRequest {
    /// The same request may be here twice; the number is not.
    number: u64,
    receipt: Receipt,
    refused: Option<Fault>,
    /// The time at which it took its lane; of no meaning before.
    began: u64,
    /// Cancelled while it waits for a lane.
    cancelled: bool,
    /// The time between its being accepted and its deadline; the alarm is for that.
    deadline: Option<(Duration, Alarm)>,
    supersedes: Option<Digest>,
    /// Open until the sink has an earlier response to it.
    earlier: Option<Receiver<()>>,
}

impl PendingRequest {
    fn request(&self) -> &Arc<Request> {
        self.receipt.request()
    }
}

impl<'a> RequestScheduler<'a> {
    pub fn new(
        inputs: Vec<LaneInput>,
        channels: SchedulerChannels,
        done: LaneResponses,
        shared: &'a Arc<Shared>,
    ) -> Self {
        let idle = (0..inputs.len()).collect();
        let lanes = inputs.into_iter().map(|input| (input, None)).collect();
        RequestScheduler { lanes, idle, waiting: VecDeque::new(), count: 0, channels, done, shared }
    }

    pub fn serve(mut self, worker: &mut Worker) {
        let mut more = true;
        loop {
            more &= self.hear();
            self.admit();
            if !more && self.idle.len() == self.lanes.len() {
                return;
            }
            // Whoever has something to say wakes this thread after it has put it into the channel.
            worker.step_or_park(None);
            self.hand_out();
        }
    }

    /// Whether more requests may come.
    fn hear(&mut self) -> bool {
        loop {
            match self.channels.messages.try_recv() {
                Ok(SchedulerMessage::Submitted { submission, since }) => self.receive(submission, since),
                Ok(SchedulerMessage::Cancel(request)) => self.cancel(request),
                Ok(SchedulerMessage::Overdue(number)) => self.overdue(number),
                Ok(SchedulerMessage::InterimMade { number, response }) => {
                    self.deliver_interim(number, response)
                }
                Ok(SchedulerMessage::Closed) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn receive(&mut self, submission: Submission, since: Instant) {
        self.count += 1;
        let Submission { receipt, refused, deadline, supersedes } = submission;
        let deadline = self.shared.work.dataflow.deadline.and_then(|after| {
            let left = match deadline {
                Deadline::OfDataflow => after,
                Deadline::Within(left) => left,
                Deadline::Passed => return None,
            };
            let (scheduler, number) = (self.channels.scheduler.clone(), self.count);
            let left = left.saturating_sub(since.elapsed());
            Some((
                after,
                self.shared.clock.after(left, move || scheduler.send(SchedulerMessage::Overdue(number))),
            ))
        });
        self.waiting.push_back(PendingRequest {
            number: self.count,
            receipt,
            refused,
            began: 0,
            cancelled: false,
            deadline,
            supersedes,
            earlier: None,
        });
    }

    fn admit(&mut self) {
        while !self.idle.is_empty()
            && let Some(mut pending) = self.waiting.pop_front()
        {
            let index = self.idle.pop_front().expect("it was just seen");
            let work = &self.shared.work;
            tell(&*work.observer, &Event::Accepted { request: pending.request() });
            work.memories.began(pending.request().id);
            let (input, current) = &mut self.lanes[index];
            pending.began = *input.time();
            let (request, refused) = (Arc::clone(pending.request()), pending.refused.take());
            order(input, Order::Begin(Begin { request, refused }));
            if pending.cancelled {
                order(input, Order::Cancel);
            }
            *current = Some(pending);
        }
    }

    /// A request that waits goes first: it takes no time.
    fn cancel(&mut self, request: Digest) {
        let (mut cancelled, others): (VecDeque<_>, VecDeque<_>) =
            self.waiting.drain(..).partition(|pending| pending.request().id == request);
        cancelled.iter_mut().for_each(|pending| pending.cancelled = true);
        self.waiting = cancelled.into_iter().chain(others).collect();
        for (input, pending) in &mut self.lanes {
            if pending.as_ref().is_some_and(|pending| pending.request().id == request) {
                order(input, Order::Cancel);
            }
        }
    }

    fn overdue(&mut self, number: u64) {
        let after = |pending: &PendingRequest| pending.deadline.as_ref().map(|(after, _)| *after);
        if let Some(pending) = self.waiting.iter().find(|pending| pending.number == number) {
            let Some(after) = after(pending) else { return };
            let said = self.shared.work.dataflow.not_begun(pending.request(), after, "a free lane");
            return self.make_interim(number, pending.request(), said);
        }
        let in_lane = |pending: &&PendingRequest| pending.number == number;
        for (input, pending) in &mut self.lanes {
            if let Some(after) = pending.as_ref().filter(in_lane).and_then(after) {
                order(input, Order::Overdue(after));
            }
        }
    }

    /// The failure part may take long, so it is run on a thread of the pool.
    fn make_interim(&self, number: u64, request: &Arc<Request>, said: Response) {
        let (work, request, scheduler) =
            (Arc::clone(&self.shared.work), Arc::clone(request), self.channels.scheduler.clone());
        let class = work.dataflow.nodes.len();
        self.shared.pool.submit(class, 0, move |_| {
            let response = work.apologise(&request, said);
            scheduler.send(SchedulerMessage::InterimMade { number, response });
        });
    }

    /// Has the error response of a deadline delivered, unless the final one has been made.
    fn deliver_interim(&mut self, number: u64, mut response: Response) {
        let in_lanes = self.lanes.iter_mut().filter_map(|(_, pending)| pending.as_mut());
        let mut pending = in_lanes.chain(&mut self.waiting);
        let Some(pending) = pending.find(|pending| pending.number == number) else { return };
        let (handed_over, earlier) = channel();
        response.supersedes = pending.supersedes.take();
        pending.supersedes = Some(response.digest());
        pending.earlier = Some(earlier);
        let (receipt, turn) = (pending.receipt.clone(), Turn::Interim { handed_over });
        let _ = self.channels.answers.send(Answered { receipt, response, turn });
    }

    fn hand_out(&mut self) {
        let done = Rc::clone(&self.done);
        for LaneResponse { lane, time, response } in done.borrow_mut().drain(..) {
            match response.verdict {
                Verdict::Unfinished => self.pass_on(lane, time, response),
                Verdict::Complete | Verdict::Failed => self.let_out(lane, response),
            }
        }
    }

    /// What is said of a request may come after its answer, when another one is in its lane.
    fn pass_on(&self, lane: usize, time: u64, said: Response) {
        if let Some(pending) = self.lanes[lane].1.as_ref().filter(|pending| pending.began < time) {
            self.make_interim(pending.number, pending.request(), said);
        }
    }

    fn let_out(&mut self, lane: usize, mut response: Response) {
        let pending = self.lanes[lane].1.take().expect("a lane answers what it was given");
        self.idle.push_back(lane);
        response.supersedes = pending.supersedes;
        let turn = Turn::Final { earlier: pending.earlier };
        // The one who delivers outlives the workers.
        let _ = self.channels.answers.send(Answered { receipt: pending.receipt, response, turn });
    }
}

/// Each order has a time of its own. Without moving on it would not leave this worker.
fn order(input: &mut LaneInput, order: Order) {
    input.send(order);
    input.advance_to(input.time() + 1);
}
