//! Where responses go: a folder each, and from there on to their destinations.
//!
//! The folder comes first, so that a response is safe whatever a destination does. Then it stands in the
//! line of each destination. What became of it there stands in `delivery.json` beside it, and in the
//! journal, answer by answer: a process that takes a response up sends only what no answer is recorded
//! for. The request is answered when all destinations are done with it.
//!
//! | file | what |
//! |---|---|
//! | `folder` | a folder for each response |
//! | `forward`, `target` | a destination, and one try to deliver a response there |
//! | `delivery` | what became of a response at a destination |
//! | `shipment` | a response on its way to all destinations |
//! | `queue` | the line and the threads of one destination |
//! | `policy`, `window`, `clock` | when it is tried |

mod clock;
mod delivery;
mod folder;
mod forward;
mod policy;
mod queue;
mod shipment;
mod target;
mod window;

pub use clock::Clock;
pub use delivery::{Delivery, FileDelivery, FileState};
pub use folder::{Folder, FolderError};
pub use forward::{Forward, Verified, Verify};
pub use policy::Policy;
pub use target::Target;
pub use window::Window;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::dataflow::Response;
use crate::engine::{Parcel, Sink};
use crate::journal::Journal;
use crate::step::{Digest, Request};

use queue::Queue;
use shipment::Shipment;

/// What the outbox tells of each response.
#[derive(Debug)]
pub enum Event<'a> {
    /// The response, or what became of it, could not be written into its folder.
    NotWritten { request: &'a Request, error: FolderError },
    /// A destination does not have all files yet; it is tried again after a while.
    Delayed { request: &'a Request, delivery: &'a Delivery, wait: Duration },
    /// A destination has answered for all files, or nothing more is done for them, for good or for now.
    Forwarded { request: &'a Request, delivery: &'a Delivery },
    /// All is done for this request: what it came with is no longer needed.
    Answered { request: &'a Request, response: &'a Response, place: &'a Path, deliveries: &'a [Delivery] },
}

/// Who wants to know. Called from many threads.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// How an outbox works.
pub struct Setup {
    pub folder: Folder,
    /// How long to wait before each further try to write into the folder.
    pub waits: Vec<Duration>,
    pub destinations: Vec<Forward>,
    /// Remembers what became of each destination.
    pub journal: Arc<Journal>,
    pub clock: Clock,
    pub tell: Tell,
}

/// Delivers each response to a folder and to every destination.
pub struct Outbox {
    folder: Folder,
    context: Arc<Context>,
    names: Vec<String>,
    queues: Vec<Queue>,
    /// What is on its way, by request.
    shipments: Mutex<HashMap<Digest, Weak<Shipment>>>,
}

/// What all who deliver need.
struct Context {
    journal: Arc<Journal>,
    waits: Vec<Duration>,
    clock: Clock,
    tell: Tell,
}

impl Outbox {
    /// # Errors
    /// If the threads of the destinations cannot be started.
    pub fn open(setup: Setup) -> io::Result<Outbox> {
        let Setup { folder, waits, destinations, journal, clock, tell } = setup;
        let context = Arc::new(Context { journal, waits, clock, tell });
        let names = destinations.iter().map(|one| one.target.to_string()).collect();
        let queues = destinations.into_iter().enumerate();
        let queues = queues.map(|(index, one)| Queue::open(index, one, Arc::clone(&context)));
        let queues = queues.collect::<io::Result<_>>()?;
        Ok(Outbox { folder, context, names, queues, shipments: Mutex::default() })
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
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
        let request = Arc::clone(parcel.request());
        self.supersede(request.id);
        let write = || self.folder.write(&request, parcel.response(), parcel.store());
        let place = self.context.patiently(write).map_err(|error| {
            (self.context.tell)(&Event::NotWritten { request: &request, error });
        });
        let shipment = Arc::new(Shipment::new(parcel, place.ok(), &self.names));
        self.remember(request.id, &shipment);
        self.queues.iter().for_each(|queue| queue.put(&shipment));
        if self.queues.is_empty() {
            shipment.finish(&self.context);
        }
    }
}

impl Context {
    /// A disk that is full may have room again in a moment.
    fn patiently<W>(&self, write: impl Fn() -> Result<W, FolderError>) -> Result<W, FolderError> {
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
