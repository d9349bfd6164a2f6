//! The kernel of a join: items of two streams with the same key meet.
//!
//! The items of the right stream are kept in memory, by key, up to a bound in bytes. Those of the left stream go on as
//! they come, in their order, once the right stream has ended; until then they are held.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::step::{Call, Fault};

use super::batch::{BatchPlaces, ItemBatch, StreamItem};
use super::kernel::{KernelRun, StreamKernel};
use super::ordinal::ItemOrdinal;

/// The rule of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinRule {
    /// What becomes of an item of the left stream that has no match.
    pub unmatched: UnmatchedItem,
    /// The bytes in memory that the items of the right stream may take.
    pub right_bytes_max: usize,
}

/// What becomes of an item of the left stream that has no match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmatchedItem {
    /// The item is dropped: an inner join.
    Drop,
    /// The item goes on alone: a left outer join.
    Keep,
}

impl JoinRule {
    /// The bound in bytes of a join whose file says none.
    pub const RIGHT_BYTES_MAX: usize = 256 << 20;
}

/// The functions of a join.
pub(super) struct JoinFunctions<L, R, F, G> {
    pub left_key: L,
    pub right_key: R,
    pub combine: F,
    pub rule: G,
}

pub(super) struct JoinKernel<A, B, K, L, R, F, G> {
    functions: Arc<JoinFunctions<L, R, F, G>>,
    right: HashMap<K, Vec<B>>,
    right_bytes: usize,
    rule: Option<JoinRule>,
    has_ended: bool,
    held: Vec<(BatchPlaces, Vec<A>)>,
}

impl<A, B, K, L, R, F, G> JoinKernel<A, B, K, L, R, F, G> {
    pub fn new(functions: &Arc<JoinFunctions<L, R, F, G>>) -> Self {
        JoinKernel {
            functions: Arc::clone(functions),
            right: HashMap::new(),
            right_bytes: 0,
            rule: None,
            has_ended: false,
            held: Vec::new(),
        }
    }
}

impl<A, B, C, K, L, R, F, G> JoinKernel<A, B, K, L, R, F, G>
where
    A: StreamItem,
    B: StreamItem,
    C: StreamItem,
    K: Hash + Eq + Send,
    L: Fn(&A, &Call) -> Result<Option<K>, Fault> + Send + Sync,
    F: Fn(&A, Option<&B>, &Call) -> Result<C, Fault> + Send + Sync,
    G: Fn(&Call) -> JoinRule + Send + Sync,
{
    fn rule(&mut self, call: &Call) -> JoinRule {
        *self.rule.get_or_insert_with(|| (self.functions.rule)(call))
    }

    /// Gives what is made of a batch of the left stream.
    fn join(&mut self, places: &BatchPlaces, items: Vec<A>, run: &mut KernelRun) {
        let unmatched = self.rule(run.call).unmatched;
        let (mut given_places, mut given) = (Vec::new(), Vec::new());
        for (index, item) in items.into_iter().enumerate() {
            let place = places.get(index);
            let (mut made, mut result) = (Vec::new(), Ok(()));
            let ended = (run.guard)(&mut || result = self.matched(&item, unmatched, run.call, &mut made));
            match ended.and(result) {
                Ok(()) => {
                    run.tally.done += 1;
                    given_places.extend((0..made.len()).map(|number| place.child(number as u64)));
                    given.extend(made);
                }
                Err(fault) => run.tally.fail(place, fault),
            }
        }
        (run.give)(0, ItemBatch::new(BatchPlaces::Each(given_places), given));
    }

    fn matched(
        &self,
        item: &A,
        unmatched: UnmatchedItem,
        call: &Call,
        made: &mut Vec<C>,
    ) -> Result<(), Fault> {
        let JoinFunctions { left_key, combine, .. } = &*self.functions;
        let matches = left_key(item, call)?.and_then(|key| self.right.get(&key));
        match matches {
            Some(matches) => {
                for right in matches {
                    made.push(combine(item, Some(right), call)?);
                }
            }
            None if unmatched == UnmatchedItem::Keep => made.push(combine(item, None, call)?),
            None => {}
        }
        Ok(())
    }
}

impl<A, B, C, K, L, R, F, G> StreamKernel for JoinKernel<A, B, K, L, R, F, G>
where
    A: StreamItem,
    B: StreamItem,
    C: StreamItem,
    K: Hash + Eq + Send,
    L: Fn(&A, &Call) -> Result<Option<K>, Fault> + Send + Sync,
    R: Fn(&B, &Call) -> Result<Option<K>, Fault> + Send + Sync,
    F: Fn(&A, Option<&B>, &Call) -> Result<C, Fault> + Send + Sync,
    G: Fn(&Call) -> JoinRule + Send + Sync,
{
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let (places, items) = batch.take::<A>();
        if self.has_ended {
            return self.join(&places, items, run);
        }
        self.held.push((places, items));
    }

    fn take_right(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let bytes_max = self.rule(run.call).right_bytes_max;
        let (places, items) = batch.take::<B>();
        for (index, item) in items.into_iter().enumerate() {
            if run.tally.whole.is_some() {
                return;
            }
            let mut key = Ok(None);
            let ended = (run.guard)(&mut || key = (self.functions.right_key)(&item, run.call));
            match ended.and(key) {
                Ok(key) => {
                    run.tally.done += 1;
                    // What has no key meets nothing.
                    let Some(key) = key else { continue };
                    self.right_bytes += item.bytes_in_memory();
                    self.right.entry(key).or_default().push(item);
                }
                Err(fault) => run.tally.fail(places.get(index), fault),
            }
            if self.right_bytes > bytes_max {
                self.right.clear();
                run.tally.fail_whole(too_large(bytes_max, places.get(index)));
            }
        }
    }

    fn end_right(&mut self, run: &mut KernelRun) {
        self.has_ended = true;
        for (places, items) in std::mem::take(&mut self.held) {
            self.join(&places, items, run);
        }
    }
}

fn too_large(bytes_max: usize, place: ItemOrdinal) -> Fault {
    Fault::new(
        format!("the right stream takes more than {} MiB of memory at item {place}", bytes_max >> 20),
        "Take the smaller stream as the right one, drop what is not needed before, or raise the bound.",
    )
}
