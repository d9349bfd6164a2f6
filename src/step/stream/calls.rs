//! Calls: requests to a service about a batch of items, and what is needed to make each of them once.
//!
//! A step with a [`CallFunction`] makes one attempt at one batch. Batches, attempts, waits and records are up to what
//! runs the step; so are threads.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::step::value::PathOf;
use crate::step::{Call, Fault, Value};

use super::attempt::{CallAttempt, CallFault};
use super::environment::QuestionKey;

/// The function of a step that makes calls: one attempt at the items of a batch, with a result for each, in order.
pub type CallFunction =
    Arc<dyn Fn(&[Value], &Call, &CallAttempt) -> Result<Vec<Result<Value, Fault>>, CallFault> + Send + Sync>;

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
    /// The keys of the questions, one behind the other; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "is_empty")]
    keys: ByteBuf,
}

fn is_empty(keys: &ByteBuf) -> bool {
    keys.is_empty()
}

impl CallAnswers {
    /// The name of the output that holds them, in the record of a run.
    pub const OUTPUT: &'static str = "answers";

    /// The form in a message.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_record(&[])
    }

    /// The form on disk, with the keys of the questions.
    pub fn to_record(&self, keys: &[QuestionKey]) -> Vec<u8> {
        let form = |result: &Result<Value, Fault>| match result {
            Ok(value) => Ok(ByteBuf::from(value.to_bytes())),
            Err(fault) => Err(fault.clone()),
        };
        let form = AnswersForm {
            results: self.results.iter().map(form).collect(),
            retried: self.retried,
            keys: ByteBuf::from(keys.concat()),
        };
        let mut bytes = Vec::new();
        ciborium::into_writer(&form, &mut bytes).expect("memory takes everything");
        bytes
    }

    /// The answers in a record, without the faults: the bytes of each by the key of its question.
    ///
    /// # Errors
    /// If the bytes are not the form of answers.
    pub fn each_of_record(bytes: &[u8]) -> io::Result<Vec<(QuestionKey, Vec<u8>)>> {
        let form: AnswersForm = ciborium::from_reader(bytes).map_err(io::Error::other)?;
        let (keys, _) = form.keys.as_chunks();
        let answered = keys.iter().zip(form.results);
        Ok(answered.filter_map(|(key, result)| Some((*key, result.ok()?.into_vec()))).collect())
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
