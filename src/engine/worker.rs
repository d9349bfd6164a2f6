//! What a worker does. All of them build the lanes and run them; the first one also lets requests
//! into idle lanes and takes the answers out.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use timely::worker::Worker;

use crate::journal::Receipt;

use super::entrance::Submitted;
use super::epoch::Admitted;
use super::event::{Event, tell};
use super::exit::Answered;
use super::lane::{Done, Inlet, lane};
use super::shared::Shared;

/// The first worker's ends of the channels to those who bring requests and take answers.
pub struct Doors {
    pub requests: Receiver<Submitted>,
    pub answers: Sender<Answered>,
}

/// Runs a worker until no more requests come and all are answered.
pub fn work(worker: &mut Worker, lanes: usize, shared: &Arc<Shared>, doors: Option<Doors>) {
    let done = Done::default();
    let inlets: Vec<Inlet> = (0..lanes).map(|index| lane(worker, index, shared, &done)).collect();
    // A worker without doors lets go of its inlets at once: only the first one's keep the lanes open.
    if let Some(doors) = doors {
        Porter::new(inlets, doors, done, shared).serve(worker);
    } else {
        drop(inlets);
    }
    while worker.has_dataflows() {
        worker.step_or_park(None);
    }
}

/// Leads requests into idle lanes.
struct Porter<'a> {
    lanes: Vec<(Inlet, Option<Receipt>)>,
    /// In turn, so that none of them is served better.
    idle: VecDeque<usize>,
    waiting: VecDeque<Submitted>,
    doors: Doors,
    done: Done,
    shared: &'a Shared,
}

impl<'a> Porter<'a> {
    fn new(inlets: Vec<Inlet>, doors: Doors, done: Done, shared: &'a Shared) -> Self {
        let idle = (0..inlets.len()).collect();
        let lanes = inlets.into_iter().map(|inlet| (inlet, None)).collect();
        Porter { lanes, idle, waiting: VecDeque::new(), doors, done, shared }
    }

    fn serve(mut self, worker: &mut Worker) {
        loop {
            let more = self.take_in();
            self.admit();
            if !more && self.idle.len() == self.lanes.len() {
                return;
            }
            // Whoever brings a request wakes this thread after it has put it into the channel.
            worker.step_or_park(None);
            self.hand_out();
        }
    }

    /// Whether more requests may come.
    fn take_in(&mut self) -> bool {
        loop {
            match self.doors.requests.try_recv() {
                Ok(request) => self.waiting.push_back(request),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn admit(&mut self) {
        while !self.idle.is_empty()
            && let Some(Submitted { receipt, refused }) = self.waiting.pop_front()
        {
            let index = self.idle.pop_front().expect("it was just seen");
            let request = receipt.request();
            let work = &self.shared.work;
            tell(&*work.observer, &Event::Accepted { request });
            work.memories.began(request.id);
            let (inlet, current) = &mut self.lanes[index];
            inlet.send(Admitted { request: Arc::clone(request), refused });
            inlet.advance_to(inlet.time() + 1);
            *current = Some(receipt);
        }
    }

    fn hand_out(&mut self) {
        let done = Rc::clone(&self.done);
        for (index, response) in done.borrow_mut().drain(..) {
            let receipt = self.lanes[index].1.take().expect("a lane answers what it was given");
            self.idle.push_back(index);
            // The one who delivers outlives the workers.
            let _ = self.doors.answers.send(Answered { receipt, response, recorded: false });
        }
    }
}
