//! Steps of programs that take one item, over the items of a stream: several of them travel in one message.
//!
//! Each item is a call of its own all the same. A program may answer for the first ones and be asked for the others, and
//! where it answers for none, because an item ended its process, each is asked for alone.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::step::{
    Call, Fault, ItemBatch, JsonValue, KernelFactory, KernelRun, NumberValue, Payload, StepDeclaration,
    StreamKernel, TextValue,
};

use super::fault::wrong;
use super::item_results::ItemResults;
use super::message::SentItems;
use super::plain_item::PlainItem;
use super::pool::ProgramPool;

/// The items of one message, at most.
const GROUP_MAX: usize = 1024;

/// The kernel of a step that takes one value of a type that travels in a line, and gives one.
pub fn group_kernel(step: &StepDeclaration, pool: &Arc<ProgramPool>) -> KernelFactory {
    match step.inputs[0].kind {
        NumberValue::TYPE => kernel_from::<NumberValue>(step, pool),
        TextValue::TYPE => kernel_from::<TextValue>(step, pool),
        _ => kernel_from::<JsonValue>(step, pool),
    }
}

fn kernel_from<A: PlainItem>(step: &StepDeclaration, pool: &Arc<ProgramPool>) -> KernelFactory {
    match step.outputs[0].kind {
        NumberValue::TYPE => kernel_of::<A, NumberValue>(step, pool),
        TextValue::TYPE => kernel_of::<A, TextValue>(step, pool),
        _ => kernel_of::<A, JsonValue>(step, pool),
    }
}

fn kernel_of<A: PlainItem, B: PlainItem>(step: &StepDeclaration, pool: &Arc<ProgramPool>) -> KernelFactory {
    let (step, pool) = (step.clone(), Arc::clone(pool));
    Arc::new(move |_| {
        let (step, pool) = (step.clone(), Arc::clone(&pool));
        Box::new(GroupKernel { step, pool, types: PhantomData::<fn(A) -> B> })
    })
}

struct GroupKernel<A, B> {
    step: StepDeclaration,
    pool: Arc<ProgramPool>,
    types: PhantomData<fn(A) -> B>,
}

impl<A: PlainItem, B: PlainItem> GroupKernel<A, B> {
    /// The results of the first items; of all of them, unless the program is slow.
    fn results(&self, items: &[A], call: &Call) -> Result<ItemResults<B>, Fault> {
        let sent = SentItems::of(items, self.pool.form());
        let results = self.pool.call_batch::<B>(&self.step, call, &sent)?;
        if results.len() == 0 || results.len() > items.len() {
            let reason = format!("the step gave {} results for {} items", results.len(), items.len());
            return Err(wrong(reason));
        }
        Ok(results)
    }

    /// The results of all items.
    fn all_results(&self, items: &[A], call: &Call) -> ItemResults<B> {
        let mut all = ItemResults::with_capacity(items.len());
        let mut end_of_alone = 0;
        while all.len() < items.len() {
            let next = all.len();
            let most = if next < end_of_alone { 1 } else { GROUP_MAX };
            let end = items.len().min(next + most);
            match self.results(&items[next..end], call) {
                Ok(results) => all.append(results),
                Err(_) if end - next > 1 => end_of_alone = end,
                Err(fault) => all.push(Err(fault)),
            }
        }
        all
    }
}

impl<A: PlainItem, B: PlainItem> StreamKernel for GroupKernel<A, B> {
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let (places, items) = batch.take::<A>();
        self.all_results(&items, run.call).give(places, run);
    }
}
