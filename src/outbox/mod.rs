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
//! | `shipment` | a response on its way to all destinations |
//! | `queue` | the queue and the threads of one destination |
//! | `policy`, `window`, `clock` | when it is tried |

mod clock;
mod forward;
mod policy;
mod queue;
mod shipment;
mod window;

pub use clock::Clock;
pub use forward::Forward;
pub use policy::Policy;
pub use window::Window;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::admission::{Delivery, DeliveryTrouble, Destination, DestinationReach};
use crate::dataflow::Response;
use crate::engine::{Parcel, Sink};
use crate::journal::Journal;
use crate::step::{Digest, Request};

use queue::Queue;
use shipment::Shipment;

/// What the outbox tells of each response.
#[derive(Debug)]
pub enum Event<'a> {
    /// The response, or what became of it, could not be written at a local destination; with `wait` it is
    /// tried again after that.
    NotWritten { request: &'a Request, error: &'a str, wait: Option<Duration> },
    /// A destination does not have all files yet; it is tried again after a while.
    Delayed { request: &'a Request, delivery: &'a Delivery, wait: Duration },
    /// A destination has answered for all files, or nothing more is done for them, for good or for now.
    Forwarded { request: &'a Request, delivery: &'a Delivery },
    /// All is done for this request: what it came with is no longer needed.
    /// `place` is where a person finds the response on this machine, `deliveries` are those to remote
    /// destinations.
    Answered {
        request: &'a Request,
        response: &'a Response,
        place: Option<&'a Path>,
        deliveries: &'a [Delivery],
    },
}

/// Who wants to know. Called from many threads.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// How an outbox works.
pub struct Setup {
    /// In their order; local ones come before remote ones. Their names differ.
    pub destinations: Vec<Forward>,
    /// How long to wait before each further try to write beside a response what became of it.
    pub waits: Vec<Duration>,
    /// Remembers what became of each destination.
    pub journal: Arc<Journal>,
    pub clock: Clock,
    pub tell: Tell,
}

/// Delivers each response to every destination.
pub struct Outbox {
    context: Arc<Context>,
    queues: Vec<Queue>,
    /// What is on its way, by request.
    shipments: Mutex<HashMap<Digest, Weak<Shipment>>>,
}

/// What all deliveries need.
struct Context {
    destinations: Vec<Arc<dyn Destination>>,
    journal: Arc<Journal>,
    waits: Vec<Duration>,
    clock: Clock,
    tell: Tell,
}

impl Outbox {
    /// # Errors
    /// If the threads of the destinations cannot be started.
    pub fn open(setup: Setup) -> io::Result<Outbox> {
        let Setup { destinations: forwards, waits, journal, clock, tell } = setup;
        let destinations = forwards.iter().map(|one| Arc::clone(&one.destination)).collect();
        let context = Arc::new(Context { destinations, journal, waits, clock, tell });
        let queues = forwards.into_iter().enumerate();
        let queues = queues.map(|(index, one)| Queue::open(index, one, Arc::clone(&context)));
        let queues = queues.collect::<io::Result<_>>()?;
        Ok(Outbox { context, queues, shipments: Mutex::default() })
    }

    /// The folder in which a person finds the response to a request, if there is one on this machine.
    pub fn place(&self, request: &Request) -> Option<PathBuf> {
        self.context.local().find_map(|(_, local)| local.place(request))
    }

    /// Has the response to a request tried at once where it waits for its next try.
    pub fn hurry(&self, request: Digest) {
        self.queues.iter().for_each(|queue| queue.hurry(request));
    }

    /// Waits until every response is delivered or has had its quick tries. What waits for a later time
    /// than that is let go of: the next process goes on with it.
    pub fn drain(&self) {
        self.queues.iter().for_each(Queue::close);
        self.queues.iter().for_each(Queue::wait);
    }

    /// An earlier response to the same request, that of a deadline, gives its place to this one.
    fn supersede(&self, request: Digest) {
        let mut shipments = self.shipments.lock().unwrap_or_else(PoisonError::into_inner);
        shipments.retain(|_, shipment| shipment.strong_count() > 0);
        if let Some(earlier) = shipments.remove(&request).and_then(|earlier| earlier.upgrade()) {
            earlier.supersede();
        }
    }

    fn remember(&self, request: Digest, shipment: &Arc<Shipment>) {
        let mut shipments = self.shipments.lock().unwrap_or_else(PoisonError::into_inner);
        shipments.insert(request, Arc::downgrade(shipment));
    }
}

impl Sink for Outbox {
    fn hurry(&self, request: Digest) {
        Outbox::hurry(self, request);
    }

    fn drain(&self) {
        Outbox::drain(self);
    }

    fn deliver(&self, parcel: Parcel) {
        let request = parcel.request().id;
        self.supersede(request);
        let shipment = Arc::new(Shipment::new(parcel, &self.context));
        self.remember(request, &shipment);
        let (local, remote): (Vec<&Queue>, Vec<&Queue>) =
            self.queues.iter().partition(|queue| queue.reach() == DestinationReach::Local);
        local.iter().for_each(|queue| queue.put_first(&shipment));
        remote.iter().for_each(|queue| queue.put(&shipment));
        if self.queues.is_empty() {
            shipment.finish(&self.context);
        }
    }
}

impl Context {
    /// The destinations on this machine, with their numbers.
    fn local(&self) -> impl Iterator<Item = (usize, &Arc<dyn Destination>)> {
        let all = self.destinations.iter().enumerate();
        all.filter(|(_, destination)| destination.reach() == DestinationReach::Local)
    }

    /// Of the deliveries to all destinations those to remote ones.
    fn remote(&self, deliveries: &[Delivery]) -> Vec<Delivery> {
        let all = self.destinations.iter().zip(deliveries);
        let remote = all.filter(|(destination, _)| destination.reach() == DestinationReach::Remote);
        remote.map(|(_, delivery)| delivery.clone()).collect()
    }

    /// A disk that is full may have room again in a moment.
    fn patiently(&self, write: impl Fn() -> Result<(), DeliveryTrouble>) -> Result<(), DeliveryTrouble> {
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
