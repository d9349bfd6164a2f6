//! A response on its way to all destinations.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admission::{Delivery, Destination, DestinationReach, FileDelivery};
use crate::dataflow::Response;
use crate::engine::{Parcel, Undelivered};
use crate::journal::{Entry, Receipt};
use crate::step::Digest;
use crate::store::Store;

use super::{Context, Event};

/// A response that is on its way.
pub struct Shipment {
    pub receipt: Receipt,
    pub response: Arc<Response>,
    pub store: Arc<Store>,
    digest: Digest,
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
    pub fn new(parcel: Parcel, context: &Context) -> Shipment {
        let receipt = parcel.receipt().clone();
        let resumed = |destination: &Arc<dyn Destination>| {
            let name = destination.name();
            let recorded = match destination.reach() {
                DestinationReach::Remote => receipt.delivered(&name),
                DestinationReach::Local => &[],
            };
            Delivery::resumed(name.clone(), recorded)
        };
        let deliveries: Vec<Delivery> = context.destinations.iter().map(resumed).collect();
        let open = deliveries.len();
        Shipment {
            response: Arc::clone(parcel.response()),
            store: Arc::clone(parcel.store()),
            digest: parcel.response().digest(),
            state: Mutex::new(State { parcel: Some(parcel), deliveries, open }),
            superseded: AtomicBool::new(false),
            receipt,
        }
    }

    /// Nothing more is to be done for it, and its places are not its own any more.
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
        if !is_new || context.destinations[destination].reach() == DestinationReach::Local {
            return;
        }
        self.record(context, delivery);
        let remote = context.remote(&state.deliveries);
        for local in self.reached(context, &state.deliveries) {
            if let Err(error) = local.note(self.receipt.request(), &remote) {
                tracing::warn!(%error, "what became of a delivery is not in its folder");
            }
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
        let (request, response) = (&**self.receipt.request(), &*self.response);
        let remote = context.remote(deliveries);
        let reached = self.reached(context, deliveries);
        if reached.len() < context.local().count() {
            return Err(Undelivered);
        }
        for local in reached.iter().filter(|_| !remote.is_empty()) {
            context.patiently(|| local.note(request, &remote)).map_err(|trouble| {
                let error = &trouble.text;
                (context.tell)(&Event::NotWritten { request, error, wait: None });
                Undelivered
            })?;
        }
        let place: Option<PathBuf> = reached.iter().find_map(|local| local.place(request));
        let (place, deliveries) = (place.as_deref(), remote.as_slice());
        (context.tell)(&Event::Answered { request, response, place, deliveries });
        if deliveries.iter().all(|delivery| delivery.complete) { Ok(()) } else { Err(Undelivered) }
    }

    /// The local destinations that have it.
    fn reached<'c>(&self, context: &'c Context, deliveries: &[Delivery]) -> Vec<&'c Arc<dyn Destination>> {
        let local = context.local().filter(|(index, _)| deliveries[*index].complete);
        local.map(|(_, destination)| destination).collect()
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
