//! The way of responses to their destinations.
//!
//! A response goes to the local destinations first, so that it is safe whatever the others do. Then it
//! stands in the queue of each remote destination. What became of it there stands in the journal, answer by
//! answer: a process that takes a response up sends only what no answer is recorded for. The request is
//! answered when all destinations are done with it. What a destination is, and how it sends and verifies, is
//! the concern of [`Destination`].
//!
//! | file | what |
//! |---|---|
//! | `forward` | one try to deliver a response to a destination |
//! | `response_delivery` | a response on its way to all destinations |
//! | `queue` | the queue and the threads of one destination |
//! | `policy`, `window`, `clock` | when it is tried |

mod clock;
mod forward;
mod policy;
mod queue;
mod response_delivery;
mod window;

pub use clock::DeliveryClock;
pub use forward::DestinationService;
pub use policy::DeliveryPolicy;
pub use window::DeliveryWindow;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::admission::{DeliveryRecord, DeliveryTrouble, Destination, DestinationReach};
use crate::dataflow::Response;
use crate::engine::{PendingDelivery, ResponseSink};
use crate::journal::Journal;
use crate::step::{Digest, Request};

use queue::DestinationQueue;
use response_delivery::ResponseDelivery;

/// An event in the delivery of a response.
#[derive(Debug)]
pub enum OutboxEvent<'a> {
    /// The response, or what became of it, could not be written at a local destination; with `wait` it is
    /// tried again after that.
    NotWritten { request: &'a Request, error: &'a str, wait: Option<Duration> },
    /// A destination does not have all files yet; it is tried again after a while.
    Delayed { request: &'a Request, delivery: &'a DeliveryRecord, wait: Duration },
    /// A destination has answered for all files, or nothing more is done for them, for good or for now.
    Forwarded { request: &'a Request, delivery: &'a DeliveryRecord },
    /// All is done for this request: what it came with is no longer needed.
    /// `place` is where a person finds the response on this machine, `deliveries` are those to remote
    /// destinations.
    Answered {
        request: &'a Request,
        response: &'a Response,
        place: Option<&'a Path>,
        deliveries: &'a [DeliveryRecord],
    },
}

/// An observer of the outbox's events. Many threads call it.
pub type OutboxObserver = Arc<dyn Fn(&OutboxEvent) + Send + Sync>;

/// How an outbox works.
pub struct OutboxSetup {
    /// In their order; local ones come before remote ones. Their names differ.
    pub destinations: Vec<DestinationService>,
    /// How long to wait before each further try to write beside a response what became of it.
    pub waits: Vec<Duration>,
    /// Remembers what became of each destination.
    pub journal: Arc<Journal>,
    pub clock: DeliveryClock,
    pub tell: OutboxObserver,
}

/// Delivers each response to every destination.
pub struct Outbox {
    context: Arc<OutboxContext>,
    queues: Vec<DestinationQueue>,
    /// Deliveries under way, by request.
    response_deliveries: Mutex<HashMap<Digest, Weak<ResponseDelivery>>>,
}

/// Context that all deliveries share.
struct OutboxContext {
    destinations: Vec<Arc<dyn Destination>>,
    journal: Arc<Journal>,
    waits: Vec<Duration>,
    clock: DeliveryClock,
    tell: OutboxObserver,
}

impl Outbox {
    /// # Errors
    /// If the threads of the destinations cannot be started.
    pub fn open(setup: OutboxSetup) -> io::Result<Outbox> {
        let OutboxSetup { destinations: forwards, waits, journal, clock, tell } = setup;
        let destinations = forwards.iter().map(|one| Arc::clone(&one.destination)).collect();
        let context = Arc::new(OutboxContext { destinations, journal, waits, clock, tell });
        let queues = forwards.into_iter().enumerate();
        let queues = queues.map(|(index, one)| DestinationQueue::open(index, one, Arc::clone(&context)));
        let queues = queues.collect::<io::Result<_>>()?;
        Ok(Outbox { context, queues, response_deliveries: Mutex::default() })
    }

    /// The folder in which a person finds the response to a request, if there is one on this machine.
    pub fn place(&self, request: &Request) -> Option<PathBuf> {
        self.context.local().find_map(|(_, local)| local.place(request))
    }

    /// Has the response to a request tried at once where it waits for its next try.
    pub fn expedite(&self, request: Digest) {
        self.queues.iter().for_each(|queue| queue.expedite(request));
    }

    /// Waits until every response is delivered or has had its quick tries. What waits for a later time
    /// than that is let go of: the next process goes on with it.
    pub fn drain(&self) {
        self.queues.iter().for_each(DestinationQueue::close);
        self.queues.iter().for_each(DestinationQueue::wait);
    }

    /// An earlier response to the same request, that of a deadline, gives its place to this one.
    fn supersede(&self, request: Digest) {
        let mut response_deliveries = self.response_deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        response_deliveries.retain(|_, response_delivery| response_delivery.strong_count() > 0);
        if let Some(earlier) = response_deliveries.remove(&request).and_then(|earlier| earlier.upgrade()) {
            earlier.supersede();
        }
    }

    fn remember(&self, request: Digest, response_delivery: &Arc<ResponseDelivery>) {
        let mut response_deliveries = self.response_deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        response_deliveries.insert(request, Arc::downgrade(response_delivery));
    }
}

impl ResponseSink for Outbox {
    fn expedite(&self, request: Digest) {
        Outbox::expedite(self, request);
    }

    fn drain(&self) {
        Outbox::drain(self);
    }

    fn deliver(&self, pending_delivery: PendingDelivery) {
        let request = pending_delivery.request().id;
        self.supersede(request);
        let response_delivery = Arc::new(ResponseDelivery::new(pending_delivery, &self.context));
        self.remember(request, &response_delivery);
        let (local, remote): (Vec<&DestinationQueue>, Vec<&DestinationQueue>) =
            self.queues.iter().partition(|queue| queue.reach() == DestinationReach::Local);
        local.iter().for_each(|queue| queue.put_first(&response_delivery));
        remote.iter().for_each(|queue| queue.put(&response_delivery));
        if self.queues.is_empty() {
            response_delivery.finish(&self.context);
        }
    }
}

impl OutboxContext {
    /// The destinations on this machine, with their numbers.
    fn local(&self) -> impl Iterator<Item = (usize, &Arc<dyn Destination>)> {
        let all = self.destinations.iter().enumerate();
        all.filter(|(_, destination)| destination.reach() == DestinationReach::Local)
    }

    /// Of the deliveries to all destinations those to remote ones.
    fn remote(&self, deliveries: &[DeliveryRecord]) -> Vec<DeliveryRecord> {
        let all = self.destinations.iter().zip(deliveries);
        let remote = all.filter(|(destination, _)| destination.reach() == DestinationReach::Remote);
        remote.map(|(_, delivery)| delivery.clone()).collect()
    }

    /// A disk that is full may have room again in a moment.
    fn retry_while_full(
        &self,
        write: impl Fn() -> Result<(), DeliveryTrouble>,
    ) -> Result<(), DeliveryTrouble> {
        let mut written = write();
        let mut waits = self.waits.iter();
        while written.is_err()
            && let Some(wait) = waits.next()
        {
            std::thread::sleep(*wait);
            written = write();
        }
        written
    }
}
