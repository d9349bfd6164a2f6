//! The context that all deliveries of an outbox share.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::{DeliveryRecord, DeliveryTrouble, Destination, DestinationReach};
use crate::engine::EngineControl;
use crate::journal::Journal;

use super::clock::DeliveryClock;
use super::event::OutboxObserver;

/// Context that all deliveries share.
pub struct OutboxContext {
    pub destinations: Vec<Arc<dyn Destination>>,
    pub journal: Arc<Journal>,
    pub waits: Vec<Duration>,
    pub clock: DeliveryClock,
    pub tell: OutboxObserver,
    pub control: Arc<EngineControl>,
}

impl OutboxContext {
    /// The destinations on this machine, with their numbers.
    pub fn local(&self) -> impl Iterator<Item = (usize, &Arc<dyn Destination>)> {
        let all = self.destinations.iter().enumerate();
        all.filter(|(_, destination)| destination.reach() == DestinationReach::Local)
    }

    /// The deliveries to remote destinations among these.
    pub fn remote(&self, deliveries: &[DeliveryRecord]) -> Vec<DeliveryRecord> {
        let all = self.destinations.iter().zip(deliveries);
        let remote = all.filter(|(destination, _)| destination.reach() == DestinationReach::Remote);
        remote.map(|(_, delivery)| delivery.clone()).collect()
    }

    /// Repeats an action while the disk is full.
    pub fn retry_while_full(
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
