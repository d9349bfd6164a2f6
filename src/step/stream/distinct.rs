//! The kernel that removes duplicates: of items with the same key, the first one goes on.

use std::collections::HashSet;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::step::{Call, Fault};

use super::batch::{BatchPlaces, ItemBatch, StreamItem};
use super::kernel::{KernelRun, StreamKernel};

/// A step that drops items whose key it has seen. Items come in their order, so that the first in the stream stays. It
/// keeps every key, and no item.
pub(super) struct DistinctKernel<A, K, F> {
    key: Arc<F>,
    seen: HashSet<K>,
    types: PhantomData<fn(A)>,
}

impl<A, K, F> DistinctKernel<A, K, F> {
    pub fn new(key: &Arc<F>) -> DistinctKernel<A, K, F> {
        DistinctKernel { key: Arc::clone(key), seen: HashSet::new(), types: PhantomData }
    }
}

impl<A, K, F> StreamKernel for DistinctKernel<A, K, F>
where
    A: StreamItem,
    K: Hash + Eq + Send,
    F: Fn(&A, &Call) -> Result<K, Fault> + Send + Sync,
{
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let (places, items) = batch.take::<A>();
        let (mut given, mut kept) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        let mut items = items.into_iter().enumerate();
        while items.len() > 0 {
            let KernelRun { call, guard, tally, .. } = &mut *run;
            let mut at = 0;
            let ended = guard(&mut || {
                for (index, item) in items.by_ref() {
                    at = index;
                    match (self.key)(&item, call) {
                        Ok(key) => {
                            tally.done += 1;
                            if self.seen.insert(key) {
                                given.push(item);
                                kept.push(places.get(index));
                            }
                        }
                        Err(fault) => tally.fail(places.get(index), fault),
                    }
                }
            });
            ended.err().into_iter().for_each(|fault| tally.fail(places.get(at), fault));
        }
        (run.give)(0, ItemBatch::new(BatchPlaces::Each(kept), given));
    }
}
