//! A response on its way to all destinations.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::dataflow::Response;
use crate::engine::{Parcel, Undelivered};
use crate::journal::{Entry, Receipt};
use crate::step::Digest;
use crate::store::Store;

use super::delivery::{Delivery, FileDelivery};
use super::{Context, Event, FolderError};

/// A response that is in its folder, and on its way.
pub struct Shipment {
    pub receipt: Receipt,
    pub response: Arc<Response>,
    pub store: Arc<Store>,
    digest: Digest,
    /// Its folder; none if it could not be written.
    place: Option<PathBuf>,
    state: Mutex<State>,
    /// A later response to the same request has taken its place.
    superseded: AtomicBool,
}

struct State {
    /// Gone when all is done.
    parcel: Option<Parcel>,
    /// By destination, as they were told last.
    deliveries: Vec<Delivery>,
    /// Destinations that are not done with it.
    open: usize,
}

impl Shipment {
    pub fn new(parcel: Parcel, place: Option<PathBuf>, destinations: &[String]) -> Shipment {
        let receipt = parcel.receipt().clone();
        let resumed = |name: &String| Delivery::resumed(name.clone(), receipt.delivered(name));
        let deliveries = destinations.iter().map(resumed).collect();
        Shipment {
            response: Arc::clone(parcel.response()),
            store: Arc::clone(parcel.store()),
            digest: parcel.response().digest(),
            place,
            state: Mutex::new(State { parcel: Some(parcel), deliveries, open: destinations.len() }),
            superseded: AtomicBool::new(false),
            receipt,
        }
    }

    /// Nothing more is to be done for it, and its folder is not its own any more.
    pub fn supersede(&self) {
        let mut state = self.lock();
        self.superseded.store(true, Ordering::Relaxed);
        if let Some(parcel) = state.parcel.take() {
            parcel.superseded();
        }
    }

    pub fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Relaxed)
    }

    /// How it stands at a destination.
    pub fn delivery(&self, destination: usize) -> Delivery {
        self.lock().deliveries[destination].clone()
    }

    /// Remembers what a destination answered for a file.
    pub fn note(&self, context: &Context, destination: &str, file: &FileDelivery) {
        let Some(number) = self.receipt.number() else { return };
        let detail = serde_json::to_value(file).expect("a delivery is made of texts and numbers");
        let (destination, response) = (destination.to_owned(), self.digest);
        context.journal.hurry(number, Entry::Sent { destination, response, detail });
    }

    /// Remembers and shows how it stands at a destination after a try.
    pub fn report(&self, context: &Context, destination: usize, delivery: &Delivery) {
        let mut state = self.lock();
        if self.is_superseded() {
            return;
        }
        let is_new = !state.deliveries[destination].says(delivery);
        state.deliveries[destination] = delivery.clone();
        if is_new {
            self.record(context, delivery);
        }
        if let Some(place) = self.place.as_ref().filter(|_| is_new)
            && let Err(error) = write(place, &state.deliveries)
        {
            tracing::warn!(%error, "what became of a delivery is not in its folder");
        }
    }

    /// A destination is done with it, for good or for now. After the last one the request is answered, or
    /// stays undelivered.
    pub fn finish(&self, context: &Context) {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
        if state.open == 0
            && let Some(parcel) = state.parcel.take()
        {
            let settled = self.close(context, &state.deliveries);
            drop(state);
            parcel.settle(settled);
        }
    }

    fn close(&self, context: &Context, deliveries: &[Delivery]) -> Result<(), Undelivered> {
        let place = self.place.as_ref().ok_or(Undelivered)?;
        let (request, response) = (&**self.receipt.request(), &*self.response);
        if !deliveries.is_empty() {
            context.patiently(|| write(place, deliveries)).map_err(|error| {
                (context.tell)(&Event::NotWritten { request, error });
                Undelivered
            })?;
        }
        (context.tell)(&Event::Answered { request, response, place, deliveries });
        if deliveries.iter().all(|delivery| delivery.complete) { Ok(()) } else { Err(Undelivered) }
    }

    fn record(&self, context: &Context, delivery: &Delivery) {
        let entry = Entry::Delivered {
            destination: delivery.destination.clone(),
            complete: delivery.complete,
            response: Some(self.digest),
            detail: serde_json::to_value(delivery).expect("a delivery is made of texts and numbers"),
        };
        if let Err(error) = context.journal.append(&self.receipt, entry) {
            // It is delivered once more after the next start, which changes nothing there.
            tracing::warn!(%error, "what became of a delivery is not recorded");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What it holds is whole between any two steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what became of a response beside it. The file appears whole.
fn write(place: &Path, deliveries: &[Delivery]) -> Result<(), FolderError> {
    let path = place.join("delivery.json");
    let text = serde_json::to_string_pretty(deliveries).expect("a delivery is made of texts and numbers");
    let draft = place.join(".delivery.json.part");
    let written = fs::write(&draft, text + "\n").and_then(|()| File::open(&draft)?.sync_all());
    let placed =
        written.and_then(|()| fs::rename(&draft, &path)).and_then(|()| File::open(place)?.sync_all());
    placed.map_err(|source| FolderError::Write { path, source })
}
