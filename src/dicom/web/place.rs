//! The slots of HTTP connections and requests, which work as those of associations.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::dicom::serve::known_addresses::KnownAddresses;
use crate::dicom::serve::slots::{ConnectionSlot, ConnectionSlots, SlotActivity, SlotEnd, SlotRules};

/// The slots of one kind.
pub(super) struct WebPlaces {
    slots: ConnectionSlots,
    known: Arc<KnownAddresses>,
    count: Cell<u64>,
}

/// A slot; dropping it frees it.
pub(super) struct WebPlace {
    pub peer: SocketAddr,
    slot: ConnectionSlot,
    evicted: Arc<Notify>,
}

impl WebPlaces {
    pub fn new(most: usize, hold_time_max: Duration, known: &Arc<KnownAddresses>) -> WebPlaces {
        let rules = SlotRules { most, kept: known.places(most), hold_time_max };
        WebPlaces { slots: ConnectionSlots::new(rules), known: Arc::clone(known), count: Cell::new(0) }
    }

    /// Takes a slot, if one is free or another peer has to give up its own.
    pub fn enter(&self, peer: SocketAddr) -> Option<WebPlace> {
        let evicted = Arc::new(Notify::new());
        let word = Arc::clone(&evicted);
        let end = move |end| {
            // A stop is signalled in another way.
            if end == SlotEnd::Evicted {
                word.notify_one();
            }
        };
        let number = self.count.replace(self.count.get() + 1);
        let slot = self.slots.enter(number, peer, self.known.standing(peer.ip()), end)?;
        Some(WebPlace { peer, slot, evicted })
    }
}

impl WebPlace {
    pub fn activity(&self) -> &Arc<SlotActivity> {
        &self.slot.activity
    }

    /// Waits until another peer gets the slot.
    pub async fn lost(&self) {
        self.evicted.notified().await;
    }
}
