//! Where requests come in, and wait while too many are under way.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use crate::step::Request;
use crate::store::Store;

use super::places::Places;

pub struct Entrance {
    /// Taken only when the entrance is dropped.
    requests: Option<Sender<Arc<Request>>>,
    /// The first worker, to be woken.
    worker: Arc<OnceLock<Thread>>,
    places: Arc<Places>,
    store: Arc<Store>,
}

impl Entrance {
    /// An entrance and its other end. Beside the requests in lanes as many may wait or be delivered.
    pub(super) fn new(lanes: NonZero<usize>, store: Arc<Store>) -> (Entrance, Receiver<Arc<Request>>) {
        let (requests, incoming) = channel();
        let places = Arc::new(Places::new(lanes.get().saturating_mul(2)));
        (Entrance { requests: Some(requests), worker: Arc::default(), places, store }, incoming)
    }

    /// Hands a request over. It waits while too many are under way.
    pub fn submit(&self, request: Request) {
        self.places.enter();
        self.store.open(request.id);
        // The workers stay until the entrance is closed.
        if let Some(requests) = &self.requests {
            let _ = requests.send(Arc::new(request));
        }
        self.worker.wait().unpark();
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
        self.requests = None;
        if let Some(worker) = self.worker.get() {
            worker.unpark();
        }
    }
}
