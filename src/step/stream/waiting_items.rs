//! Items that wait for more of them, for steps that take batches.

use super::batch::{BatchSize, ItemBatch, StreamItem};
use super::ordinal::ItemOrdinal;

/// Items that wait until there are enough for a batch of a step.
pub struct WaitingItems<A> {
    size: BatchSize,
    items: Vec<A>,
    places: Vec<ItemOrdinal>,
    bytes: usize,
}

impl<A: StreamItem> WaitingItems<A> {
    /// None at first. A batch of this size is full.
    pub fn new(size: BatchSize) -> WaitingItems<A> {
        WaitingItems { size, items: Vec::new(), places: Vec::new(), bytes: 0 }
    }

    /// Adds items, and gives each batch that is full by then to `work`, with the ordinals of its items.
    pub fn add(&mut self, batch: ItemBatch, mut work: impl FnMut(Vec<A>, Vec<ItemOrdinal>)) {
        let (places, items) = batch.take::<A>();
        for (index, item) in items.into_iter().enumerate() {
            self.bytes += item.bytes_in_memory();
            self.items.push(item);
            self.places.push(places.get(index));
            if self.items.len() >= self.size.items || self.bytes >= self.size.bytes {
                self.rest().into_iter().for_each(|(items, places)| work(items, places));
            }
        }
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items that still wait, if there are any.
    pub fn rest(&mut self) -> Option<(Vec<A>, Vec<ItemOrdinal>)> {
        self.bytes = 0;
        let (items, places) = (std::mem::take(&mut self.items), std::mem::take(&mut self.places));
        (!items.is_empty()).then_some((items, places))
    }
}
