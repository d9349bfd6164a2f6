//! The scheduler, on the first worker: it assigns requests to idle lanes, passes cancellations and deadlines
//! on to them, and hands their responses to the delivery threads.
//!
//! Each dataflow has queues and lanes of its own. One limit bounds the requests in work of all dataflows. Which of
//! the waiting requests begins next is the concern of `turn_order`: many requests of one dataflow never delay
//! another's. Requests of a paused dataflow are not begun. Those that wait for a process with a label do not count to the
//! limit for dataflows that need none, or whose processes are there.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Instant;

use timely::worker::Worker;

use crate::dataflow::{RequestPriority, Response, ResponseVerdict};
use crate::step::{Digest, Fault};

use super::answer_queue::{AnswerSender, AnswerTurn, AnsweredRequest};
use super::dataflow_queue::DataflowQueue;
use super::epoch::LaneOrder;
use super::event::{EngineEvent, tell};
use super::lane::{LaneInput, LaneResponse};
use super::lane_builder::LaneBuilder;
use super::pending_request::{PendingRequest, begin_here, order, remote_place};
use super::placement::RequestPlacement;
use super::queue::{RequestDeadline, RequestSubmission, SchedulerHandle, SchedulerMessage};
use super::remote_request::RemoteRequestKey;
use super::turn_order::{TurnCandidate, TurnOrder};

/// The scheduler's channels: messages from the queue, and responses to the delivery threads.
pub struct SchedulerChannels {
    pub messages: Receiver<SchedulerMessage>,
    pub answers: AnswerSender,
    pub scheduler: SchedulerHandle,
}

pub struct RequestScheduler<'a> {
    lanes: Vec<Lane>,
    /// One for each dataflow.
    queues: Vec<DataflowQueue>,
    order: TurnOrder,
    /// Whether a dataflow was paused when requests were let in last.
    has_paused: bool,
    in_work: usize,
    in_work_max: usize,
    /// The number of requests so far, which numbers them.
    count: u64,
    channels: SchedulerChannels,
    /// Where requests run, if there are other processes.
    placement: Option<RequestPlacement>,
    /// The builder of the lanes, with the state that the workers share of each dataflow.
    builder: &'a mut LaneBuilder,
}

struct Lane {
    input: LaneInput,
    dataflow: usize,
    current: Option<PendingRequest>,
}

impl<'a> RequestScheduler<'a> {
    pub fn new(
        channels: SchedulerChannels,
        in_work_max: usize,
        placement: Option<RequestPlacement>,
        builder: &'a mut LaneBuilder,
    ) -> Self {
        let (lanes, queues) = (Vec::new(), Vec::new());
        RequestScheduler {
            lanes,
            queues,
            order: TurnOrder::default(),
            has_paused: false,
            in_work: 0,
            in_work_max,
            count: 0,
            channels,
            placement,
            builder,
        }
    }

    pub fn serve(mut self, worker: &mut Worker) {
        self.extend(worker);
        let mut more = true;
        loop {
            more &= self.hear(worker);
            self.admit();
            if !more && self.lanes.iter().all(|lane| lane.current.is_none()) {
                return;
            }
            // A sender puts its message into the channel before it wakes this thread, so none is missed.
            worker.step_or_park(None);
            self.hand_out();
        }
    }

    /// Adds the lanes of new dataflows.
    fn extend(&mut self, worker: &mut Worker) {
        for (dataflow, input) in self.builder.build(worker) {
            self.queues.resize_with(self.queues.len().max(dataflow + 1), DataflowQueue::default);
            self.queues[dataflow].idle.push_back(self.lanes.len());
            self.lanes.push(Lane { input, dataflow, current: None });
        }
    }

    /// Processes all messages. Returns whether more requests may come.
    fn hear(&mut self, worker: &mut Worker) -> bool {
        loop {
            match self.channels.messages.try_recv() {
                Ok(SchedulerMessage::Submitted { dataflow, submission, since }) => {
                    if dataflow >= self.queues.len() {
                        self.extend(worker);
                    }
                    self.receive(dataflow, submission, since)
                }
                Ok(SchedulerMessage::Changed) => {}
                Ok(SchedulerMessage::Cancel { request, version }) => self.cancel(request, version),
                Ok(SchedulerMessage::Hurry(request)) => self.hurry(request),
                Ok(SchedulerMessage::RemoteAnswered { ticket, response }) => {
                    self.take_answer(ticket, response)
                }
                Ok(SchedulerMessage::RemoteInterim { ticket, response }) => {
                    self.take_interim(ticket, response)
                }
                Ok(SchedulerMessage::RemoteRefused { ticket }) => self.take_back(ticket),
                Ok(SchedulerMessage::ProcessesChanged) => self.follow_processes(),
                Ok(SchedulerMessage::Overdue(number)) => self.overdue(number),
                Ok(SchedulerMessage::InterimMade { number, response }) => {
                    self.deliver_interim(number, response)
                }
                Ok(SchedulerMessage::Closed) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn receive(&mut self, dataflow: usize, submission: RequestSubmission, since: Instant) {
        self.count += 1;
        let RequestSubmission { receipt, version: _, refused, deadline, supersedes, priority } = submission;
        let shared = &self.builder.shared[dataflow];
        let mut due = None;
        let deadline = shared.work.dataflow.deadline.and_then(|after| {
            let left = match deadline {
                RequestDeadline::OfDataflow => after,
                RequestDeadline::Within(left) => left,
                RequestDeadline::Passed => return None,
            };
            let (scheduler, number) = (self.channels.scheduler.clone(), self.count);
            let left = left.saturating_sub(since.elapsed());
            due = Some(Instant::now() + left);
            Some((after, shared.timer.after(left, move || scheduler.send(SchedulerMessage::Overdue(number)))))
        });
        let queue = &mut self.queues[dataflow];
        let line = if refused.is_some() { &mut queue.ended } else { &mut queue.waiting[priority as usize] };
        line.push_back(PendingRequest {
            number: self.count,
            dataflow,
            receipt,
            priority,
            refused,
            began: 0,
            deadline,
            supersedes,
            earlier: None,
            due,
            is_cancelled: false,
            place: None,
            memory: 0,
            losses: 0,
            ended_before: 0,
            gave_up: None,
        });
    }

    fn admit(&mut self) {
        while let Some((index, pending)) = self.next() {
            self.in_work += usize::from(!pending.is_ended());
            let Lane { dataflow, current, .. } = &mut self.lanes[index];
            let work = &self.builder.shared[*dataflow].work;
            let event = EngineEvent::Accepted { request: pending.request(), dataflow: &work.dataflow };
            tell(&*work.observer, &event);
            if !pending.receipt.has_begun() {
                work.memories.began(work.memory_key(pending.request()));
            }
            *current = Some(pending);
            self.begin(index);
        }
        self.count_held();
    }

    /// Begins the request of a lane, in this process or another.
    fn begin(&mut self, index: usize) {
        let Lane { input, dataflow, current } = &mut self.lanes[index];
        let Some(pending) = current else { return };
        if let Some(placement) = &mut self.placement {
            let work = &self.builder.shared[*dataflow].work;
            pending.place = remote_place(placement, work, pending);
            if pending.place.is_some() {
                return;
            }
        }
        begin_here(input, pending);
    }

    /// Counts the requests of paused dataflows: nobody waits for them when flow is to end.
    fn count_held(&mut self) {
        let has_paused = self.queues.iter().enumerate().any(|(dataflow, _)| self.is_paused(dataflow));
        if !has_paused && !self.has_paused {
            return;
        }
        self.has_paused = has_paused;
        for (dataflow, queue) in self.queues.iter().enumerate() {
            let waiting = queue.waiting.iter().map(VecDeque::len).sum();
            let held = if self.is_paused(dataflow) { waiting } else { 0 };
            self.builder.shared[dataflow].slots.hold(held);
        }
    }

    fn is_paused(&self, dataflow: usize) -> bool {
        let work = &self.builder.shared[dataflow].work;
        work.control.pauses.is_dataflow_paused(&work.dataflow.name)
    }

    /// The next waiting request, with a lane for it. Requests that only get an error response come first; the
    /// others follow while the limit allows.
    fn next(&mut self) -> Option<(usize, PendingRequest)> {
        self.next_ended().or_else(|| self.next_to_work())
    }

    fn next_ended(&mut self) -> Option<(usize, PendingRequest)> {
        self.queues.iter_mut().find_map(|DataflowQueue { idle, ended, .. }| {
            let lane = (!ended.is_empty()).then(|| idle.pop_front()).flatten()?;
            ended.pop_front().map(|pending| (lane, pending))
        })
    }

    fn next_to_work(&mut self) -> Option<(usize, PendingRequest)> {
        let is_full = self.in_work >= self.in_work_max;
        if is_full && self.in_work - self.waiting_for_processes() >= self.in_work_max {
            return None;
        }
        let mut candidates = Vec::new();
        let mut places = Vec::new();
        for (index, queue) in self.queues.iter().enumerate() {
            // For a moment, requests that only get an error response may occupy all of its lanes.
            if queue.idle.is_empty() || self.is_paused(index) {
                continue;
            }
            let work = &self.builder.shared[index].work;
            // What would only wait, too, gets no room that others could use. The last lane is for requests that are only
            // to be answered.
            if is_full && (queue.idle.len() <= 1 || work.lacks_process()) {
                continue;
            }
            let dataflow = &work.dataflow;
            let (account, share) = (dataflow.account(), dataflow.share());
            for priority in RequestPriority::ALL {
                if let Some(PendingRequest { number, .. }) = queue.waiting[priority as usize].front() {
                    candidates.push(TurnCandidate { priority, account, share, number: *number });
                    places.push((index, priority));
                }
            }
        }
        let (dataflow, priority) = places[self.order.choose(&candidates)?];
        let queue = &mut self.queues[dataflow];
        let lane = queue.idle.pop_front()?;
        queue.waiting[priority as usize].pop_front().map(|pending| (lane, pending))
    }

    /// The requests in work of which a step waits until a process with its label is there. They hold up no other.
    fn waiting_for_processes(&self) -> usize {
        let steps = self.builder.shared.first().and_then(|shared| shared.work.steps.as_ref());
        steps.map_or(0, |steps| steps.requests_waiting().min(self.in_work))
    }

    /// Puts a waiting request among the urgent ones. Its slot stays that of its own priority.
    fn hurry(&mut self, request: Digest) {
        for queue in &mut self.queues {
            for priority in [RequestPriority::Normal, RequestPriority::OffPeak] {
                let line = std::mem::take(&mut queue.waiting[priority as usize]);
                let is_it = |pending: &PendingRequest| pending.request().id == request;
                let (hurried, others): (VecDeque<_>, VecDeque<_>) = line.into_iter().partition(is_it);
                queue.waiting[priority as usize] = others;
                queue.waiting[RequestPriority::Urgent as usize].extend(hurried);
            }
        }
    }

    /// Cancels a request. One that waits is not begun, and gets its error response at once.
    fn cancel(&mut self, request: Digest, version: Option<Digest>) {
        for (queue, shared) in self.queues.iter_mut().zip(&self.builder.shared) {
            if version.is_some_and(|version| version != shared.work.dataflow.digest()) {
                continue;
            }
            for line in &mut queue.waiting {
                let is_it = |pending: &PendingRequest| pending.request().id == request;
                let (cancelled, others): (VecDeque<_>, VecDeque<_>) =
                    std::mem::take(line).into_iter().partition(is_it);
                *line = others;
                let refused = |pending| PendingRequest { refused: Some(Fault::cancelled()), ..pending };
                queue.ended.extend(cancelled.into_iter().map(refused));
            }
        }
        for Lane { input, current, dataflow } in &mut self.lanes {
            let digest = self.builder.shared[*dataflow].work.dataflow.digest();
            let is_it = |pending: &&mut PendingRequest| {
                pending.request().id == request && version.is_none_or(|version| version == digest)
            };
            let Some(pending) = current.as_mut().filter(is_it) else { continue };
            pending.is_cancelled = true;
            match (&pending.place, &self.placement) {
                (Some(place), Some(placement)) => placement.cancel(place),
                (Some(_), None) | (None, _) => order(input, LaneOrder::Cancel),
            }
        }
    }

    fn overdue(&mut self, number: u64) {
        let after = |pending: &PendingRequest| pending.deadline.as_ref().map(|(after, _)| *after);
        let mut waiting = self.queues.iter().flat_map(DataflowQueue::all);
        if let Some(pending) = waiting.find(|pending| pending.number == number) {
            let Some(after) = after(pending) else { return };
            let dataflow = &self.builder.shared[pending.dataflow].work.dataflow;
            let awaited = match !pending.is_ended() && self.is_paused(pending.dataflow) {
                true => "its dataflow, which is paused",
                false => "a free lane",
            };
            let said = dataflow.not_begun(pending.request(), after, awaited);
            return self.make_interim(pending, said);
        }
        // A process that runs a request for this one knows its deadline.
        let in_lane = |pending: &&PendingRequest| pending.number == number && pending.place.is_none();
        for Lane { input, current, .. } in &mut self.lanes {
            if let Some(after) = current.as_ref().filter(in_lane).and_then(after) {
                order(input, LaneOrder::Overdue(after));
            }
        }
    }

    /// Makes an interim response on a thread of the pool: the failure part may take long.
    fn make_interim(&self, pending: &PendingRequest, said: Response) {
        let shared = &self.builder.shared[pending.dataflow];
        let (number, request) = (pending.number, Arc::clone(pending.request()));
        let (work, scheduler) = (Arc::clone(&shared.work), self.channels.scheduler.clone());
        shared.submit(work.dataflow.nodes.len(), 0, move |_| {
            let response = work.respond_overdue(&request, said);
            scheduler.send(SchedulerMessage::InterimMade { number, response });
        });
    }

    /// Has an interim response delivered, unless the final one has been made meanwhile.
    fn deliver_interim(&mut self, number: u64, mut response: Response) {
        let in_lanes = self.lanes.iter_mut().filter_map(|lane| lane.current.as_mut());
        let waiting = self.queues.iter_mut().flat_map(DataflowQueue::all_mut);
        let Some(pending) = in_lanes.chain(waiting).find(|pending| pending.number == number) else { return };
        let (handed_over, earlier) = channel();
        response.supersedes = pending.supersedes.take();
        pending.supersedes = Some(response.digest());
        pending.earlier = Some(earlier);
        let (dataflow, receipt, priority) = (pending.dataflow, pending.receipt.clone(), pending.priority);
        let turn = AnswerTurn::Interim { handed_over };
        self.channels.answers.send([AnsweredRequest { dataflow, receipt, priority, response, turn }]);
    }

    fn hand_out(&mut self) {
        let done = Rc::clone(&self.builder.done);
        let mut done = done.borrow_mut();
        let mut answers = Vec::with_capacity(done.len());
        for LaneResponse { lane, time, response } in done.drain(..) {
            match response.verdict {
                ResponseVerdict::Unfinished => self.pass_on(lane, time, response),
                ResponseVerdict::Complete
                | ResponseVerdict::CompleteWithReservations
                | ResponseVerdict::Failed => {
                    answers.push(self.let_out(lane, response));
                }
            }
        }
        if !answers.is_empty() {
            self.channels.answers.send(answers);
        }
    }

    /// Makes an interim response, unless another request has taken the lane: it may arrive after the final
    /// one.
    fn pass_on(&self, lane: usize, time: u64, said: Response) {
        if let Some(pending) = self.lanes[lane].current.as_ref().filter(|pending| pending.began < time) {
            self.make_interim(pending, said);
        }
    }

    fn let_out(&mut self, lane: usize, mut response: Response) -> AnsweredRequest {
        let pending = self.lanes[lane].current.take().expect("a lane answers what it was given");
        self.queues[pending.dataflow].idle.push_back(lane);
        self.in_work -= usize::from(!pending.is_ended());
        self.placement.iter_mut().for_each(|placement| placement.end(pending.place, pending.memory));
        response.supersedes = pending.supersedes;
        let turn = AnswerTurn::Final { earlier: pending.earlier, again: self.channels.answers.clone() };
        let PendingRequest { dataflow, receipt, priority, .. } = pending;
        AnsweredRequest { dataflow, receipt, priority, response, turn }
    }
}

/// Requests in other processes.
impl RequestScheduler<'_> {
    /// The lane of the request that has this ticket now.
    fn lane_of(&self, ticket: u64) -> Option<usize> {
        let has_it = |pending: &PendingRequest| pending.place.is_some_and(|place| place.ticket == ticket);
        self.lanes.iter().position(|lane| lane.current.as_ref().is_some_and(has_it))
    }

    fn take_answer(&mut self, ticket: u64, response: Response) {
        if let Some(lane) = self.lane_of(ticket) {
            let answered = self.let_out(lane, response);
            self.channels.answers.send([answered]);
        }
    }

    fn take_interim(&mut self, ticket: u64, response: Response) {
        let pending = self.lane_of(ticket).and_then(|lane| self.lanes[lane].current.as_ref());
        if let Some(number) = pending.map(|pending| pending.number) {
            self.deliver_interim(number, response);
        }
    }

    /// Runs a request here that another process cannot run.
    fn take_back(&mut self, ticket: u64) {
        let Some(lane) = self.lane_of(ticket) else { return };
        let Some(placement) = &mut self.placement else { return };
        let Lane { input, current, .. } = &mut self.lanes[lane];
        let Some(pending) = current else { return };
        placement.end(pending.place.take(), pending.memory);
        placement.place_here(pending.memory);
        begin_here(input, pending);
    }

    /// Begins the requests of lost processes elsewhere, and has processes that came back stop what is in work
    /// elsewhere.
    fn follow_processes(&mut self) {
        for index in 0..self.lanes.len() {
            let Lane { current, dataflow, .. } = &mut self.lanes[index];
            let (Some(placement), Some(pending)) = (&mut self.placement, current) else { continue };
            let Some(place) = pending.place.take_if(|place| !placement.is_there(place)) else { continue };
            placement.end(Some(place), pending.memory);
            let memories = &self.builder.shared[*dataflow].work.memories;
            let ended = memories.ended_elsewhere(place.key.memory());
            // Only its connection was lost, if the process still has the request.
            if !placement.is_held(&place) {
                let is_futile = ended == std::mem::replace(&mut pending.ended_before, ended);
                pending.losses = if is_futile { pending.losses + 1 } else { 1 };
                memories.taken_up(place.key.number);
            }
            self.begin(index);
        }
        let in_work = |key: &RemoteRequestKey| {
            let is_it = |lane: &Lane| {
                let version = self.builder.shared[lane.dataflow].work.dataflow.digest();
                let current = lane.current.as_ref().map(|pending| pending.receipt.number());
                current == Some(Some(key.number)) && version == key.version
            };
            self.lanes.iter().any(is_it)
        };
        self.placement.iter().for_each(|placement| placement.release(in_work));
    }
}
