//! Chains of steps of one program: items go there once, through several steps, and come back.
//!
//! The program goes on to the next step as long as that would be sent the same items in the same message, and says
//! where it stopped: there the items come back, and go on as ever. So it is behind a step of which a result is not plain,
//! or that has written to standard error, and, where the next step takes batches, behind an item that failed. Messages that
//! a program does not answer so, for example because a step ends its process, are asked about step by step.

use std::sync::Arc;

use crate::step::{
    BatchSize, ChainFactory, ChainLink, ChainRun, ItemBatch, JsonValue, NumberValue, Payload,
    StepDeclaration, StreamChain, TextValue,
};

use super::batch_call::batch_link;
use super::group_call::group_link;
use super::link_kernel::{LinkAnswer, LinkKernel, LinkPlaces};
use super::pool::ProgramPool;
use super::step_answer::ChainProgress;
use super::step_call::{NextCall, SentBatch};

/// Makes chains of these steps of a program.
pub fn chain_factory(steps: Vec<StepDeclaration>, pool: &Arc<ProgramPool>) -> ChainFactory {
    let pool = Arc::clone(pool);
    Arc::new(move |links| {
        let declared = |link: &ChainLink| {
            steps.iter().find(|step| step.name == link.step).expect("it is a step of the program")
        };
        let links = links.iter().map(|link| ProgramLink::new(declared(link), link.size, &pool)).collect();
        Box::new(ProgramChain { pool: Arc::clone(&pool), links, is_chained: true })
    })
}

struct ProgramChain {
    pool: Arc<ProgramPool>,
    links: Vec<ProgramLink>,
    /// Whether several steps are asked at once. A program that did not do so once is not asked again.
    is_chained: bool,
}

struct ProgramLink {
    step: StepDeclaration,
    size: BatchSize,
    kernel: Box<dyn LinkKernel>,
}

/// Whether a message has the last items that a step gets for now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MessageEnd {
    Open,
    Last,
}

impl ProgramLink {
    fn new(step: &StepDeclaration, size: BatchSize, pool: &Arc<ProgramPool>) -> ProgramLink {
        let kernel = match step.batches {
            true => batch_link(step, size, pool),
            false => group_link(step, pool),
        };
        ProgramLink { step: step.clone(), size, kernel }
    }

    /// Whether the items that a step gives go on to this step in the same messages: each of them if this takes items one
    /// by one, and otherwise a batch, if this takes batches as well, and none waits here.
    fn goes_on(&self, before: &ProgramLink, len: usize, end: MessageEnd) -> bool {
        if !self.step.batches {
            return true;
        }
        let is_whole = len == self.size.items || end == MessageEnd::Last && len < self.size.items;
        before.step.batches && is_whole && !self.kernel.is_waiting() && self.bytes_most(len).is_some()
    }

    /// The bytes of a column of so many items up to which they are no more than one batch; `None` if they are more in any
    /// case, or that is not known.
    fn bytes_most(&self, len: usize) -> Option<usize> {
        // A column has a zero byte for each text.
        let beside = match self.step.inputs[0].kind {
            NumberValue::TYPE => size_of::<NumberValue>() - size_of::<f64>(),
            TextValue::TYPE => size_of::<TextValue>() - 1,
            _ => return None,
        };
        let left = self.size.bytes.checked_sub(1 + len * beside)?;
        let is_number = self.step.inputs[0].kind == NumberValue::TYPE;
        (!is_number || len * size_of::<f64>() <= left).then_some(left)
    }

    /// Whether the items and all other inputs can stand in a message to another step.
    fn can_follow(&self) -> bool {
        let is_plain = |kind| [JsonValue::TYPE, NumberValue::TYPE, TextValue::TYPE].contains(&kind);
        self.step.inputs[0].kind != JsonValue::TYPE
            && self.step.inputs.iter().all(|input| is_plain(input.kind))
    }
}

impl ProgramChain {
    /// Has items of a step go on from there.
    fn take_at(&mut self, at: usize, batch: ItemBatch, run: &mut ChainRun) {
        for items in self.links[at].kernel.due(batch) {
            self.work_at(at, items, MessageEnd::Open, run);
        }
    }

    fn work_at(&mut self, at: usize, items: ItemBatch, end: MessageEnd, run: &mut ChainRun) {
        let (mut last, mut given) = (at, Vec::new());
        let reach = self.reach(at, items.len(), end);
        let asked = if reach > at { self.ask((at, reach), &items, run, &mut given) } else { None };
        match asked {
            Some(stopped) => last = stopped,
            None => {
                self.is_chained &= reach == at;
                self.links[at].kernel.work(&items, &mut run.of(at, &mut |_, batch| given.push(batch)));
            }
        }
        for batch in given {
            if last + 1 == self.links.len() {
                (run.give)(batch);
            } else if !batch.is_empty() {
                self.take_at(last + 1, batch, run);
            }
        }
    }

    /// The last step that a message to a step can reach.
    fn reach(&self, at: usize, len: usize, end: MessageEnd) -> usize {
        let goes_on = |next: &usize| {
            self.links[*next].can_follow() && self.links[*next].goes_on(&self.links[next - 1], len, end)
        };
        let next = (at + 1..self.links.len()).take_while(goes_on);
        if self.is_chained { next.last().unwrap_or(at) } else { at }
    }

    /// Asks the steps of a range about the items of a message. Says which of them gave what is given, the others before
    /// it being done; `None` if the answer is of no use, and nothing is counted.
    fn ask(
        &self,
        (at, reach): (usize, usize),
        items: &ItemBatch,
        run: &mut ChainRun,
        given: &mut Vec<ItemBatch>,
    ) -> Option<usize> {
        let next = (at + 1..=reach).map(|link| NextCall {
            step: &self.links[link].step,
            call: &run.calls[link],
            bytes: self.links[link].bytes_most(items.len()).filter(|_| self.links[link].step.batches),
        });
        let next: Vec<NextCall> = next.collect();
        let first = &self.links[at];
        let batch = SentBatch { items: &first.kernel.sent(items), next: &next };
        let (mut answer, log) = self.pool.call_chain(&first.step, &run.calls[at], batch).ok()?;
        let progress = answer.progress(items.len(), reach - at)?;
        let last = at + progress.after;
        let answer = LinkAnswer { answer, log };
        let give = &mut |_, batch| given.push(batch);
        if last == at {
            return first.kernel.take_own(answer, items, &mut run.of(at, give)).then_some(at);
        }
        let places = left(items, &progress);
        let is_taken = self.links[last].kernel.take_results(answer, places, &mut run.of(last, give));
        is_taken.then(|| {
            count(at, items, progress, run);
            last
        })
    }
}

/// The places of the items that have not failed before.
fn left(items: &ItemBatch, progress: &ChainProgress) -> LinkPlaces {
    let len = items.len() - progress.before.len();
    if progress.before.is_empty() {
        return LinkPlaces::of(items);
    }
    let mut lost = progress.before.iter().map(|lost| lost.at).peekable();
    let kept = (0..items.len()).filter(|index| lost.next_if_eq(index).is_none());
    LinkPlaces { places: items.places().at(kept), len }
}

/// Counts items in the steps before the one that gave the answer.
fn count(at: usize, items: &ItemBatch, progress: ChainProgress, run: &mut ChainRun) {
    let mut done = vec![items.len(); progress.after];
    for lost in progress.before {
        done[lost.step..].iter_mut().for_each(|done| *done -= 1);
        run.tallies[at + lost.step].fail(items.places().get(lost.at), lost.fault);
    }
    done.iter().enumerate().for_each(|(step, done)| run.tallies[at + step].done += *done as u64);
}

impl StreamChain for ProgramChain {
    fn take(&mut self, batch: ItemBatch, run: &mut ChainRun) {
        self.take_at(0, batch, run);
    }

    fn flush(&mut self, run: &mut ChainRun) {
        for at in 0..self.links.len() {
            if let Some(items) = self.links[at].kernel.rest() {
                self.work_at(at, items, MessageEnd::Last, run);
            }
        }
    }
}
