//! Records of calls: the answers to a batch are in the journal before anything uses them, and after a restart they
//! are taken from there.

use std::sync::Arc;
use std::time::Duration;

use crate::step::{
    CallBatch, CallEnvironment, CallFault, CallLimits, CancelToken, Fault, FaultKind, PlacedBatch,
    QuestionKey, Value,
};

use super::batches_elsewhere::BatchesElsewhere;
use super::control::EngineControl;
use super::memory::{MemoryKey, RequestMemories};
use super::partial_text::PartialText;

/// The environment of the calls of one request.
pub struct RecordedCalls {
    pub memories: Arc<RequestMemories>,
    pub memory: MemoryKey,
    pub control: Arc<EngineControl>,
    pub dataflow: Arc<str>,
    pub elsewhere: Option<Arc<BatchesElsewhere>>,
}

impl CallEnvironment for RecordedCalls {
    fn recall(&self, batch: &CallBatch) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.memories.recall_answers(self.memory, batch))
    }

    fn recall_each(&self, questions: &[QuestionKey]) -> Vec<Option<Vec<u8>>> {
        self.memories.recall_each(self.memory, questions)
    }

    fn record(&self, batch: &CallBatch, answers: &[u8], failed: Option<&Fault>) -> Result<(), Fault> {
        self.memories.note_answers(self.memory, batch, answers, failed).map_err(|error| {
            Fault::of(
                FaultKind::Storage,
                format!("the answers to a call could not be recorded: {error}"),
                "Make room on the disk of --state or give another folder, and run the request again with `flow retry`.",
            )
        })
    }

    fn begin_attempt(&self, limits: &CallLimits, token: &CancelToken) {
        self.control.begin_call(&self.dataflow, limits, token);
    }

    fn end_attempt(&self, limits: &CallLimits) {
        self.control.end_call(&self.dataflow, limits);
    }

    fn tell_partial(&self, step: &str, text: &str) {
        let (request, dataflow) = (self.memory.request, &*self.dataflow);
        self.control.partials.tell(&PartialText { request, dataflow, step, text });
    }

    fn wait(&self, time: Duration, token: &CancelToken) {
        let mut left = time;
        while !left.is_zero() && !token.is_cancelled() {
            let part = left.min(CANCEL_INTERVAL);
            std::thread::sleep(part);
            left -= part;
        }
    }

    fn is_elsewhere(&self, label: &str) -> bool {
        self.elsewhere.as_ref().is_some_and(|elsewhere| elsewhere.is_elsewhere(label))
    }

    fn answer_elsewhere(
        &self,
        batch: &PlacedBatch,
        token: &CancelToken,
    ) -> Result<Vec<Result<Value, Fault>>, CallFault> {
        self.elsewhere.as_ref().expect("asked for labels that are elsewhere").answer(batch, token)
    }
}

/// How often a wait looks whether the run was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(20);
