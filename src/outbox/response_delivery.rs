//! A response on its way to all destinations.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admission::{DeliveryRecord, Destination, DestinationReach, FileDelivery};
use crate::dataflow::Response;
use crate::engine::{PendingDelivery, UndeliveredResponse};
use crate::journal::{JournalEntry, Receipt};
use crate::step::Digest;
use crate::store::Store;

use super::OutboxEvent;
use super::context::OutboxContext;

/// A response that is on its way.
pub struct ResponseDelivery {
    pub receipt: Receipt,
    pub response: Arc<Response>,
    pub store: Arc<Store>,
    digest: Digest,
    state: Mutex<DeliveryState>,
    /// Whether a later response to the same request has replaced this one.
    superseded: AtomicBool,
}

struct DeliveryState {
    /// `None` once the delivery has ended everywhere.
    pending_delivery: Option<PendingDelivery>,
    /// The state at each destination, as reported last.
    deliveries: Vec<DeliveryRecord>,
    /// The number of destinations at which the delivery has not ended.
    open: usize,
}

impl ResponseDelivery {
    pub fn new(pending_delivery: PendingDelivery, context: &OutboxContext) -> ResponseDelivery {
        let receipt = pending_delivery.receipt().clone();
        let resumed = |destination: &Arc<dyn Destination>| {
            let name = destination.name();
            let recorded = match destination.reach() {
                DestinationReach::Remote => receipt.delivered(&name),
                DestinationReach::Local => &[],
            };
            DeliveryRecord::resumed(name.clone(), recorded)
        };
        let deliveries: Vec<DeliveryRecord> = context.destinations.iter().map(resumed).collect();
        let open = deliveries.len();
        ResponseDelivery {
            response: Arc::clone(pending_delivery.response()),
            store: Arc::clone(pending_delivery.store()),
            digest: pending_delivery.response().digest(),
            state: Mutex::new(DeliveryState { pending_delivery: Some(pending_delivery), deliveries, open }),
            superseded: AtomicBool::new(false),
            receipt,
        }
    }

    /// Ends the delivery everywhere: a later response replaces this one, also in its folder.
    pub fn supersede(&self) {
        let mut state = self.lock();
        self.superseded.store(true, Ordering::Relaxed);
        if let Some(pending_delivery) = state.pending_delivery.take() {
            pending_delivery.superseded();
        }
    }

    pub fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Relaxed)
    }

    /// The state at a destination.
    pub fn delivery(&self, destination: usize) -> DeliveryRecord {
        self.lock().deliveries[destination].clone()
    }

    /// Records the answer of a destination to a file.
    pub fn note(&self, context: &OutboxContext, destination: &str, file: &FileDelivery) {
        let Some(number) = self.receipt.number() else { return };
        let detail = serde_json::to_value(file).expect("a delivery is made of texts and numbers");
        let (destination, response) = (destination.to_owned(), self.digest);
        context.journal.expedite(number, JournalEntry::Sent { destination, response, detail });
    }

    /// Records and reports the state at a destination after an attempt.
    pub fn report(&self, context: &OutboxContext, destination: usize, delivery: &DeliveryRecord) {
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
            if let Err(error) = local.note(self.receipt.request(), &self.response.dataflow, &remote) {
                tracing::warn!(%error, "the state of a delivery could not be written beside its response");
            }
        }
    }

    /// Ends the delivery at a destination, for good or until the next start. After the last destination the
    /// request is answered, or stays undelivered.
    pub fn finish(&self, context: &OutboxContext) {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
        if state.open == 0
            && let Some(pending_delivery) = state.pending_delivery.take()
        {
            let settled = self.close(context, &state.deliveries);
            drop(state);
            pending_delivery.settle(settled);
        }
    }

    fn close(
        &self,
        context: &OutboxContext,
        deliveries: &[DeliveryRecord],
    ) -> Result<(), UndeliveredResponse> {
        let (request, response) = (&**self.receipt.request(), &*self.response);
        let remote = context.remote(deliveries);
        let reached = self.reached(context, deliveries);
        if reached.len() < context.local().count() {
            return Err(UndeliveredResponse);
        }
        for local in reached.iter().filter(|_| !remote.is_empty()) {
            context.retry_while_full(|| local.note(request, &response.dataflow, &remote)).map_err(
                |trouble| {
                    let error = &trouble.text;
                    (context.tell)(&OutboxEvent::NotWritten { request, error, wait: None });
                    UndeliveredResponse
                },
            )?;
        }
        let place: Option<PathBuf> =
            reached.iter().find_map(|local| local.place(request, &response.dataflow));
        let (place, deliveries) = (place.as_deref(), remote.as_slice());
        (context.tell)(&OutboxEvent::Answered { request, response, place, deliveries });
        if deliveries.iter().all(|delivery| delivery.complete) { Ok(()) } else { Err(UndeliveredResponse) }
    }

    /// The local destinations that have it.
    fn reached<'c>(
        &self,
        context: &'c OutboxContext,
        deliveries: &[DeliveryRecord],
    ) -> Vec<&'c Arc<dyn Destination>> {
        let local = context.local().filter(|(index, _)| deliveries[*index].complete);
        local.map(|(_, destination)| destination).collect()
    }

    fn record(&self, context: &OutboxContext, delivery: &DeliveryRecord) {
        let entry = JournalEntry::Delivered {
            destination: delivery.destination.clone(),
            complete: delivery.complete,
            response: Some(self.digest),
            detail: serde_json::to_value(delivery).expect("a delivery is made of texts and numbers"),
        };
        if let Err(error) = context.journal.append(&self.receipt, entry) {
            // Without the record it is delivered again after the next start, which changes nothing there.
            tracing::warn!(%error, "the state of a delivery could not be recorded");
        }
    }

    fn lock(&self) -> MutexGuard<'_, DeliveryState> {
        // A panic cannot leave the state half changed, so a poisoned lock is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
