//! Calls: requests to a service about a batch of items, and what is needed to make each of them once.
//!
//! A step with a [`CallFunction`] makes one attempt at one batch. Batches, attempts, waits and records are up to what
//! runs the step; so are threads.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::step::value::PathOf;
use crate::step::{Call, Digest, Fault, Value};

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

impl CallFault {
    /// The longest wait that a service may ask for.
    pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

    /// The fault of a service that is busy, with the wait that it asks for. There is no other attempt after one that asks
    /// for too long a wait, and the fault says so.
    pub fn busy(fault: Fault, retry_after: Option<Duration>) -> CallFault {
        let too_long = retry_after.filter(|wait| *wait > CallFault::RETRY_AFTER_MAX);
        let fault = match too_long {
            None => fault,
            Some(wait) => {
                let (asked, most) = (wait.as_secs(), CallFault::RETRY_AFTER_MAX.as_secs());
                let reason =
                    format!("{}; it asks for a wait of {asked} s, and {most} s is the longest", fault.reason);
                Fault { reason, ..fault }
            }
        };
        CallFault { fault, retry_after }
    }
}

impl From<Fault> for CallFault {
    fn from(fault: Fault) -> CallFault {
        CallFault { fault, retry_after: None }
    }
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
