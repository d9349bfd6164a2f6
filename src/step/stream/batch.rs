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

    /// The smaller of each bound.
    #[must_use]
    pub fn min(self, other: BatchSize) -> BatchSize {
        BatchSize { items: self.items.min(other.items), bytes: self.bytes.min(other.bytes) }
    }
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

    /// The ordinals of `len` items, each as the child number `index` of what it was.
    fn below(&self, len: usize, index: u64) -> BatchPlaces {
        BatchPlaces::Each((0..len).map(|at| self.get(at).child(index)).collect())
    }

    /// The ordinals at these indices, which ascend.
    #[must_use]
    pub fn at(&self, indices: impl Iterator<Item = usize>) -> BatchPlaces {
        BatchPlaces::Each(indices.map(|index| self.get(index)).collect())
    }
}

/// A run of items of one type. A clone shares the items.
#[derive(Clone)]
pub struct ItemBatch {
    places: BatchPlaces,
    len: usize,
    /// A `Vec<T>`, or a `Vec<Value>` of values of type `T`.
    items: Arc<dyn Any + Send + Sync>,
    form: BatchForm,
}

/// All that can be done with a batch without knowing its type.
#[derive(Clone, Copy)]
struct BatchForm {
    values: fn(ItemBatch) -> Vec<Value>,
    append: fn(ItemBatch, ItemBatch) -> ItemBatch,
    arrange: fn(ItemBatch) -> ItemBatch,
    bytes: fn(&ItemBatch) -> Vec<usize>,
}

impl ItemBatch {
    /// A batch of these items.
    pub fn new<T: StreamItem>(places: BatchPlaces, items: Vec<T>) -> ItemBatch {
        let values = |batch: ItemBatch| batch.take::<T>().1.into_iter().map(Value::new).collect();
        let form = BatchForm { values, append: appended::<T>, arrange: arranged::<T>, bytes: bytes_of::<T> };
        ItemBatch { places, len: items.len(), items: Arc::new(items), form }
    }

    /// A batch of values, which all have one type.
    pub fn of_values(places: BatchPlaces, items: Vec<Value>) -> ItemBatch {
        let form = BatchForm {
            values: ItemBatch::unshared,
            append: appended_values,
            arrange: arranged_values,
            bytes: bytes_of_values,
        };
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

    /// The items, if they are kept as what they are.
    pub fn items<T: StreamItem>(&self) -> Option<&[T]> {
        self.items.downcast_ref::<Vec<T>>().map(Vec::as_slice)
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

    /// The bytes in memory of each item.
    pub fn bytes_each(&self) -> Vec<usize> {
        (self.form.bytes)(self)
    }

    /// The same items, each with the child number `index` of its ordinal: of what meets in one input, an item
    /// that came on two ways is two.
    #[must_use]
    pub fn below(mut self, index: u64) -> ItemBatch {
        self.places = self.places.below(self.len, index);
        self
    }

    /// The same items in the order of their ordinals.
    #[must_use]
    pub fn arranged(self) -> ItemBatch {
        match &self.places {
            BatchPlaces::Each(all) if !all.is_sorted() => (self.form.arrange)(self),
            BatchPlaces::Each(_) | BatchPlaces::Run(..) => self,
        }
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

fn arranged<T: StreamItem>(batch: ItemBatch) -> ItemBatch {
    let (places, items) = batch.take::<T>();
    let (places, items) = in_order(&places, items);
    ItemBatch::new(places, items)
}

fn arranged_values(batch: ItemBatch) -> ItemBatch {
    let (places, items) = batch.into_values();
    let (places, items) = in_order(&places, items);
    ItemBatch::of_values(places, items)
}

fn bytes_of<T: StreamItem>(batch: &ItemBatch) -> Vec<usize> {
    match batch.items.downcast_ref::<Vec<T>>() {
        Some(items) => items.iter().map(Payload::bytes_in_memory).collect(),
        None => bytes_of_values(batch),
    }
}

fn bytes_of_values(batch: &ItemBatch) -> Vec<usize> {
    let items = batch.items.downcast_ref::<Vec<Value>>();
    items.expect(CHECKED).iter().map(Value::bytes_in_memory).collect()
}

fn in_order<T>(places: &BatchPlaces, items: Vec<T>) -> (BatchPlaces, Vec<T>) {
    let mut placed: Vec<(ItemOrdinal, T)> =
        items.into_iter().enumerate().map(|(index, item)| (places.get(index), item)).collect();
    placed.sort_by_key(|(place, _)| *place);
    let (places, items) = placed.into_iter().unzip();
    (BatchPlaces::Each(places), items)
}

const CHECKED: &str = "types are checked before anything runs";
