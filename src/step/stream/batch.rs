//! Batches: runs of items of one type that travel and are worked on together.

use std::any::Any;
use std::sync::Arc;

use crate::step::{Payload, Value};

use super::ordinal::ItemOrdinal;

/// A type of which streams can be made: every [`Payload`] that can be cloned. An item is cloned only where a
/// stream goes to several steps.
pub trait StreamItem: Payload + Clone {}

impl<T: Payload + Clone> StreamItem for T {}

/// The bounds of a batch. A batch is full when it has reached one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    /// Items, from 1.
    pub items: usize,
    /// Bytes in memory: the sum of [`Payload::bytes_in_memory`].
    pub bytes: usize,
}

impl BatchSize {
    /// The size of batches that travel. Smaller ones cost more for each item, larger ones leave the cache.
    pub const TRAVELLING: BatchSize = BatchSize { items: 1024, bytes: 1 << 20 };

    /// The size of batches that a step takes as a whole, if the dataflow file does not say another.
    pub const TAKEN: BatchSize = BatchSize { items: 100, bytes: 1 << 20 };
}

/// The ordinals of the items in a batch.
#[derive(Clone, Debug)]
pub enum BatchPlaces {
    /// Neighbours: the children of an ordinal, from this index on.
    Run(ItemOrdinal, u64),
    /// One for each item.
    Each(Vec<ItemOrdinal>),
}

impl BatchPlaces {
    /// The ordinal of the item at `index` of the batch.
    pub fn get(&self, index: usize) -> ItemOrdinal {
        match self {
            BatchPlaces::Run(parent, first) => parent.child(first + index as u64),
            BatchPlaces::Each(all) => all[index],
        }
    }

    /// These ordinals of as many items as the first length says, and behind them those of the next batch.
    fn followed(self, (len, next_len): (usize, usize), next: &BatchPlaces) -> BatchPlaces {
        let mut all = match self {
            BatchPlaces::Each(all) => all,
            BatchPlaces::Run(..) => (0..len).map(|index| self.get(index)).collect(),
        };
        all.extend((0..next_len).map(|index| next.get(index)));
        BatchPlaces::Each(all)
    }

    /// The ordinals at these indices, which ascend.
    #[must_use]
    pub fn at(&self, indices: impl Iterator<Item = usize>) -> BatchPlaces {
        BatchPlaces::Each(indices.map(|index| self.get(index)).collect())
    }
}

/// A run of items of one type, in the order of their ordinals. A clone shares the items.
#[derive(Clone)]
pub struct ItemBatch {
    places: BatchPlaces,
    len: usize,
    /// A `Vec<T>`, or a `Vec<Value>` of values of type `T`.
    items: Arc<dyn Any + Send + Sync>,
    form: BatchForm,
}

/// What can be done with a batch without knowing its type.
#[derive(Clone, Copy)]
struct BatchForm {
    values: fn(ItemBatch) -> Vec<Value>,
    append: fn(ItemBatch, ItemBatch) -> ItemBatch,
}

impl ItemBatch {
    /// A batch of these items.
    pub fn new<T: StreamItem>(places: BatchPlaces, items: Vec<T>) -> ItemBatch {
        let values = |batch: ItemBatch| batch.take::<T>().1.into_iter().map(Value::new).collect();
        let form = BatchForm { values, append: appended::<T> };
        ItemBatch { places, len: items.len(), items: Arc::new(items), form }
    }

    /// A batch of values, which all have one type.
    pub fn of_values(places: BatchPlaces, items: Vec<Value>) -> ItemBatch {
        let form = BatchForm { values: ItemBatch::unshared, append: appended_values };
        ItemBatch { places, len: items.len(), items: Arc::new(items), form }
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ordinals of the items.
    pub fn places(&self) -> &BatchPlaces {
        &self.places
    }

    /// The items: as they are if nobody else has the batch, otherwise copies.
    ///
    /// # Panics
    /// If the items have another type. The check of a dataflow sees to it that they have not.
    pub fn take<T: StreamItem>(self) -> (BatchPlaces, Vec<T>) {
        if self.items.is::<Vec<Value>>() {
            let places = self.places.clone();
            let item = |value: Value| value.get::<T>().expect(CHECKED).clone();
            return (places, self.unshared::<Value>().into_iter().map(item).collect());
        }
        (self.places.clone(), self.unshared())
    }

    /// The items as values.
    pub fn into_values(self) -> (BatchPlaces, Vec<Value>) {
        (self.places.clone(), (self.form.values)(self))
    }

    /// The items of both batches, those of `next` behind. Both come from the same output.
    #[must_use]
    pub fn append(self, next: ItemBatch) -> ItemBatch {
        (self.form.append)(self, next)
    }

    fn unshared<T: Clone + Send + Sync + 'static>(self) -> Vec<T> {
        let items = self.items.downcast::<Vec<T>>().unwrap_or_else(|_| panic!("{CHECKED}"));
        Arc::try_unwrap(items).unwrap_or_else(|shared| (*shared).clone())
    }
}

fn appended<T: StreamItem>(first: ItemBatch, next: ItemBatch) -> ItemBatch {
    let len = (first.len, next.len);
    let ((places, mut items), (next_places, next_items)) = (first.take::<T>(), next.take::<T>());
    items.extend(next_items);
    ItemBatch::new(places.followed(len, &next_places), items)
}

fn appended_values(first: ItemBatch, next: ItemBatch) -> ItemBatch {
    let len = (first.len, next.len);
    let ((places, mut items), (next_places, next_items)) = (first.into_values(), next.into_values());
    items.extend(next_items);
    ItemBatch::of_values(places.followed(len, &next_places), items)
}

const CHECKED: &str = "types are checked before anything runs";
