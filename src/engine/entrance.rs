//! Where requests come in, and wait while too many are under way.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use crate::dataflow::Response;
use crate::journal::{History, Receipt};
use crate::step::Fault;

use super::exit::Answered;
use super::job::Work;
use super::places::Places;

pub struct Entrance {
    /// Taken only when the entrance is dropped.
    doors: Option<(Sender<Submitted>, Sender<Answered>)>,
    /// The first worker, to be woken.
    worker: Arc<OnceLock<Thread>>,
    places: Arc<Places>,
    work: Arc<Work>,
}

/// A request on its way to a lane.
pub struct Submitted {
    pub receipt: Receipt,
    pub refused: Option<Fault>,
}

impl Entrance {
    /// An entrance and its other end. Beside the requests in lanes as many may wait or be delivered.
    pub(super) fn new(
        lanes: NonZero<usize>,
        work: Arc<Work>,
        answers: Sender<Answered>,
    ) -> (Entrance, Receiver<Submitted>) {
        let (requests, incoming) = channel();
        let places = Arc::new(Places::new(lanes.get().saturating_mul(2)));
        (Entrance { doors: Some((requests, answers)), worker: Arc::default(), places, work }, incoming)
    }

    /// Hands a request over. It waits while too many are under way.
    pub fn submit(&self, receipt: Receipt) {
        self.resume(receipt, None);
    }

    /// Hands a request over of which there is a history: what is finished is not done again.
    pub fn resume(&self, receipt: Receipt, history: Option<&History>) {
        self.places.enter();
        if let Some(number) = receipt.number() {
            self.work.memories.open(receipt.request().id, number, history);
        }
        self.send(Submitted { receipt, refused: None });
    }

    /// Hands a request over that is not to be begun: its response is an error response.
    pub fn refuse(&self, receipt: Receipt, fault: Fault) {
        self.places.enter();
        self.send(Submitted { receipt, refused: Some(fault) });
    }

    fn send(&self, submitted: Submitted) {
        // The workers stay until the entrance is closed.
        if let Some((requests, _)) = &self.doors {
            let _ = requests.send(submitted);
        }
        self.worker.wait().unpark();
    }

    /// Hands over a response that was made before, to be delivered.
    pub fn deliver(&self, receipt: Receipt, response: Response) {
        self.places.enter();
        if let Some((_, answers)) = &self.doors {
            let _ = answers.send(Answered { receipt, response, recorded: true });
        }
    }

    pub(super) fn worker(&self) -> Arc<OnceLock<Thread>> {
        Arc::clone(&self.worker)
    }

    pub(super) fn places(&self) -> Arc<Places> {
        Arc::clone(&self.places)
    }
}

/// Says that no more requests come.
impl Drop for Entrance {
    fn drop(&mut self) {
        self.doors = None;
        if let Some(worker) = self.worker.get() {
            worker.unpark();
        }
    }
}
