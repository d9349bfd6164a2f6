//! Calls of a section: a batch of items is asked about, again where that may help, and its answers are recorded.
//!
//! Nothing here depends on when a call is made, so that several can be under way at once.

use std::sync::Arc;
use std::time::Duration;

use crate::step::{
    Call, CallAnswers, CallAttempt, CallBatch, CallEnvironment, CallFault, CallFunction, CallLimits,
    CancelToken, Digest, Fault, FaultKind, ItemOrdinal, QuestionKey, ResultIdentity, StepInputs, Value,
};

use super::node::{DataflowNode, SectionMember};
use super::perform::{broken, guarded};
use super::retry::RetryRule;
use super::service_patience::ServicePatience;

/// All that a call needs besides its items, for any thread.
pub(super) struct CallWork {
    ask: CallFunction,
    node: DataflowNode,
    /// The round of the loop in which the step is.
    round: u32,
    /// The single values at the step's inputs.
    inputs: StepInputs,
    identity: ResultIdentity,
    token: CancelToken,
    environment: Arc<dyn CallEnvironment>,
    retry: RetryRule,
    patience: ServicePatience,
}

/// Items with their ordinals, and what is asked about them.
pub(super) struct CallItems {
    pub places: Vec<ItemOrdinal>,
    pub items: Vec<Value>,
}

impl CallWork {
    pub fn new(
        ask: CallFunction,
        member: &SectionMember,
        inputs: &StepInputs,
        identity: &ResultIdentity,
        call: &Call,
    ) -> CallWork {
        let node = member.node.clone();
        CallWork {
            ask,
            retry: node.retry.clone().unwrap_or_else(RetryRule::of_calls),
            patience: ServicePatience::default(),
            round: member.round,
            inputs: inputs.clone(),
            identity: identity.clone(),
            token: call.token.clone(),
            environment: Arc::clone(call.environment),
            node,
        }
    }

    /// The results of a batch that asks nobody: one attempt, of which nothing is recorded.
    fn computed(&self, batch: &CallItems) -> CallAnswers {
        let each = |fault: Fault| batch.items.iter().map(|_| Err(fault.clone())).collect();
        let key = self.attempt_key(&batch.places, 0);
        let results = self.attempt(batch, key).unwrap_or_else(|failed| each(failed.fault));
        CallAnswers { results, retried: 0 }
    }

    /// The answers to a batch: the recorded ones, or new ones, which are recorded before they are given.
    pub fn answers(&self, batch: &CallItems) -> CallAnswers {
        if !self.node.step.declaration.calls {
            return self.computed(batch);
        }
        self.known_or_new(batch).unwrap_or_else(|fault| CallAnswers {
            results: batch.items.iter().map(|_| Err(fault.clone())).collect(),
            retried: 0,
        })
    }

    fn known_or_new(&self, batch: &CallItems) -> Result<CallAnswers, Fault> {
        let each: Vec<Digest> = batch.items.iter().map(Value::digest).collect();
        let items = Digest::of_parts(each.iter().map(|digest| digest.as_bytes().as_slice()));
        let step = &self.node.step.declaration;
        let asked = CallBatch {
            step: self.node.name.to_string(),
            version: step.version,
            key: self.key(&batch.places, items),
            items,
            attempt: self.attempt_key(&batch.places, 0),
        };
        let read = step.outputs[0].read;
        let known = self.environment.recall(&asked)?.and_then(|bytes| CallAnswers::read(&bytes, read).ok());
        if let Some(answers) = known.filter(|answers| answers.results.len() == batch.items.len()) {
            return Ok(answers);
        }
        let keys = self.question_keys(batch, &each);
        let answers = self.partly_known(batch, &keys);
        self.token.check()?;
        let failed = answers.results.iter().find_map(|result| result.as_ref().err());
        self.environment.record(&asked, &answers.to_record(&keys), failed)?;
        Ok(answers)
    }

    /// The answers to a batch, of which only those items are asked about that have been answered in no other.
    fn partly_known(&self, batch: &CallItems, keys: &[QuestionKey]) -> CallAnswers {
        let read = self.node.step.declaration.outputs[0].read;
        let mut known = self.environment.recall_each(keys);
        known.resize(keys.len(), None);
        let known = known.into_iter().map(|bytes| read(&bytes?, &|_| None).ok());
        let known: Vec<Option<Value>> = known.collect();
        let open: Vec<usize> = (0..known.len()).filter(|index| known[*index].is_none()).collect();
        let mut answers = CallAnswers::default();
        let asked = match open.len() == known.len() {
            true => self.ask(batch, &mut answers.retried),
            false => self.ask(&batch.at(&open), &mut answers.retried),
        };
        let mut asked = asked.into_iter();
        let results = known.into_iter().map(|known| known.map(Ok).or_else(|| asked.next()));
        answers.results = results.map(|one| one.expect("each open item was asked about")).collect();
        answers
    }

    /// Asks until each item has an answer or a fault that another attempt would not change.
    fn ask(&self, batch: &CallItems, retried: &mut u64) -> Vec<Result<Value, Fault>> {
        let mut results: Vec<Option<Result<Value, Fault>>> = batch.items.iter().map(|_| None).collect();
        let (mut attempts, mut answered) = (0, 0);
        loop {
            let open: Vec<usize> = (0..results.len()).filter(|index| results[*index].is_none()).collect();
            if open.is_empty() {
                return results.into_iter().flatten().collect();
            }
            if let Err(fault) = self.token.check() {
                open.iter().for_each(|index| results[*index] = Some(Err(fault.clone())));
                continue;
            }
            *retried += if attempts > 0 { open.len() as u64 } else { 0 };
            attempts += 1;
            let part = batch.at(&open);
            let key = self.attempt_key(&part.places, answered);
            let attempted = self.attempt(&part, key);
            let is_held = attempted.as_ref().is_err_and(|failed| failed.fault.held_back);
            let wait = match attempted {
                Ok(answers) => {
                    answered += 1;
                    self.patience.answered();
                    let mut wait = None;
                    for (index, answer) in open.into_iter().zip(answers) {
                        match answer.as_ref().err().and_then(|fault| self.retry.delay(fault, attempts)) {
                            Some(delay) => wait = wait.max(Some(delay)),
                            None => results[index] = Some(answer),
                        }
                    }
                    wait
                }
                Err(failed) => {
                    let wait = self.wait_after(&failed, &mut attempts);
                    if wait.is_none() {
                        let answers = self.in_halves(&part, &failed.fault, retried);
                        open.into_iter().zip(answers).for_each(|(index, one)| results[index] = Some(one));
                    }
                    wait
                }
            };
            if let Some(wait) = wait {
                let before = self.patience.so_far();
                self.environment.wait(jittered(wait, key, attempts), &self.token);
                if is_held {
                    self.patience.waited(before, wait);
                }
            }
        }
    }

    /// The wait before the next attempt after one that failed as a whole; `None` if there is none. An attempt that called
    /// nobody is taken from the attempts, while there is patience with the service.
    fn wait_after(&self, failed: &CallFault, attempts: &mut u32) -> Option<Duration> {
        let CallFault { fault, retry_after } = failed;
        let patience = self.patience.so_far();
        let counted = self.retry.counted(fault, *attempts, patience.held);
        // Behind the patience the step's own waits count, and not how long the service is left alone.
        let asked = retry_after.filter(|_| !fault.held_back || counted < *attempts);
        *attempts = counted;
        let again = !(fault.held_back && patience.has_ended);
        let wait = self.retry.delay_after(fault, counted, asked).filter(|_| again);
        match fault.kind {
            // The service has refused: it answers.
            FaultKind::Data => self.patience.answered(),
            FaultKind::Transient | FaultKind::TimedOut if wait.is_none() => self.patience.gave_up(),
            _ => {}
        }
        wait
    }

    /// The results of a batch that was refused as a whole: one item may be at fault for all others.
    fn in_halves(&self, batch: &CallItems, fault: &Fault, retried: &mut u64) -> Vec<Result<Value, Fault>> {
        let of_an_item = matches!(fault.kind, FaultKind::Data | FaultKind::Broken);
        if batch.items.len() == 1 || !of_an_item {
            return batch.items.iter().map(|_| Err(fault.clone())).collect();
        }
        let middle = batch.items.len() / 2;
        let indices: Vec<usize> = (0..batch.items.len()).collect();
        let mut results = self.ask(&batch.at(&indices[..middle]), retried);
        results.extend(self.ask(&batch.at(&indices[middle..]), retried));
        results
    }

    fn attempt(&self, batch: &CallItems, key: Digest) -> Result<Vec<Result<Value, Fault>>, CallFault> {
        let attempt = CallAttempt { key, timeout: self.node.timeout.unwrap_or(CallAttempt::TIMEOUT) };
        let call = Call {
            inputs: &self.inputs,
            parameters: &self.node.parameters,
            identity: &self.identity,
            token: &self.token,
            environment: &self.environment,
        };
        let limits = CallLimits { step: &self.node.name, max: self.node.max, rate: self.node.rate };
        self.environment.begin_attempt(&limits, &self.token);
        let ended = guarded(|| {
            self.token.check()?;
            (self.ask)(&batch.items, &call, &attempt)
        });
        self.environment.end_attempt(&limits);
        let mended = |what: String| CallFault::from(broken(&what));
        let answers = ended.map_err(mended)??;
        match answers.len() == batch.items.len() {
            true => Ok(answers),
            false => {
                let what = format!("it gave {} answers for a batch of {}", answers.len(), batch.items.len());
                Err(mended(what))
            }
        }
    }

    /// The key of the record: what is asked, in which place.
    fn key(&self, places: &[ItemOrdinal], items: Digest) -> Digest {
        let places = places_digest(places);
        self.keyed(b"call", &[places, items])
    }

    /// The keys of the questions about each item by itself.
    fn question_keys(&self, batch: &CallItems, items: &[Digest]) -> Vec<QuestionKey> {
        let step = self.keyed(b"question", &[]);
        let key = |(place, item): (&ItemOrdinal, &Digest)| {
            let parts = [step.as_bytes().as_slice(), &place.to_bytes(), item.as_bytes().as_slice()];
            let digest = Digest::of_parts(parts);
            *digest.as_bytes().first_chunk().expect("a digest is longer")
        };
        batch.places.iter().zip(items).map(key).collect()
    }

    /// The digest of the step, its round and inputs, and of more.
    fn keyed(&self, kind: &[u8], more: &[Digest]) -> Digest {
        let step = &self.node.step.declaration;
        let parameters = serde_json::to_vec(&self.node.parameters).expect("parameters are texts and numbers");
        let inputs = self.inputs.digests();
        let (version, round) = (step.version.to_le_bytes(), self.round.to_le_bytes());
        let mut parts: Vec<&[u8]> = vec![
            kind,
            self.identity.request.as_bytes(),
            self.identity.step.as_bytes(),
            step.name.as_bytes(),
            &version,
            &round,
            &parameters,
        ];
        parts.extend(more.iter().map(|digest| digest.as_bytes().as_slice()));
        for (name, digest) in &inputs {
            parts.extend([name.as_bytes(), digest.as_bytes().as_slice()]);
        }
        Digest::of_parts(parts)
    }

    /// The idempotency key: another one after each response, or the service would repeat that one.
    fn attempt_key(&self, places: &[ItemOrdinal], answered: u32) -> Digest {
        let ResultIdentity { request, step, edition, .. } = &self.identity;
        let numbers = [self.round, answered, *edition].map(u32::to_le_bytes).concat();
        let places = places_digest(places);
        Digest::of_parts([request.as_bytes().as_slice(), step.as_bytes(), &numbers, places.as_bytes()])
    }
}

impl CallItems {
    fn at(&self, indices: &[usize]) -> CallItems {
        CallItems {
            places: indices.iter().map(|index| self.places[*index]).collect(),
            items: indices.iter().map(|index| self.items[*index].clone()).collect(),
        }
    }
}

fn places_digest(places: &[ItemOrdinal]) -> Digest {
    let places: Vec<[u8; 16]> = places.iter().map(|place| place.to_bytes()).collect();
    Digest::of_parts(places.iter().map(<[u8; 16]>::as_slice))
}

/// The wait and up to half of it more, so that batches which failed together do not come back together.
fn jittered(wait: Duration, key: Digest, attempts: u32) -> Duration {
    let bytes = key.as_bytes();
    let share = f64::from(bytes[attempts as usize % bytes.len()]) / 255.0;
    Duration::try_from_secs_f64(wait.as_secs_f64() * (1.0 + share / 2.0)).unwrap_or(wait)
}
