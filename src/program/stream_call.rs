//! Programs of steps that make a stream, or take one: the lines of such a call, and the process that it keeps.
//!
//! The process belongs to the stream as long as there are items, beside those of `processes`: other steps of the same
//! program go on meanwhile.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::step::{
    BatchPlaces, BatchSize, Call, CancelToken, Fault, GuardFunction, ItemBatch, ItemMaker, ItemOrdinal,
    KernelRun, MadeItems, StepDeclaration, StreamKernel, Value, WiredInput,
};

use super::plain_item::PlainItem;
use super::pool::{ProgramPool, StreamProcess};
use super::step_call::{StepAnswer, wrong};

/// A stream that a program makes.
pub struct ProgramMaker<B> {
    process: StreamProcess,
    token: CancelToken,
    /// What the program gave and nobody has taken yet.
    given: VecDeque<Result<Json, Fault>>,
    /// The number of items that were taken.
    taken: u64,
    has_more: bool,
    item: PhantomData<fn() -> B>,
}

impl<B: PlainItem> ProgramMaker<B> {
    /// Begins to make the stream.
    ///
    /// # Errors
    /// The fault of the step, or of its program.
    pub fn begin(
        pool: &Arc<ProgramPool>,
        step: &StepDeclaration,
        call: &Call,
    ) -> Result<ProgramMaker<B>, Fault> {
        let (process, answer) = pool.begin_stream(step, call)?;
        let mut maker = ProgramMaker {
            process,
            token: call.token.clone(),
            given: VecDeque::new(),
            taken: 0,
            has_more: true,
            item: PhantomData,
        };
        maker.note(answer)?;
        Ok(maker)
    }

    fn note(&mut self, answer: StepAnswer) -> Result<(), Fault> {
        let (items, has_more) = answer.items(self.process.errors())?;
        self.given.extend(items);
        self.has_more = has_more;
        if !has_more {
            self.process.give_back();
        }
        Ok(())
    }
}

impl<B: PlainItem> ItemMaker for ProgramMaker<B> {
    fn next(
        &mut self,
        size: BatchSize,
        parent: ItemOrdinal,
        _: GuardFunction,
    ) -> Result<Option<MadeItems>, Fault> {
        while self.given.is_empty() && self.has_more {
            let answer = self.process.ask(&json!({"next": size.items.min(ITEMS_MAX)}), &self.token)?;
            self.note(answer)?;
        }
        let (mut items, mut places, mut faults, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        while items.len() + faults.len() < size.items && bytes < size.bytes {
            let Some(given) = self.given.pop_front() else { break };
            let place = parent.child(self.taken);
            self.taken += 1;
            match given.and_then(B::made) {
                Ok(item) => {
                    bytes += item.bytes_in_memory();
                    items.push(item);
                    places.push(place);
                }
                Err(fault) => faults.push((place, fault)),
            }
        }
        let is_over = items.is_empty() && faults.is_empty();
        let batch = ItemBatch::new(BatchPlaces::Each(places), items);
        Ok((!is_over).then_some(MadeItems { batch, faults }))
    }
}

/// The items that are asked for at once, at most.
const ITEMS_MAX: usize = 1024;

/// A program that takes all items of a stream.
pub struct ProgramFold {
    pool: Arc<ProgramPool>,
    step: StepDeclaration,
    process: Option<StreamProcess>,
    /// The result, which the program may give before the end of the stream.
    result: Option<Value>,
}

impl ProgramFold {
    pub fn new(pool: &Arc<ProgramPool>, step: &StepDeclaration) -> ProgramFold {
        ProgramFold { pool: Arc::clone(pool), step: step.clone(), process: None, result: None }
    }

    /// Sends items.
    ///
    /// # Errors
    /// The fault of the step, or of its program.
    pub fn send(&mut self, items: Vec<Value>, call: &Call) -> Result<(), Fault> {
        self.begin(call)?;
        let items: Vec<Json> = items.iter().map(|item| item.to_json().unwrap_or_default()).collect();
        self.ask(&json!({"items": items}), call)
    }

    /// Says that no more items come, and gives the result.
    ///
    /// # Errors
    /// The fault of the step, or of its program.
    pub fn finish(&mut self, call: &Call) -> Result<Value, Fault> {
        self.begin(call)?;
        self.ask(&json!({"end": true}), call)?;
        self.result.take().ok_or_else(|| wrong("the step gave no result at the end of its stream".to_owned()))
    }

    fn begin(&mut self, call: &Call) -> Result<(), Fault> {
        if self.process.is_some() || self.result.is_some() {
            return Ok(());
        }
        // The values of the stream come item by item.
        let inputs = call.inputs.clone().replaced(self.step.inputs[0].name, WiredInput::Absent);
        let (process, answer) = self.pool.begin_stream(&self.step, &Call { inputs: &inputs, ..*call })?;
        self.process = Some(process);
        self.note(answer)
    }

    fn ask(&mut self, line: &Json, call: &Call) -> Result<(), Fault> {
        if self.result.is_some() {
            return Ok(());
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        let answer = process.ask(line, call.token)?;
        self.note(answer)
    }

    fn note(&mut self, answer: StepAnswer) -> Result<(), Fault> {
        let Some(process) = &mut self.process else { return Ok(()) };
        if let Some(outputs) = process.outputs(answer, &self.step)? {
            self.result = outputs.get(self.step.outputs[0].name).cloned();
            process.give_back();
        }
        Ok(())
    }
}

impl StreamKernel for ProgramFold {
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        if run.tally.whole.is_some() {
            return;
        }
        let items = batch.into_values().1;
        run.tally.done += items.len() as u64;
        self.send(items, run.call).err().into_iter().for_each(|fault| run.tally.fail_whole(fault));
    }

    fn end(&mut self, run: &mut KernelRun) -> Option<Value> {
        if run.tally.whole.is_some() {
            return None;
        }
        self.finish(run.call).map_err(|fault| run.tally.fail_whole(fault)).ok()
    }
}
