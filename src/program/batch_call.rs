//! Steps of programs that take their items in batches.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::step::{
    BatchPlaces, BatchSize, Call, Fault, FaultKind, ItemBatch, KernelRun, StepDeclaration, WaitingItems,
};

use super::item_results::ItemResults;
use super::link_kernel::{LinkAnswer, LinkKernel, LinkPlaces, OWN_TYPE};
use super::message::SentItems;
use super::plain_item::{PlainItem, TypedMaker, for_types};
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

/// The kernel of a step that takes batches of this size.
pub fn batch_link(step: &StepDeclaration, size: BatchSize, pool: &Arc<ProgramPool>) -> Box<dyn LinkKernel> {
    for_types(step, BatchMaker { step, size, pool })
}

struct BatchMaker<'a> {
    step: &'a StepDeclaration,
    size: BatchSize,
    pool: &'a Arc<ProgramPool>,
}

impl TypedMaker for BatchMaker<'_> {
    type Made = Box<dyn LinkKernel>;

    fn make<A: PlainItem, B: PlainItem>(self) -> Box<dyn LinkKernel> {
        let (step, pool) = (self.step.clone(), Arc::clone(self.pool));
        let waiting = WaitingItems::new(self.size);
        Box::new(ProgramBatchKernel::<A, B> { step, pool, waiting, types: PhantomData })
    }
}

struct ProgramBatchKernel<A, B> {
    step: StepDeclaration,
    pool: Arc<ProgramPool>,
    waiting: WaitingItems<A>,
    types: PhantomData<fn() -> B>,
}

fn settle<B: PlainItem>(results: Result<ItemResults<B>, Fault>, of: LinkPlaces, run: &mut KernelRun) {
    let LinkPlaces { places, len } = of;
    let counted = results.and_then(|results| match results.len() == len {
        true => Ok(results),
        false => Err(miscounted(results.len(), len)),
    });
    match counted {
        Ok(results) => results.give(places, run),
        Err(fault) => (0..len).for_each(|index| run.tally.fail(places.get(index), fault.clone())),
    }
}

fn miscounted(results: usize, items: usize) -> Fault {
    let remedy = "Correct the step: it has to give one result for each item.";
    Fault::of(FaultKind::Broken, format!("it gave {results} results for a batch of {items}"), remedy)
}

impl<A: PlainItem, B: PlainItem> LinkKernel for ProgramBatchKernel<A, B> {
    fn due(&mut self, batch: ItemBatch) -> Vec<ItemBatch> {
        let mut due = Vec::new();
        let full = |items, places| due.push(ItemBatch::new(BatchPlaces::Each(places), items));
        self.waiting.add(batch, full);
        due
    }

    fn rest(&mut self) -> Option<ItemBatch> {
        let (items, places) = self.waiting.rest()?;
        Some(ItemBatch::new(BatchPlaces::Each(places), items))
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn sent(&self, items: &ItemBatch) -> SentItems {
        SentItems::of(items.items::<A>().expect(OWN_TYPE), self.pool.form())
    }

    fn work(&self, items: &ItemBatch, run: &mut KernelRun) {
        let own = items.items::<A>().expect(OWN_TYPE);
        settle(run_batch::<A, B>(own, run.call, &self.step, &self.pool), LinkPlaces::of(items), run);
    }

    fn take_own(&self, answer: LinkAnswer, items: &ItemBatch, run: &mut KernelRun) -> bool {
        self.take_results(answer, LinkPlaces::of(items), run)
    }

    fn take_results(&self, answer: LinkAnswer, of: LinkPlaces, run: &mut KernelRun) -> bool {
        settle(answer.answer.results::<B>(answer.log), of, run);
        true
    }
}
