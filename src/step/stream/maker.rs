//! Makers: iterators of items, erased. They are asked for as much as there is room for.

use crate::step::{Fault, FaultKind};

use super::batch::{BatchPlaces, BatchSize, ItemBatch, StreamItem};
use super::guard::GuardFunction;
use super::ordinal::ItemOrdinal;

/// Items of a stream that is being made.
pub struct MadeItems {
    /// The items that could be made.
    pub batch: ItemBatch,
    /// Those that could not, in order.
    pub faults: Vec<(ItemOrdinal, Fault)>,
}

/// Something that makes items, lazily.
pub trait ItemMaker: Send {
    /// Makes the next items, as many as fit into `size`; `None` if there are none left. Each is a child of `parent`.
    ///
    /// # Errors
    /// The fault of a panic or of a disk, once all that was made before it has been given. Nothing is made after it.
    fn next(
        &mut self,
        size: BatchSize,
        parent: ItemOrdinal,
        guard: GuardFunction,
    ) -> Result<Option<MadeItems>, Fault>;
}

/// An iterator as a maker.
pub(super) struct IteratorMaker<I> {
    items: I,
    /// The number of items that were asked for so far.
    asked: u64,
    /// The fault that has ended the stream, until what was made before it has been taken.
    end: Option<Fault>,
}

impl<I> IteratorMaker<I> {
    pub fn new(items: I) -> IteratorMaker<I> {
        IteratorMaker { items, asked: 0, end: None }
    }
}

impl<T: StreamItem, I: Iterator<Item = Result<T, Fault>> + Send> ItemMaker for IteratorMaker<I> {
    fn next(
        &mut self,
        size: BatchSize,
        parent: ItemOrdinal,
        guard: GuardFunction,
    ) -> Result<Option<MadeItems>, Fault> {
        if let Some(fault) = self.end.take() {
            return Err(fault);
        }
        let first = self.asked;
        let mut made: Vec<T> = Vec::new();
        let (mut bytes, mut lost, mut unreadable) = (0, Vec::new(), None);
        let ended = guard(&mut || {
            while made.len() + lost.len() < size.items && bytes < size.bytes {
                match self.items.next() {
                    None => break,
                    Some(Ok(item)) => {
                        bytes += item.bytes_in_memory();
                        made.push(item);
                    }
                    // Nobody knows how many items a file had that cannot be read.
                    Some(Err(fault)) if fault.kind == FaultKind::Storage => {
                        unreadable = Some(fault);
                        break;
                    }
                    Some(Err(fault)) => lost.push((made.len() + lost.len(), fault)),
                }
            }
        });
        let ended = ended.and_then(|()| unreadable.map_or(Ok(()), Err));
        let asked = made.len() + lost.len();
        self.asked += asked as u64;
        if asked == 0 {
            return ended.map(|()| None);
        }
        self.end = ended.err();
        let mut places = BatchPlaces::Run(parent, first);
        if !lost.is_empty() {
            let is_lost = |index: &usize| lost.binary_search_by_key(index, |(at, _)| *at).is_ok();
            places = places.at((0..asked).filter(|index| !is_lost(index)));
        }
        let run = BatchPlaces::Run(parent, first);
        let faults = lost.into_iter().map(|(index, fault)| (run.get(index), fault)).collect();
        Ok(Some(MadeItems { batch: ItemBatch::new(places, made), faults }))
    }
}
