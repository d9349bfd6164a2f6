//! The kernel of a route: an item's value chooses the output at which it goes on, if it goes on at all.

use std::marker::PhantomData;

use crate::step::{Call, Fault};

use super::batch::{BatchPlaces, ItemBatch, StreamItem};
use super::kernel::{KernelRun, StreamKernel};
use super::ordinal::ItemOrdinal;

/// A step that gives each item at one of its outputs, or drops it.
pub(super) struct RouteKernel<A, F> {
    choose: F,
    outputs: usize,
    types: PhantomData<fn(A)>,
}

impl<A, F> RouteKernel<A, F>
where
    F: FnMut(&A, &Call) -> Result<Option<usize>, Fault> + Send,
{
    pub fn new(choose: F, outputs: usize) -> RouteKernel<A, F> {
        RouteKernel { choose, outputs, types: PhantomData }
    }
}

impl<A, F> StreamKernel for RouteKernel<A, F>
where
    A: StreamItem,
    F: FnMut(&A, &Call) -> Result<Option<usize>, Fault> + Send,
{
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let (places, items) = batch.take::<A>();
        let mut chosen: Vec<(Vec<ItemOrdinal>, Vec<A>)> = vec![Default::default(); self.outputs];
        let mut items = items.into_iter().enumerate();
        while items.len() > 0 {
            let KernelRun { call, guard, tally, .. } = &mut *run;
            let mut at = 0;
            let ended = guard(&mut || {
                for (index, item) in items.by_ref() {
                    at = index;
                    match (self.choose)(&item, call) {
                        Ok(output) => {
                            if let Some(output) = output {
                                let (places_there, items_there) = &mut chosen[output];
                                places_there.push(places.get(index));
                                items_there.push(item);
                            }
                            tally.done += 1;
                        }
                        Err(fault) => tally.fail(places.get(index), fault),
                    }
                }
            });
            ended.err().into_iter().for_each(|fault| tally.fail(places.get(at), fault));
        }
        for (output, (places, items)) in
            chosen.into_iter().enumerate().filter(|(_, (_, items))| !items.is_empty())
        {
            (run.give)(output, ItemBatch::new(BatchPlaces::Each(places), items));
        }
    }
}
