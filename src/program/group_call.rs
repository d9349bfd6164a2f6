//! Steps of programs that take one item, over the items of a stream: several of them travel in one line.
//!
//! Each item is a call of its own all the same. A program may answer for the first ones and be asked for the others, and
//! where it answers for none, because an item ended its process, each is asked for alone.

use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::step::{
    BatchPlaces, Call, Fault, ItemBatch, JsonValue, KernelFactory, KernelRun, NumberValue, Payload,
    StepDeclaration, StreamKernel, TextValue,
};

use super::plain_item::PlainItem;
use super::pool::ProgramPool;
use super::step_call::wrong;

/// The items of one line, at most.
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
    fn results(&self, items: &[Json], call: &Call) -> Result<Vec<Result<B, Fault>>, Fault> {
        let results = self.pool.call_batch(&self.step, call, items)?;
        if results.is_empty() || results.len() > items.len() {
            let reason = format!("the step gave {} results for {} items", results.len(), items.len());
            return Err(wrong(reason));
        }
        Ok(results.into_iter().map(|result| result.and_then(B::made)).collect())
    }
}

impl<A: PlainItem, B: PlainItem> StreamKernel for GroupKernel<A, B> {
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let (places, items) = batch.take::<A>();
        let items: Vec<Json> = items.into_iter().map(A::into_json).collect();
        let (mut given, mut kept) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        let (mut next, mut end_of_alone) = (0, 0);
        while next < items.len() {
            let most = if next < end_of_alone { 1 } else { GROUP_MAX };
            let end = items.len().min(next + most);
            match self.results(&items[next..end], run.call) {
                Ok(results) => {
                    for result in results {
                        match result {
                            Ok(item) => {
                                given.push(item);
                                kept.push(places.get(next));
                            }
                            Err(fault) => run.tally.fail(places.get(next), fault),
                        }
                        next += 1;
                    }
                }
                Err(_) if end - next > 1 => end_of_alone = end,
                Err(fault) => {
                    run.tally.fail(places.get(next), fault);
                    next += 1;
                }
            }
        }
        run.tally.done += given.len() as u64;
        (run.give)(0, ItemBatch::new(BatchPlaces::Each(kept), given));
    }
}
