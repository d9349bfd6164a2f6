//! The delivery of responses to their destinations.
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
//! | `local_state`, `local_destinations` | how the destinations on this machine stand |
//! | `policy`, `window`, `clock` | when it is tried |

mod clock;
mod context;
mod event;
mod forward;
mod local_destinations;
mod local_state;
mod policy;
mod queue;
mod response_delivery;
mod window;

pub use clock::DeliveryClock;
pub use event::{OutboxEvent, OutboxObserver};
pub use forward::DestinationService;
pub use local_destinations::LocalDestinations;
pub use local_state::LocalDestinationState;
pub use policy::DeliveryPolicy;
pub use window::DeliveryWindow;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::admission::{Destination, DestinationReach};
use crate::engine::{EngineControl, PendingDelivery, ResponseSink};
use crate::journal::Journal;
use crate::step::{Digest, Request};

use context::OutboxContext;
use queue::DestinationQueue;
use response_delivery::ResponseDelivery;

/// The settings of an outbox.
pub struct OutboxSetup {
    /// The destinations, local ones before remote ones. Their names differ.
    pub destinations: Vec<DestinationService>,
    /// The delays before further tries to write `delivery.json` beside a response.
    pub waits: Vec<Duration>,
    /// The journal, which records the answers of destinations.
    pub journal: Arc<Journal>,
    pub clock: DeliveryClock,
    pub tell: OutboxObserver,
    /// The control that says which destinations are paused.
    pub control: Arc<EngineControl>,
}

/// Delivers each response to every destination.
pub struct Outbox {
    context: Arc<OutboxContext>,
    queues: Vec<DestinationQueue>,
    /// Deliveries under way, by request.
    response_deliveries: Mutex<HashMap<Digest, Weak<ResponseDelivery>>>,
}

impl Outbox {
    /// # Errors
    /// If the threads of the destinations cannot be started.
    pub fn open(setup: OutboxSetup) -> io::Result<Outbox> {
        let OutboxSetup { destinations: forwards, waits, journal, clock, tell, control } = setup;
        let destinations = forwards.iter().map(|one| Arc::clone(&one.destination)).collect();
        let context = Arc::new(OutboxContext { destinations, journal, waits, clock, tell, control });
        let queues = forwards.into_iter().enumerate();
        let queues = queues.map(|(index, one)| DestinationQueue::open(index, one, Arc::clone(&context)));
        let queues = queues.collect::<io::Result<_>>()?;
        Ok(Outbox { context, queues, response_deliveries: Mutex::default() })
    }

    /// An outbox with one destination and the default policy ([`DeliveryPolicy::default`]).
    ///
    /// # Errors
    /// If the threads of the destination cannot be started.
    pub fn to(destination: Arc<dyn Destination>, journal: &Arc<Journal>) -> io::Result<Outbox> {
        let policy = DeliveryPolicy::default();
        Outbox::open(OutboxSetup {
            waits: policy.quick.clone(),
            destinations: vec![DestinationService { destination, policy, alias: None }],
            journal: Arc::clone(journal),
            clock: DeliveryClock::usual(),
            tell: Arc::new(|_| {}),
            control: Arc::default(),
        })
    }

    /// The folder of the response of a dataflow to a request, if there is one on this machine.
    pub fn place(&self, request: &Request, dataflow: &str) -> Option<PathBuf> {
        self.context.local().find_map(|(_, local)| local.place(request, dataflow))
    }

    /// A view of the destinations on this machine.
    pub fn local_destinations(&self) -> LocalDestinations {
        let local = self.queues.iter().filter(|queue| queue.reach() == DestinationReach::Local);
        LocalDestinations(local.map(DestinationQueue::shared).collect())
    }

    /// Begins the next attempt for the response to a request at once.
    pub fn expedite(&self, request: Digest) {
        self.queues.iter().for_each(|queue| queue.expedite(request));
    }

    /// Waits until every response is delivered or has had its quick attempts. A response that waits for a
    /// later attempt is left to the next process.
    pub fn drain(&self) {
        self.queues.iter().for_each(DestinationQueue::close);
        self.queues.iter().for_each(DestinationQueue::wait);
    }

    /// Ends the delivery of the interim response to a request: its final response comes.
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
