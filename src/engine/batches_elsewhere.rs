//! Batches of steps in a stream that say `on` by themselves, in the process that runs the stream: each is given to a
//! process with the label.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dataflow::{Dataflow, ProcessLabel};
use crate::journal::BatchPlace;
use crate::step::{
    CallAnswers, CallFault, CancelToken, Digest, Fault, FaultKind, Outcome, PlacedBatch, Request, Value,
};
use crate::store::{Store, StoreError};

use super::carried::CarriedInputs;
use super::disk_wait::{not_kept, retry_while_full};
use super::losses::{LOSSES_MAX, deadly};
use super::remote_request::RemoteRequestKey;
use super::remote_step::{RemoteBatch, RemoteStep, RemoteStepEnd, RemoteStepKey, StepNeed, WaitingStep};
use super::remote_steps::{CancelWatch, RemoteSteps, StepLoss, StepReply};

/// How often a batch that waits for a process looks whether one is there.
const PLACE_INTERVAL: Duration = Duration::from_millis(50);

/// The other processes, for the batches of one run of a stream.
pub struct BatchesElsewhere {
    pub steps: Arc<RemoteSteps>,
    pub store: Arc<Store>,
    pub dataflow: Arc<Dataflow>,
    pub request: Arc<Request>,
    pub key: RemoteRequestKey,
    /// The index of the node of the stream.
    pub node: usize,
    /// The bytes of memory that the request takes.
    pub memory: u64,
    /// What ran where, by step and process.
    pub places: Mutex<BTreeMap<(String, usize), BatchPlace>>,
}

impl BatchesElsewhere {
    pub fn is_elsewhere(&self, label: &str) -> bool {
        label.parse().is_ok_and(|label| self.steps.is_elsewhere(&label, self.memory))
    }

    /// The batches so far, by step and process.
    pub fn places(&self) -> Vec<BatchPlace> {
        self.lock().values().cloned().collect()
    }

    /// Has a process with the label work on a batch, and another one if that is lost.
    ///
    /// # Errors
    /// The fault of the whole attempt.
    pub fn answer(
        &self,
        batch: &PlacedBatch,
        token: &CancelToken,
    ) -> Result<Vec<Result<Value, Fault>>, CallFault> {
        let label: ProcessLabel = batch.label.parse().expect("the label of a checked dataflow");
        let need = StepNeed { label, version: self.key.version, memory: self.memory };
        let mut losses = 0;
        loop {
            self.wait_for_process(&need, batch.member, token)?;
            let step = self.step(batch)?;
            let sent = step.content.len() as u64;
            match self.steps.run(&need, step, token, CancelWatch::Looks, &self.store) {
                Ok((process, StepReply::Ended(end))) => return self.taken(batch, process, sent, *end),
                Ok((_, StepReply::Unable | StepReply::Cancelled)) => return Err(Fault::cancelled().into()),
                Err(StepLoss::NoProcess) => std::thread::sleep(PLACE_INTERVAL),
                Err(StepLoss::Lost { process }) => {
                    losses += 1;
                    tracing::warn!(
                        process,
                        step = self.name(batch.member),
                        "the process that ran a step is lost"
                    );
                    if losses >= LOSSES_MAX {
                        return Err(deadly(losses).into());
                    }
                }
            }
        }
    }

    /// Waits until a process with the label is there, and says so to those who ask for the status.
    fn wait_for_process(&self, need: &StepNeed, member: usize, token: &CancelToken) -> Result<(), Fault> {
        let mut place = None;
        while !self.steps.has_place(need) {
            place.get_or_insert_with(|| {
                let step = self.name(member);
                self.steps.wait(WaitingStep::new(self.key.number, step, need.clone()))
            });
            token.check()?;
            std::thread::sleep(PLACE_INTERVAL);
        }
        token.check()
    }

    fn step(&self, batch: &PlacedBatch) -> Result<RemoteStep, Fault> {
        let (node, member, request) = (&self.dataflow.nodes[self.node], batch.member, &self.request);
        let source = |input| node.batch_source(&self.dataflow, member, input);
        let carried = || CarriedInputs::from(batch.inputs, source, request.id, None, &self.store);
        let CarriedInputs { inputs, content } =
            retry_while_full(request, StoreError::may_pass, carried).map_err(not_kept)?;
        let part = RemoteBatch { member, key: batch.attempt.key, timeout: batch.attempt.timeout };
        let run = self.run_key(batch);
        Ok(RemoteStep {
            ticket: 0,
            key: RemoteStepKey { request: self.key, node: self.node, item: None, run },
            request: Arc::clone(request),
            dataflow: Arc::clone(&self.dataflow),
            batch: Some(part),
            inputs,
            content,
            runs: Vec::new(),
        })
    }

    /// The key of the run: what is asked in which place. A process that goes on with it since before the restart of this
    /// one is found by it.
    fn run_key(&self, batch: &PlacedBatch) -> Digest {
        let mut parts = vec![b"batch".to_vec(), batch.attempt.key.as_bytes().to_vec()];
        parts.push((batch.member as u64).to_le_bytes().to_vec());
        parts.extend(batch.inputs.digests().iter().map(|(_, digest)| digest.as_bytes().to_vec()));
        Digest::of_parts(parts.iter().map(Vec::as_slice))
    }

    fn taken(
        &self,
        batch: &PlacedBatch,
        process: usize,
        sent: u64,
        end: RemoteStepEnd,
    ) -> Result<Vec<Result<Value, Fault>>, CallFault> {
        let RemoteStepEnd { record, content, again } = end;
        let step = self.name(batch.member).to_owned();
        let mut places = self.lock();
        let place = places.entry((step.clone(), process)).or_insert(BatchPlace {
            step,
            process,
            batches: 0,
            taken: 0,
            given: 0,
        });
        place.batches += 1;
        place.taken += record.place.map_or(0, |place| place.taken).max(sent);
        place.given += content.len() as u64;
        drop(places);
        if let Outcome::Failed(fault) = record.outcome {
            let fault = again.on(fault);
            return Err(CallFault { retry_after: fault.retry_after, fault });
        }
        let node = &self.dataflow.nodes[self.node];
        let read = node.result_form(batch.member).expect("a step that was asked is there");
        let answers = CallAnswers::read(&content, read).map_err(|error| {
            let reason = format!("what it gave in another process cannot be read: {error}");
            Fault::of(FaultKind::Broken, reason, "Report this to the authors of flow.")
        })?;
        Ok(answers.results)
    }

    fn name(&self, member: usize) -> &str {
        self.dataflow.nodes[self.node].member_step(member).map_or("", |node| &node.name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, usize), BatchPlace>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
