//! Programs of steps that make a stream, or take one: the messages of such a call, and the process that it keeps.
//!
//! The process belongs to the stream as long as there are items, beside those of `processes`: other steps of the same
//! program go on meanwhile. It works on the next message while flow works on the one before.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::step::{
    BatchPlaces, BatchSize, Call, CancelToken, Fault, GuardFunction, ItemBatch, ItemMaker, ItemOrdinal,
    JsonValue, KernelRun, MadeItems, NumberValue, Payload, StepDeclaration, StreamKernel, TextValue, Value,
    WiredInput,
};

use super::fault::wrong;
use super::item_results::{ItemResults, ResultIterator};
use super::message::{MessageForm, ProgramMessage, SentItems};
use super::plain_item::PlainItem;
use super::pool::{ProgramPool, StreamProcess};
use super::step_answer::StepAnswer;

/// A stream that a program makes.
pub struct ProgramMaker<B> {
    process: StreamProcess,
    token: CancelToken,
    /// Results that the program gave and nobody has taken yet.
    given: ResultIterator<B>,
    /// The number of items that were taken.
    taken: u64,
    has_more: bool,
    /// Why the program could not be asked for more, until what it gave has been taken.
    end: Option<Fault>,
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
            given: ItemResults::with_capacity(0).into_iter(),
            taken: 0,
            has_more: true,
            end: None,
        };
        maker.note(answer, ITEMS_MAX)?;
        Ok(maker)
    }

    /// Takes an answer, and asks for about as many items more, which are made while these are worked on.
    fn note(&mut self, answer: StepAnswer, size: usize) -> Result<(), Fault> {
        let (items, has_more) = answer.items(self.process.errors())?;
        self.given = items.into_iter();
        self.has_more = has_more;
        if has_more {
            let next = ProgramMessage::of_line(&json!({"next": size.min(ITEMS_MAX)}));
            self.end = self.process.send(&next, &self.token).err();
        } else {
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
        while self.given.len() == 0 && self.has_more {
            if let Some(fault) = self.end.take() {
                return Err(fault);
            }
            let answer = self.process.receive(&self.token)?;
            self.note(answer, size.items)?;
        }
        let (mut results, mut bytes) = (ItemResults::with_capacity(self.given.len().min(size.items)), 0);
        while results.len() < size.items && bytes < size.bytes {
            let Some(given) = self.given.next() else { break };
            bytes += given.as_ref().map_or(0, Payload::bytes_in_memory);
            results.push(given);
        }
        let (first, made) = (self.taken, results.len());
        self.taken += made as u64;
        let (batch, faults) = results.split(BatchPlaces::Run(parent, first));
        Ok((made > 0).then_some(MadeItems { batch, faults }))
    }
}

/// The items that are asked for at once, at most.
const ITEMS_MAX: usize = 1024;

/// A program that takes all items of a stream.
pub struct ProgramFold {
    pool: Arc<ProgramPool>,
    step: StepDeclaration,
    process: Option<StreamProcess>,
    /// Whether the answer to what was sent last has not been waited for.
    is_asked: bool,
    /// The result, which the program may give before the end of the stream.
    result: Option<Value>,
}

impl ProgramFold {
    pub fn new(pool: &Arc<ProgramPool>, step: &StepDeclaration) -> ProgramFold {
        let (pool, step) = (Arc::clone(pool), step.clone());
        ProgramFold { pool, step, process: None, is_asked: false, result: None }
    }

    /// Sends items. The program works on them until the next ones come.
    ///
    /// # Errors
    /// The fault of the step, or of its program; also one of what was sent before.
    pub fn send(&mut self, items: ItemBatch, call: &Call) -> Result<(), Fault> {
        self.begin(call)?;
        let items = sent(self.step.inputs[0].kind, items, self.pool.form());
        self.ask(&ProgramMessage::of_items(&items, "items"), call)
    }

    /// Says that no more items come, and gives the result.
    ///
    /// # Errors
    /// The fault of the step, or of its program.
    pub fn finish(&mut self, call: &Call) -> Result<Value, Fault> {
        self.begin(call)?;
        self.ask(&ProgramMessage::of_line(&json!({"end": true})), call)?;
        self.answer(call)?;
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

    /// Sends a message when the one before has been answered, unless that was the result.
    fn ask(&mut self, message: &ProgramMessage, call: &Call) -> Result<(), Fault> {
        self.answer(call)?;
        match &mut self.process {
            Some(process) if self.result.is_none() => {
                process.send(message, call.token)?;
                self.is_asked = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Waits for the answer to what was sent last.
    fn answer(&mut self, call: &Call) -> Result<(), Fault> {
        let Some(process) = self.process.as_mut().filter(|_| self.is_asked) else { return Ok(()) };
        self.is_asked = false;
        let answer = process.receive(call.token)?;
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

/// The items of a batch of this type, as they are sent.
fn sent(kind: &str, batch: ItemBatch, form: MessageForm) -> SentItems {
    match kind {
        NumberValue::TYPE => SentItems::of(&batch.take::<NumberValue>().1, form),
        TextValue::TYPE => SentItems::of(&batch.take::<TextValue>().1, form),
        JsonValue::TYPE => SentItems::of(&batch.take::<JsonValue>().1, form),
        _ => {
            let values = batch.into_values().1;
            let items: Vec<Json> = values.iter().map(|item| item.to_json().unwrap_or_default()).collect();
            SentItems::of_json(&items)
        }
    }
}

impl StreamKernel for ProgramFold {
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        if run.tally.whole.is_some() {
            return;
        }
        run.tally.done += batch.len() as u64;
        self.send(batch, run.call).err().into_iter().for_each(|fault| run.tally.fail_whole(fault));
    }

    fn end(&mut self, run: &mut KernelRun) -> Option<Value> {
        if run.tally.whole.is_some() {
            return None;
        }
        self.finish(run.call).map_err(|fault| run.tally.fail_whole(fault)).ok()
    }
}
