//! Steps of programs that take their items in batches.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::step::{
    BatchPlaces, BatchSize, Call, Fault, FaultKind, ItemBatch, ItemOrdinal, KernelFactory, KernelRun,
    StepDeclaration, StreamKernel,
};

use super::item_results::ItemResults;
use super::message::SentItems;
use super::plain_item::PlainItem;
use super::pool::ProgramPool;

/// The results of a batch.
///
/// # Errors
/// The fault of the whole batch.
pub fn run_batch<A: PlainItem, B: PlainItem>(
    items: &[A],
    call: &Call,
    step: &StepDeclaration,
    pool: &ProgramPool,
) -> Result<ItemResults<B>, Fault> {
    pool.call_batch(step, call, &SentItems::of(items, pool.form()))
}

/// The kernel of a step that takes batches.
pub fn batch_kernel<A: PlainItem, B: PlainItem>(
    step: &StepDeclaration,
    pool: &Arc<ProgramPool>,
) -> KernelFactory {
    let (step, pool) = (step.clone(), Arc::clone(pool));
    Arc::new(move |size| {
        let (step, pool) = (step.clone(), Arc::clone(&pool));
        let (items, places, types) = (Vec::new(), Vec::new(), PhantomData::<fn() -> B>);
        Box::new(ProgramBatchKernel::<A, B> { step, pool, size, items, places, bytes: 0, types })
    })
}

struct ProgramBatchKernel<A, B> {
    step: StepDeclaration,
    pool: Arc<ProgramPool>,
    size: BatchSize,
    /// Items that wait until the batch is full.
    items: Vec<A>,
    places: Vec<ItemOrdinal>,
    bytes: usize,
    types: PhantomData<fn() -> B>,
}

impl<A: PlainItem, B: PlainItem> ProgramBatchKernel<A, B> {
    fn work(&mut self, run: &mut KernelRun) {
        let (items, places) = (std::mem::take(&mut self.items), std::mem::take(&mut self.places));
        self.bytes = 0;
        let results = run_batch::<A, B>(&items, run.call, &self.step, &self.pool);
        let counted = results.and_then(|results| match results.len() == items.len() {
            true => Ok(results),
            false => Err(miscounted(results.len(), items.len())),
        });
        match counted {
            Ok(results) => results.give(BatchPlaces::Each(places), run),
            Err(fault) => places.into_iter().for_each(|place| run.tally.fail(place, fault.clone())),
        }
    }
}

fn miscounted(results: usize, items: usize) -> Fault {
    let remedy = "Correct the step: it has to give one result for each item.";
    Fault::of(FaultKind::Broken, format!("it gave {results} results for a batch of {items}"), remedy)
}

impl<A: PlainItem, B: PlainItem> StreamKernel for ProgramBatchKernel<A, B> {
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let (places, items) = batch.take::<A>();
        for (index, item) in items.into_iter().enumerate() {
            self.bytes += item.bytes_in_memory();
            self.items.push(item);
            self.places.push(places.get(index));
            if self.items.len() >= self.size.items || self.bytes >= self.size.bytes {
                self.work(run);
            }
        }
    }

    fn flush(&mut self, run: &mut KernelRun) {
        if !self.items.is_empty() {
            self.work(run);
        }
    }
}
