//! Where responses go: a folder each, and from there on to DICOM nodes.
//!
//! The folder comes first, so that a response is safe whatever a destination does. What became of
//! each destination stands in `delivery.json` beside it.

mod folder;
mod forward;

pub use folder::{Folder, FolderError};
pub use forward::{Delivery, Forward};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::dataflow::Response;
use crate::engine::{Sink, Undelivered};
use crate::journal::{Entry, Journal, Receipt};
use crate::step::Request;
use crate::store::Store;

/// What the outbox tells of each response.
#[derive(Debug)]
pub enum Event<'a> {
    /// The response, or what became of it, could not be written into its folder.
    NotWritten { request: &'a Request, error: FolderError },
    /// A destination has answered for all files, or for good not.
    Forwarded { request: &'a Request, delivery: &'a Delivery },
    /// All is done for this request: what it came with is no longer needed.
    Answered { request: &'a Request, response: &'a Response, place: &'a Path, deliveries: &'a [Delivery] },
}

/// Delivers each response to a folder and to every destination.
pub struct Outbox<T> {
    pub folder: Folder,
    /// How long to wait before each further try to write into the folder.
    pub waits: Vec<Duration>,
    pub destinations: Vec<Forward>,
    /// Remembers what became of each destination.
    pub journal: Arc<Journal>,
    pub tell: T,
}

impl<T: Fn(Event) + Sync> Sink for Outbox<T> {
    fn deliver(&self, receipt: &Receipt, response: &Response, store: &Store) -> Result<(), Undelivered> {
        let request = receipt.request();
        let place = self.patiently(|| self.folder.write(request, response, store));
        let deliveries: Vec<Delivery> =
            self.destinations.iter().map(|one| self.delivery(one, receipt, response, store)).collect();
        let written = place.and_then(|place| {
            if !deliveries.is_empty() {
                self.patiently(|| forward::record(&place, &deliveries))?;
            }
            Ok(place)
        });
        let place = written.map_err(|error| {
            (self.tell)(Event::NotWritten { request, error });
            Undelivered
        })?;
        (self.tell)(Event::Answered { request, response, place: &place, deliveries: &deliveries });
        if deliveries.iter().all(|delivery| delivery.complete) { Ok(()) } else { Err(Undelivered) }
    }
}

impl<T: Fn(Event) + Sync> Outbox<T> {
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

    /// What became of the response at a destination; one that took it in an earlier process is not asked
    /// again.
    fn delivery(&self, one: &Forward, receipt: &Receipt, response: &Response, store: &Store) -> Delivery {
        let earlier = receipt.delivered(&one.destination.to_string());
        let earlier = earlier.and_then(|detail| serde_json::from_value(detail.clone()).ok());
        earlier.unwrap_or_else(|| self.forward(one, receipt, response, store))
    }

    fn forward(&self, one: &Forward, receipt: &Receipt, response: &Response, store: &Store) -> Delivery {
        let delivery = one.deliver(response, store);
        let entry = Entry::Delivered {
            destination: delivery.destination.clone(),
            complete: delivery.complete,
            detail: serde_json::to_value(&delivery).expect("a delivery is made of texts and numbers"),
        };
        if let Err(error) = self.journal.append(receipt, entry) {
            // It is delivered once more after the next start, which changes nothing there.
            tracing::warn!(%error, "what became of a delivery is not recorded");
        }
        (self.tell)(Event::Forwarded { request: receipt.request(), delivery: &delivery });
        delivery
    }
}
