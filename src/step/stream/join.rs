//! The kernel of a join: items of two streams with the same key meet.
//!
//! The items of the right stream are kept in memory, by key, up to a bound in bytes. Those of the left stream go on as
//! they come, in their order, once the right stream has ended; until then they are held, up to the same bound. Of what
//! is made of them, no more than a batch is kept, however many right items have one key.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use crate::step::{Call, Fault};

use super::batch::{BatchPlaces, BatchSize, ItemBatch, StreamItem};
use super::kernel::{KernelRun, StreamKernel};
use super::ordinal::ItemOrdinal;

/// The rule of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinRule {
    /// What becomes of an item of the left stream that has no match.
    pub unmatched: UnmatchedItem,
    /// The bytes in memory that the items of the right stream may take, and as many again for those of the left
    /// stream that wait for its end.
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
    /// The left items of which not all has been made.
    left: VecDeque<LeftItem<A>>,
    /// The bytes of those that wait for the end of the right stream.
    left_bytes: usize,
    /// The fault of a left stream that is too large to wait. One of the right stream comes before it.
    left_fault: Option<Fault>,
}

struct LeftItem<A> {
    place: ItemOrdinal,
    item: A,
    /// The number of its matches that went on.
    met: usize,
}

/// The items of a batch that is being made.
struct JoinedItems<C> {
    places: Vec<ItemOrdinal>,
    items: Vec<C>,
    bytes: usize,
    size: BatchSize,
}

/// How far a left item has come.
enum LeftProgress {
    Whole,
    /// The batch is full, or the run was cancelled.
    Interrupted,
}

impl<C: StreamItem> JoinedItems<C> {
    fn push(&mut self, place: ItemOrdinal, item: C) {
        self.bytes += item.bytes_in_memory();
        self.places.push(place);
        self.items.push(item);
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.size.items || self.bytes >= self.size.bytes
    }
}

impl<A, B, K, L, R, F, G> JoinKernel<A, B, K, L, R, F, G> {
    pub fn new(functions: &Arc<JoinFunctions<L, R, F, G>>) -> Self {
        JoinKernel {
            functions: Arc::clone(functions),
            right: HashMap::new(),
            right_bytes: 0,
            rule: None,
            has_ended: false,
            left: VecDeque::new(),
            left_bytes: 0,
            left_fault: None,
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

    /// Makes items of a left item and its matches, until the batch is full.
    fn meet(
        &self,
        left: &mut LeftItem<A>,
        unmatched: UnmatchedItem,
        call: &Call,
        made: &mut JoinedItems<C>,
    ) -> Result<LeftProgress, Fault> {
        let JoinFunctions { left_key, combine, .. } = &*self.functions;
        let matches = left_key(&left.item, call)?.and_then(|key| self.right.get(&key));
        match matches {
            Some(matches) => {
                for right in &matches[left.met..] {
                    if made.is_full() || call.token.is_cancelled() {
                        return Ok(LeftProgress::Interrupted);
                    }
                    made.push(left.place.child(left.met as u64), combine(&left.item, Some(right), call)?);
                    left.met += 1;
                }
            }
            None if unmatched == UnmatchedItem::Keep => {
                made.push(left.place.child(0), combine(&left.item, None, call)?);
            }
            None => {}
        }
        Ok(LeftProgress::Whole)
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
        if run.tally.whole.is_some() || self.left_fault.is_some() {
            return;
        }
        let bytes_max = self.rule(run.call).right_bytes_max;
        let (places, items) = batch.take::<A>();
        for (index, item) in items.into_iter().enumerate() {
            let place = places.get(index);
            if !self.has_ended {
                self.left_bytes += item.bytes_in_memory();
                if self.left_bytes > bytes_max {
                    self.left = VecDeque::new();
                    self.left_fault = Some(left_too_large(bytes_max, place));
                    return;
                }
            }
            self.left.push_back(LeftItem { place, item, met: 0 });
        }
    }

    fn next(&mut self, size: BatchSize, run: &mut KernelRun) {
        if !self.has_ended || run.tally.whole.is_some() {
            return;
        }
        let unmatched = self.rule(run.call).unmatched;
        let mut made = JoinedItems { places: Vec::new(), items: Vec::new(), bytes: 0, size };
        while !made.is_full() && !run.call.token.is_cancelled() {
            let Some(mut left) = self.left.pop_front() else { break };
            let mut result = Ok(LeftProgress::Whole);
            let ended = (run.guard)(&mut || result = self.meet(&mut left, unmatched, run.call, &mut made));
            match ended.and(result) {
                Ok(LeftProgress::Whole) => run.tally.done += 1,
                Ok(LeftProgress::Interrupted) => self.left.push_front(left),
                Err(fault) => run.tally.fail(left.place, fault),
            }
        }
        if !made.items.is_empty() {
            (run.give)(0, ItemBatch::new(BatchPlaces::Each(made.places), made.items));
        }
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
                (self.right, self.left) = (HashMap::new(), VecDeque::new());
                run.tally.fail_whole(right_too_large(bytes_max, places.get(index)));
            }
        }
    }

    fn end_right(&mut self, run: &mut KernelRun) {
        self.has_ended = true;
        self.left_fault.iter().for_each(|fault| run.tally.fail_whole(fault.clone()));
    }
}

fn right_too_large(bytes_max: usize, place: ItemOrdinal) -> Fault {
    Fault::new(
        format!("the right stream takes more than {} MiB of memory at item {place}", bytes_max >> 20),
        "Take the smaller stream as the right one, drop what is not needed before, or raise the bound.",
    )
}

fn left_too_large(bytes_max: usize, place: ItemOrdinal) -> Fault {
    Fault::new(
        format!(
            "the left stream waits for the end of the right one and takes more than {} MiB of memory at item {place}",
            bytes_max >> 20
        ),
        "Let a step of its own make the right stream, drop what is not needed before, or raise the bound.",
    )
}
