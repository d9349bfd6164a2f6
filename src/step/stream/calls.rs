//! Calls: questions to the world about a batch of items, and what has to be known to make them soundly.
//!
//! A step with a [`CallFunction`] makes one attempt at one batch. Batches, attempts, waits and records are up to what
//! runs the step; so are threads. The environment is the way out: it records answers, gives recorded ones back, and
//! waits.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::step::value::PathOf;
use crate::step::{Call, CancelToken, Digest, Fault, Value};

/// The function of a step that makes calls: one attempt at the items of a batch, with a result for each, in order.
pub type CallFunction =
    Arc<dyn Fn(&[Value], &Call, &CallAttempt) -> Result<Vec<Result<Value, Fault>>, CallFault> + Send + Sync>;

/// One attempt at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAttempt {
    /// The idempotency key: the same for each attempt at the same question, also after a restart.
    pub key: Digest,
    /// The time after which the attempt is given up.
    pub timeout: Duration,
}

impl CallAttempt {
    /// The time-out of a step whose dataflow file gives none.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
}

/// The fault of a whole attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFault {
    /// The fault, which is that of each item if there is no other attempt.
    pub fault: Fault,
    /// The shortest wait before another attempt, if the service says it.
    pub retry_after: Option<Duration>,
}

impl From<Fault> for CallFault {
    fn from(fault: Fault) -> CallFault {
        CallFault { fault, retry_after: None }
    }
}

/// A batch about which the world is asked.
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

/// The answers to a batch: a result for each item, in order.
#[derive(Clone, Debug, Default)]
pub struct CallAnswers {
    /// The results.
    pub results: Vec<Result<Value, Fault>>,
    /// Further attempts, one for each item that took part in one.
    pub retried: u64,
}

#[derive(Serialize, Deserialize)]
struct AnswersForm {
    results: Vec<Result<ByteBuf, Fault>>,
    retried: u64,
}

impl CallAnswers {
    /// The name of the output that holds them, in the record of a run.
    pub const OUTPUT: &'static str = "answers";

    /// The form on disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let form = |result: &Result<Value, Fault>| match result {
            Ok(value) => Ok(ByteBuf::from(value.to_bytes())),
            Err(fault) => Err(fault.clone()),
        };
        let form = AnswersForm { results: self.results.iter().map(form).collect(), retried: self.retried };
        let mut bytes = Vec::new();
        ciborium::into_writer(&form, &mut bytes).expect("memory takes everything");
        bytes
    }

    /// Reads answers back; `read` is the function of the output's type.
    ///
    /// # Errors
    /// If the bytes are not the form of answers.
    pub fn read(bytes: &[u8], read: fn(&[u8], PathOf) -> io::Result<Value>) -> io::Result<CallAnswers> {
        let form: AnswersForm = ciborium::from_reader(bytes).map_err(io::Error::other)?;
        let result = |result: Result<ByteBuf, Fault>| match result {
            Ok(bytes) => read(&bytes, &|_| None).map(Ok),
            Err(fault) => Ok(Err(fault)),
        };
        let results = form.results.into_iter().map(result).collect::<io::Result<_>>()?;
        Ok(CallAnswers { results, retried: form.retried })
    }
}

/// The way of a run to the world.
pub trait CallEnvironment: Send + Sync {
    /// The recorded answers to a batch.
    ///
    /// # Errors
    /// If there are none and the world must not be asked.
    fn recall(&self, batch: &CallBatch) -> Result<Option<Vec<u8>>, Fault>;

    /// Records the answers to a batch. When this returns, they are on the disk.
    ///
    /// # Errors
    /// If they cannot be recorded. Then nothing may use them.
    fn record(&self, batch: &CallBatch, answers: &[u8], failed: Option<&Fault>) -> Result<(), Fault>;

    /// Waits between two attempts, or until the run is cancelled.
    fn wait(&self, time: Duration, token: &CancelToken);
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
