//! Steps of programs that take their items in batches.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::step::{
    BatchPlaces, Call, Fault, FaultKind, ItemBatch, ItemOrdinal, KernelFactory, KernelRun, StepDeclaration,
    StreamKernel, WaitingItems,
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
        let waiting = WaitingItems::new(size);
        Box::new(ProgramBatchKernel::<A, B> { step, pool, waiting, types: PhantomData })
    })
}

struct ProgramBatchKernel<A, B> {
    step: StepDeclaration,
    pool: Arc<ProgramPool>,
    waiting: WaitingItems<A>,
    types: PhantomData<fn() -> B>,
}

fn work<A: PlainItem, B: PlainItem>(
    items: &[A],
    places: Vec<ItemOrdinal>,
    (step, pool): (&StepDeclaration, &ProgramPool),
    run: &mut KernelRun,
) {
    let results = run_batch::<A, B>(items, run.call, step, pool);
    let counted = results.and_then(|results| match results.len() == items.len() {
        true => Ok(results),
        false => Err(miscounted(results.len(), items.len())),
    });
    match counted {
        Ok(results) => results.give(BatchPlaces::Each(places), run),
        Err(fault) => places.into_iter().for_each(|place| run.tally.fail(place, fault.clone())),
    }
}

fn miscounted(results: usize, items: usize) -> Fault {
    let remedy = "Correct the step: it has to give one result for each item.";
    Fault::of(FaultKind::Broken, format!("it gave {results} results for a batch of {items}"), remedy)
}

impl<A: PlainItem, B: PlainItem> StreamKernel for ProgramBatchKernel<A, B> {
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let ProgramBatchKernel { step, pool, waiting, .. } = self;
        waiting.add(batch, |items, places| work::<A, B>(&items, places, (step, pool), run));
    }

    fn flush(&mut self, run: &mut KernelRun) {
        let rest = self.waiting.rest();
        let program = (&self.step, &*self.pool);
        rest.into_iter().for_each(|(items, places)| work::<A, B>(&items, places, program, run));
    }
}
