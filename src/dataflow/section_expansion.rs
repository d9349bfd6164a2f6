//! The making of items: of single values, or many of each item of a stream.

use std::collections::VecDeque;

use crate::step::{
    BatchSize, Call, Fault, ItemBatch, ItemMaker, ItemOrdinal, ItemTally, MadeItems, MakerFunction, Value,
};

use super::perform::{broken, guarded};
use super::section_parts::{CallParts, guard};

/// What many items are made of.
#[derive(Clone, Copy)]
pub(super) enum ExpansionOrigin {
    /// Single values: the items are the stream, below this ordinal.
    Root(ItemOrdinal),
    /// An item of a stream.
    Item(ItemOrdinal),
}

/// Items of which many are being made.
pub(super) struct ItemExpansion {
    make: MakerFunction,
    waiting: VecDeque<(ExpansionOrigin, Option<Value>)>,
    current: Option<ExpandingItem>,
}

struct ExpandingItem {
    origin: ExpansionOrigin,
    maker: Box<dyn ItemMaker>,
    /// The first fault of what is made of an item.
    fault: Option<Fault>,
}

impl ItemExpansion {
    pub fn new(make: &MakerFunction) -> ItemExpansion {
        ItemExpansion { make: make.clone(), waiting: VecDeque::new(), current: None }
    }

    pub fn push(&mut self, origin: ExpansionOrigin, item: Option<Value>) {
        self.waiting.push_back((origin, item));
    }

    /// The next items, about as many as fit into `size`: what the maker of a stream gives, or what is made of one item or
    /// of several that follow each other.
    pub fn next(
        &mut self,
        size: BatchSize,
        parts: &CallParts,
        call: &Call,
        tally: &mut ItemTally,
    ) -> Option<ItemBatch> {
        let (mut made, mut bytes): (Option<ItemBatch>, usize) = (None, 0);
        while made.as_ref().is_none_or(|made| self.joins_more(made.len(), bytes, size)) {
            let Some(current) = &mut self.current else {
                let Some((origin, item)) = self.waiting.pop_front() else { break };
                match parts.with(call, item, |call| guarded(|| (self.make)(call))) {
                    Ok(Ok(maker)) => self.current = Some(ExpandingItem { origin, maker, fault: None }),
                    Ok(Err(fault)) => origin.fail(tally, fault),
                    Err(panic) => origin.fail(tally, broken(&panic)),
                }
                continue;
            };
            match current.maker.next(size, current.origin.place(), guard) {
                Ok(Some(MadeItems { batch, faults })) => {
                    current.note(tally, batch.len(), faults);
                    if let ExpansionOrigin::Item(_) = current.origin {
                        bytes += batch.bytes_each().iter().sum::<usize>();
                    }
                    made = Some(match made {
                        Some(made) => made.append(batch),
                        None => batch,
                    });
                }
                ended => {
                    current.close(tally, ended.err());
                    self.current = None;
                }
            }
        }
        made
    }

    /// Whether a batch is so small that more is put to it. The items of a stream need not wait for slow ones.
    fn joins_more(&self, len: usize, bytes: usize, size: BatchSize) -> bool {
        let is_stream = |current: &ExpandingItem| matches!(current.origin, ExpansionOrigin::Root(_));
        let is_small = len < size.items / 2 && bytes < size.bytes / 2;
        len == 0 || is_small && !self.current.as_ref().is_some_and(is_stream)
    }
}

impl ExpansionOrigin {
    fn place(self) -> ItemOrdinal {
        match self {
            ExpansionOrigin::Root(place) | ExpansionOrigin::Item(place) => place,
        }
    }

    /// Counts a fault of all that would have been made.
    fn fail(self, tally: &mut ItemTally, fault: Fault) {
        match self {
            ExpansionOrigin::Root(_) => tally.fail_whole(fault),
            ExpansionOrigin::Item(place) => tally.fail(place, fault),
        }
    }
}

impl ExpandingItem {
    /// Counts items that were made. Of a stream they are counted themselves; of an item it is that one.
    fn note(&mut self, tally: &mut ItemTally, made: usize, faults: Vec<(ItemOrdinal, Fault)>) {
        match self.origin {
            ExpansionOrigin::Root(_) => {
                tally.done += made as u64;
                faults.into_iter().for_each(|(place, fault)| tally.fail(place, fault));
            }
            ExpansionOrigin::Item(_) => {
                let first = faults.into_iter().next().map(|(_, fault)| fault);
                self.fault = self.fault.take().or(first);
            }
        }
    }

    /// Counts the end; with a fault, if nothing more could be made.
    fn close(&mut self, tally: &mut ItemTally, fault: Option<Fault>) {
        match (self.origin, self.fault.take().or(fault)) {
            (origin, Some(fault)) => origin.fail(tally, fault),
            (ExpansionOrigin::Item(_), None) => tally.done += 1,
            (ExpansionOrigin::Root(_), None) => {}
        }
    }
}
