//! Steps of programs that take one item, over the items of a stream: several of them travel in one message.
//!
//! Each item is a call of its own all the same. A program may answer for the first ones and be asked for the others, and
//! where it answers for none, because an item ended its process, each is asked for alone.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::step::{Call, Fault, ItemBatch, KernelRun, StepDeclaration};

use super::fault::wrong;
use super::item_results::ItemResults;
use super::link_kernel::{LinkAnswer, LinkKernel, LinkPlaces, OWN_TYPE};
use super::message::SentItems;
use super::plain_item::{PlainItem, TypedMaker, for_types};
use super::pool::ProgramPool;

/// The items of one message, at most.
const GROUP_MAX: usize = 1024;

/// The kernel of a step that takes one value of a type that travels in a line, and gives one.
pub fn group_link(step: &StepDeclaration, pool: &Arc<ProgramPool>) -> Box<dyn LinkKernel> {
    for_types(step, GroupMaker { step, pool })
}

struct GroupMaker<'a> {
    step: &'a StepDeclaration,
    pool: &'a Arc<ProgramPool>,
}

impl TypedMaker for GroupMaker<'_> {
    type Made = Box<dyn LinkKernel>;

    fn make<A: PlainItem, B: PlainItem>(self) -> Box<dyn LinkKernel> {
        let (step, pool) = (self.step.clone(), Arc::clone(self.pool));
        Box::new(GroupKernel { step, pool, types: PhantomData::<fn(A) -> B> })
    }
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

    /// The results of all items, from those of the first ones.
    fn all_results(&self, first: ItemResults<B>, items: &[A], call: &Call) -> ItemResults<B> {
        let mut all = first;
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

    fn settle(&self, first: ItemResults<B>, items: &ItemBatch, run: &mut KernelRun) {
        let own = items.items::<A>().expect(OWN_TYPE);
        self.all_results(first, own, run.call).give(items.places().clone(), run);
    }
}

impl<A: PlainItem, B: PlainItem> LinkKernel for GroupKernel<A, B> {
    fn due(&mut self, batch: ItemBatch) -> Vec<ItemBatch> {
        let (places, mut items) = batch.take::<A>();
        let (mut due, mut at) = (Vec::new(), 0);
        while items.len() > GROUP_MAX {
            let rest = items.split_off(GROUP_MAX);
            let group = std::mem::replace(&mut items, rest);
            due.push(ItemBatch::new(places.at(at..at + GROUP_MAX), group));
            at += GROUP_MAX;
        }
        let places = if at == 0 { places } else { places.at(at..at + items.len()) };
        due.push(ItemBatch::new(places, items));
        due
    }

    fn rest(&mut self) -> Option<ItemBatch> {
        None
    }

    fn is_waiting(&self) -> bool {
        false
    }

    fn sent(&self, items: &ItemBatch) -> SentItems {
        SentItems::of(items.items::<A>().expect(OWN_TYPE), self.pool.form())
    }

    fn work(&self, items: &ItemBatch, run: &mut KernelRun) {
        self.settle(ItemResults::with_capacity(items.len()), items, run);
    }

    fn take_own(&self, answer: LinkAnswer, items: &ItemBatch, run: &mut KernelRun) -> bool {
        match answer.answer.results::<B>(answer.log) {
            Ok(first) if (1..=items.len()).contains(&first.len()) => {
                self.settle(first, items, run);
                true
            }
            _ => false,
        }
    }

    fn take_results(&self, answer: LinkAnswer, of: LinkPlaces, run: &mut KernelRun) -> bool {
        match answer.answer.results::<B>(answer.log) {
            Ok(results) if results.len() == of.len => {
                results.give(of.places, run);
                true
            }
            _ => false,
        }
    }
}
