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
use super::entrance::{Bell, Deadline, Notice, Submission};
use super::epoch::{Begin, Order};
use super::event::{Event, tell};
use super::exit::{Answered, Turn};
use super::lane::{Done, Inlet, Said};
use super::shared::Shared;

/// The first worker's ends of the channels to those who bring requests and take answers.
pub struct Doors {
    pub notices: Receiver<Notice>,
    pub answers: Sender<Answered>,
    pub bell: Bell,
}

pub struct Porter<'a> {
    lanes: Vec<(Inlet, Option<Visitor>)>,
    /// In turn, so that none of them is served better.
    idle: VecDeque<usize>,
    waiting: VecDeque<Visitor>,
    /// How many requests there were: their numbers.
    count: u64,
    doors: Doors,
    done: Done,
    shared: &'a Arc<Shared>,
}

/// A request that is not answered.
struct Visitor {
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

impl Visitor {
    fn request(&self) -> &Arc<Request> {
        self.receipt.request()
    }
}

impl<'a> Porter<'a> {
    pub fn new(inlets: Vec<Inlet>, doors: Doors, done: Done, shared: &'a Arc<Shared>) -> Self {
        let idle = (0..inlets.len()).collect();
        let lanes = inlets.into_iter().map(|inlet| (inlet, None)).collect();
        Porter { lanes, idle, waiting: VecDeque::new(), count: 0, doors, done, shared }
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
            match self.doors.notices.try_recv() {
                Ok(Notice::Submitted { submission, since }) => self.receive(submission, since),
                Ok(Notice::Cancel(request)) => self.cancel(request),
                Ok(Notice::Overdue(number)) => self.overdue(number),
                Ok(Notice::Apology { number, response }) => self.apologise(number, response),
                Ok(Notice::Closed) | Err(TryRecvError::Disconnected) => return false,
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
            let (bell, number) = (self.doors.bell.clone(), self.count);
            let left = left.saturating_sub(since.elapsed());
            Some((after, self.shared.clock.after(left, move || bell.ring(Notice::Overdue(number)))))
        });
        self.waiting.push_back(Visitor {
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
            && let Some(mut visitor) = self.waiting.pop_front()
        {
            let index = self.idle.pop_front().expect("it was just seen");
            let work = &self.shared.work;
            tell(&*work.observer, &Event::Accepted { request: visitor.request() });
            work.memories.began(visitor.request().id);
            let (inlet, current) = &mut self.lanes[index];
            visitor.began = *inlet.time();
            let (request, refused) = (Arc::clone(visitor.request()), visitor.refused.take());
            order(inlet, Order::Begin(Begin { request, refused }));
            if visitor.cancelled {
                order(inlet, Order::Cancel);
            }
            *current = Some(visitor);
        }
    }

    /// A request that waits goes first: it takes no time.
    fn cancel(&mut self, request: Digest) {
        let (mut cancelled, others): (VecDeque<_>, VecDeque<_>) =
            self.waiting.drain(..).partition(|visitor| visitor.request().id == request);
        cancelled.iter_mut().for_each(|visitor| visitor.cancelled = true);
        self.waiting = cancelled.into_iter().chain(others).collect();
        for (inlet, visitor) in &mut self.lanes {
            if visitor.as_ref().is_some_and(|visitor| visitor.request().id == request) {
                order(inlet, Order::Cancel);
            }
        }
    }

    fn overdue(&mut self, number: u64) {
        let after = |visitor: &Visitor| visitor.deadline.as_ref().map(|(after, _)| *after);
        if let Some(visitor) = self.waiting.iter().find(|visitor| visitor.number == number) {
            let Some(after) = after(visitor) else { return };
            let said = self.shared.work.dataflow.not_begun(visitor.request(), after, "a free lane");
            return self.have_apology_made(number, visitor.request(), said);
        }
        let in_lane = |visitor: &&Visitor| visitor.number == number;
        for (inlet, visitor) in &mut self.lanes {
            if let Some(after) = visitor.as_ref().filter(in_lane).and_then(after) {
                order(inlet, Order::Overdue(after));
            }
        }
    }

    /// The failure part may take long, so it is run on a thread of the pool.
    fn have_apology_made(&self, number: u64, request: &Arc<Request>, said: Response) {
        let (work, request, bell) =
            (Arc::clone(&self.shared.work), Arc::clone(request), self.doors.bell.clone());
        let class = work.dataflow.nodes.len();
        self.shared.pool.submit(class, 0, move |_| {
            let response = work.apologise(&request, said);
            bell.ring(Notice::Apology { number, response });
        });
    }

    /// Has the error response of a deadline delivered, unless the final one has been made.
    fn apologise(&mut self, number: u64, mut response: Response) {
        let in_lanes = self.lanes.iter_mut().filter_map(|(_, visitor)| visitor.as_mut());
        let mut visitors = in_lanes.chain(&mut self.waiting);
        let Some(visitor) = visitors.find(|visitor| visitor.number == number) else { return };
        let (handed_over, earlier) = channel();
        response.supersedes = visitor.supersedes.take();
        visitor.supersedes = Some(response.digest());
        visitor.earlier = Some(earlier);
        let (receipt, turn) = (visitor.receipt.clone(), Turn::Interim { handed_over });
        let _ = self.doors.answers.send(Answered { receipt, response, turn });
    }

    fn hand_out(&mut self) {
        let done = Rc::clone(&self.done);
        for Said { lane, time, response } in done.borrow_mut().drain(..) {
            match response.verdict {
                Verdict::Unfinished => self.pass_on(lane, time, response),
                Verdict::Complete | Verdict::Failed => self.let_out(lane, response),
            }
        }
    }

    /// What is said of a request may come after its answer, when another one is in its lane.
    fn pass_on(&self, lane: usize, time: u64, said: Response) {
        if let Some(visitor) = self.lanes[lane].1.as_ref().filter(|visitor| visitor.began < time) {
            self.have_apology_made(visitor.number, visitor.request(), said);
        }
    }

    fn let_out(&mut self, lane: usize, mut response: Response) {
        let visitor = self.lanes[lane].1.take().expect("a lane answers what it was given");
        self.idle.push_back(lane);
        response.supersedes = visitor.supersedes;
        let turn = Turn::Final { earlier: visitor.earlier };
        // The one who delivers outlives the workers.
        let _ = self.doors.answers.send(Answered { receipt: visitor.receipt, response, turn });
    }
}

/// Each order has a time of its own. Without moving on it would not leave this worker.
fn order(inlet: &mut Inlet, order: Order) {
    inlet.send(order);
    inlet.advance_to(inlet.time() + 1);
}
