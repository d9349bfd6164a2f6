//! The environment of calls: it records answers, gives recorded ones back, and waits between attempts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::step::{CancelToken, Digest, Fault, StepInputs, Value};

use super::attempt::{CallAttempt, CallFault};
use super::rate::RateLimit;

/// A batch about which a service is called.
#[derive(Clone, Debug)]
pub struct CallBatch {
    /// The name of the step in the dataflow.
    pub step: String,
    /// The version of the step.
    pub version: u32,
    /// The digest of all that identifies the question: request, step, parameters, ordinals and items.
    pub key: Digest,
    /// The digest of the items.
    pub items: Digest,
    /// The idempotency key of the first attempt, by which the service's log can be searched.
    pub attempt: Digest,
}

/// The key of the question about one item, whichever batch it is in.
pub type QuestionKey = [u8; 16];

/// The limits within which attempts at a step's batches begin.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits<'a> {
    /// The name of the step in the dataflow.
    pub step: &'a str,
    /// The attempts under way at once, at most.
    pub max: Option<usize>,
    /// How often one may begin.
    pub rate: Option<RateLimit>,
}

/// A batch of a step in a stream that runs on other processes than the stream.
#[derive(Clone, Copy, Debug)]
pub struct PlacedBatch<'a> {
    /// The label of these processes.
    pub label: &'a str,
    /// The index of the step among those that the stream connects.
    pub member: usize,
    /// The inputs of the step, with the items of the batch at the first of them.
    pub inputs: &'a StepInputs,
    /// The attempt: its key is the same for the same batch.
    pub attempt: &'a CallAttempt,
}

/// Records, waits and answers for the calls of a run.
pub trait CallEnvironment: Send + Sync {
    /// The recorded answers to a batch.
    ///
    /// # Errors
    /// If there are none and no service may be called.
    fn recall(&self, batch: &CallBatch) -> Result<Option<Vec<u8>>, Fault>;

    /// The recorded answers to questions about single items, from batches of whatever items; `None` where there is none.
    /// Gives nothing if there are no such answers at all, as by default.
    fn recall_each(&self, questions: &[QuestionKey]) -> Vec<Option<Vec<u8>>> {
        let _ = questions;
        Vec::new()
    }

    /// Records the answers to a batch. When this returns, they are on the disk.
    ///
    /// # Errors
    /// If they cannot be recorded. Then nothing may use them.
    fn record(&self, batch: &CallBatch, answers: &[u8], failed: Option<&Fault>) -> Result<(), Fault>;

    /// Waits until an attempt may begin, or until the run is cancelled. Either way the attempt counts as under way
    /// until [`CallEnvironment::end_attempt`]. By default nothing limits attempts.
    fn begin_attempt(&self, limits: &CallLimits, token: &CancelToken) {
        let _ = (limits, token);
    }

    /// Ends an attempt that was begun.
    fn end_attempt(&self, limits: &CallLimits) {
        let _ = limits;
    }

    /// Tells text of an answer that a call is still reading: all of it so far. It is not recorded, and nothing depends on
    /// it. By default nobody hears it.
    fn tell_partial(&self, step: &str, text: &str) {
        let _ = (step, text);
    }

    /// Waits between two attempts, or until the run is cancelled.
    fn wait(&self, time: Duration, token: &CancelToken);

    /// Whether steps with this label run on other processes. By default all steps run here.
    fn is_elsewhere(&self, label: &str) -> bool {
        let _ = label;
        false
    }

    /// Has another process work on a batch, and waits for a result for each of its items, in order. Called for labels
    /// that are elsewhere.
    ///
    /// # Errors
    /// The fault of the attempt, or that of too many processes which were lost with it.
    fn answer_elsewhere(
        &self,
        batch: &PlacedBatch,
        token: &CancelToken,
    ) -> Result<Vec<Result<Value, Fault>>, CallFault> {
        let _ = token;
        let reason = format!("no process with the label {} can be asked here", batch.label);
        Err(Fault::new(reason, "Report this to the authors of flow.").into())
    }
}

/// An environment that records nothing and does not wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnrecordedCalls;

impl UnrecordedCalls {
    /// The environment, shared.
    pub fn shared() -> Arc<dyn CallEnvironment> {
        Arc::new(UnrecordedCalls)
    }
}

impl CallEnvironment for UnrecordedCalls {
    fn recall(&self, _: &CallBatch) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }

    fn record(&self, _: &CallBatch, _: &[u8], _: Option<&Fault>) -> Result<(), Fault> {
        Ok(())
    }

    fn wait(&self, _: Duration, _: &CancelToken) {}
}

impl fmt::Debug for dyn CallEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallEnvironment")
    }
}
