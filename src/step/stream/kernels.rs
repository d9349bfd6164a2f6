//! The kernels, compiled for the types of a step's items: one item, one or none, a batch, a fold.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::step::{Call, Fault, Payload, Value};

use super::batch::{BatchPlaces, BatchSize, ItemBatch, StreamItem};
use super::kernel::{KernelRun, StreamKernel};
use super::ordinal::ItemOrdinal;
use super::waiting_items::WaitingItems;

/// A step that gives one item or none for each.
pub(super) struct ItemKernel<A, B, F> {
    step: Arc<F>,
    types: PhantomData<fn(A) -> B>,
}

impl<A, B, F> ItemKernel<A, B, F> {
    pub fn new(step: &Arc<F>) -> ItemKernel<A, B, F> {
        ItemKernel { step: Arc::clone(step), types: PhantomData }
    }
}

impl<A, B, F> StreamKernel for ItemKernel<A, B, F>
where
    A: StreamItem,
    B: StreamItem,
    F: Fn(A, &Call) -> Result<Option<B>, Fault> + Send + Sync,
{
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let (places, items) = batch.take::<A>();
        let len = items.len();
        let (mut given, mut absent) = (Vec::with_capacity(len), Vec::new());
        let mut items = items.into_iter();
        // One guard for the whole batch; after a panic, the next one begins behind the item.
        while items.len() > 0 {
            let KernelRun { call, guard, tally, .. } = &mut *run;
            let ended = guard(&mut || {
                for item in items.by_ref() {
                    match (self.step)(item, call) {
                        Ok(Some(item)) => given.push(item),
                        Ok(None) => {
                            tally.done += 1;
                            absent.push(given.len() + absent.len());
                        }
                        Err(fault) => {
                            let index = given.len() + absent.len();
                            tally.fail(places.get(index), fault);
                            absent.push(index);
                        }
                    }
                }
            });
            if let Err(fault) = ended {
                let index = given.len() + absent.len();
                tally.fail(places.get(index), fault);
                absent.push(index);
            }
        }
        run.tally.done += given.len() as u64;
        let places = if absent.is_empty() { places } else { without(&places, len, &absent) };
        (run.give)(0, ItemBatch::new(places, given));
    }
}

/// A step that gives one item for each. What it does costs less than the choice of [`ItemKernel`].
pub(super) struct EachKernel<A, B, F> {
    step: Arc<F>,
    types: PhantomData<fn(A) -> B>,
}

impl<A, B, F> EachKernel<A, B, F> {
    pub fn new(step: &Arc<F>) -> EachKernel<A, B, F> {
        EachKernel { step: Arc::clone(step), types: PhantomData }
    }
}

impl<A, B, F> StreamKernel for EachKernel<A, B, F>
where
    A: StreamItem,
    B: StreamItem,
    F: Fn(A, &Call) -> Result<B, Fault> + Send + Sync,
{
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let (places, items) = batch.take::<A>();
        let len = items.len();
        let (mut given, mut failed) = (Vec::with_capacity(len), Vec::new());
        let mut items = items.into_iter();
        while items.len() > 0 {
            let KernelRun { call, guard, .. } = &mut *run;
            let mut fault = None;
            let ended = guard(&mut || {
                for item in items.by_ref() {
                    match (self.step)(item, call) {
                        Ok(item) => given.push(item),
                        Err(of_item) => {
                            fault = Some(of_item);
                            break;
                        }
                    }
                }
            });
            if let Some(fault) = ended.err().or(fault) {
                let index = given.len() + failed.len();
                run.tally.fail(places.get(index), fault);
                failed.push(index);
            }
        }
        run.tally.done += given.len() as u64;
        let places = if failed.is_empty() { places } else { without(&places, len, &failed) };
        (run.give)(0, ItemBatch::new(places, given));
    }
}

/// A step that takes items in batches. Each is treated by itself: which items share a batch has no meaning.
pub(super) struct BatchKernel<A, B, F> {
    step: Arc<F>,
    waiting: WaitingItems<A>,
    types: PhantomData<fn(A) -> B>,
}

impl<A: StreamItem, B, F> BatchKernel<A, B, F> {
    pub fn new(step: &Arc<F>, size: BatchSize) -> BatchKernel<A, B, F> {
        BatchKernel { step: Arc::clone(step), waiting: WaitingItems::new(size), types: PhantomData }
    }
}

/// Runs a step on a batch.
fn run_batch<A, B, F>(step: &F, items: Vec<A>, places: Vec<ItemOrdinal>, run: &mut KernelRun)
where
    A: StreamItem,
    B: StreamItem,
    F: Fn(Vec<A>, &Call) -> Result<Vec<Result<B, Fault>>, Fault>,
{
    let (mut items, mut results) = (Some(items), Ok(Vec::new()));
    let ended = (run.guard)(&mut || results = step(items.take().unwrap_or_default(), run.call));
    let counted = ended.and(results).and_then(|results| match results.len() == places.len() {
        true => Ok(results),
        false => {
            Err(miscounted(format!("it gave {} results for a batch of {}", results.len(), places.len())))
        }
    });
    let results = match counted {
        Ok(results) => results,
        Err(fault) => {
            return places.into_iter().for_each(|place| run.tally.fail(place, fault.clone()));
        }
    };
    let (mut given, mut kept) = (Vec::with_capacity(results.len()), Vec::with_capacity(results.len()));
    for (place, result) in places.into_iter().zip(results) {
        match result {
            Ok(item) => {
                given.push(item);
                kept.push(place);
            }
            Err(fault) => run.tally.fail(place, fault),
        }
    }
    run.tally.done += given.len() as u64;
    (run.give)(0, ItemBatch::new(BatchPlaces::Each(kept), given));
}

fn miscounted(reason: String) -> Fault {
    let remedy = "Please report this to the authors of the step: it has to give one result for each item.";
    Fault::of(crate::step::FaultKind::Broken, reason, remedy)
}

impl<A, B, F> StreamKernel for BatchKernel<A, B, F>
where
    A: StreamItem,
    B: StreamItem,
    F: Fn(Vec<A>, &Call) -> Result<Vec<Result<B, Fault>>, Fault> + Send + Sync,
{
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let BatchKernel { step, waiting, .. } = self;
        waiting.add(batch, |items, places| run_batch(&**step, items, places, run));
    }

    fn flush(&mut self, run: &mut KernelRun) {
        let rest = self.waiting.rest();
        rest.into_iter().for_each(|(items, places)| run_batch(&*self.step, items, places, run));
    }
}

/// A step that adds up all items, in their order.
pub(super) struct FoldKernel<A, S, G, F> {
    begin: Arc<G>,
    add: Arc<F>,
    sum: Option<S>,
    types: PhantomData<fn(A)>,
}

impl<A, S, G, F> FoldKernel<A, S, G, F> {
    pub fn new(begin: &Arc<G>, add: &Arc<F>) -> FoldKernel<A, S, G, F> {
        FoldKernel { begin: Arc::clone(begin), add: Arc::clone(add), sum: None, types: PhantomData }
    }
}

impl<A, S, G, F> StreamKernel for FoldKernel<A, S, G, F>
where
    A: StreamItem,
    S: Payload,
    G: Fn(&Call) -> S + Send + Sync,
    F: Fn(&mut S, A) -> Result<(), Fault> + Send + Sync,
{
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        if run.tally.whole.is_some() {
            return;
        }
        let (_, items) = batch.take::<A>();
        let (len, mut items) = (items.len(), items.into_iter());
        let mut added = Ok(());
        let ended = (run.guard)(&mut || {
            let sum = self.sum.get_or_insert_with(|| (self.begin)(run.call));
            added = items.by_ref().try_for_each(|item| (self.add)(sum, item));
        });
        run.tally.done += len as u64;
        // A sum to which an item was added by half is no sum.
        ended.and(added).err().into_iter().for_each(|fault| run.tally.fail_whole(fault));
    }

    fn end(&mut self, run: &mut KernelRun) -> Option<Value> {
        let ended = (run.guard)(&mut || _ = self.sum.get_or_insert_with(|| (self.begin)(run.call)));
        ended.err().into_iter().for_each(|fault| run.tally.fail_whole(fault));
        self.sum.take().map(Value::new)
    }
}

/// The places of a batch of `len` items without those at these indices, which ascend.
fn without(places: &BatchPlaces, len: usize, absent: &[usize]) -> BatchPlaces {
    let mut absent = absent.iter().peekable();
    places.at((0..len).filter(|index| absent.next_if_eq(&index).is_none()))
}
