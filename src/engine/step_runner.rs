//! Single steps of requests that another process has, on the threads of this one.
//!
//! The outputs of a step are in the store when its end is told. A step waits here for the memory of its request, which
//! all steps of that request share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::dataflow::perform::{broken, guarded};
use crate::journal::{RunPlace, RunRecord, ValuePlace};
use crate::step::{
    CallAnswers, CallFault, CancelToken, Digest, Fault, FaultKind, Outcome, PlacedBatch, Request, StepInputs,
};
use crate::store::StoreError;

use super::apart::{self, BroughtValues, ValueSource};
use super::budget::MemoryClaim;
use super::carried::ArrivedInputs;
use super::disk_wait::{not_kept, retry_while_full};
use super::job::{FINAL, RunEnvironment, StepJob};
use super::memory::{RecordedRun, RequestMemories};
use super::open::{claim, lack_of_memory};
use super::pool::JobThread;
use super::remote_request::RemoteRequestKey;
use super::remote_step::{AttemptNote, RemoteBatch, RemoteStep, RemoteStepEnd, RemoteStepKey, ValuePiece};
use super::running_dataflows::RunningDataflows;
use super::shared::ProcessShared;

/// Runs steps for another process. Clones share their state.
#[derive(Clone)]
pub struct StepRunner {
    dataflows: Weak<RunningDataflows>,
    memories: Arc<RequestMemories>,
    claims: Arc<StepClaims>,
}

/// A step that runs for another process.
#[derive(Clone)]
pub struct StepRun {
    token: CancelToken,
    thread: Arc<Mutex<Option<JobThread>>>,
}

/// The memory of the requests of which steps run here.
#[derive(Default)]
struct StepClaims {
    claims: Mutex<HashMap<RemoteRequestKey, Weak<MemoryClaim>>>,
    granted: Condvar,
}

/// The most bytes of the results of a batch: they travel at once.
const RESULTS_MAX: usize = 256 << 20;

/// How often a step that waits for memory looks whether it was given up.
const LOOK: Duration = Duration::from_millis(200);

impl StepRun {
    /// Gives the step up: it is asked to stop, and its thread no longer counts.
    pub fn cancel(&self) {
        // The closure that a step registers for its cancellation may panic.
        if let Err(panic) = guarded(|| self.token.cancel()) {
            tracing::error!(panic, "the cancellation callback of a step panicked");
        }
        self.lock().iter().for_each(JobThread::abandon);
    }

    fn lock(&self) -> MutexGuard<'_, Option<JobThread>> {
        self.thread.lock().expect(NO_PANIC)
    }
}

impl StepRunner {
    pub(super) fn new(dataflows: Weak<RunningDataflows>, memories: Arc<RequestMemories>) -> StepRunner {
        StepRunner { dataflows, memories, claims: Arc::default() }
    }

    /// Begins a step. `source` gives the values that are not in the store of this process, if it has one of its own.
    /// `ended` is called with the end of the step, unless it was given up.
    ///
    /// # Errors
    /// Its dataflow is not loaded here, or has no such step, or its request needs more memory than there is here.
    pub fn begin(
        &self,
        mut step: RemoteStep,
        source: Option<Arc<dyn ValueSource>>,
        ended: impl FnMut(RemoteStepEnd) + Send + 'static,
    ) -> Result<StepRun, String> {
        let key = step.key;
        let dataflows = self.dataflows.upgrade().ok_or("it is ending")?;
        let place = dataflows.position(key.request.version).ok_or("it was not told of the dataflow")?;
        let shared = dataflows.at(place);
        if key.node >= shared.work.dataflow.nodes.len() {
            return Err("its dataflow has no such step".to_owned());
        }
        if let Some(lack) = lack_of_memory(&shared.work, &shared.budget, &step.request) {
            return Err(lack);
        }
        let run = StepRun { token: CancelToken::default(), thread: Arc::default() };
        let (runner, begun, environment) = (self.clone(), run.clone(), Arc::clone(&shared));
        self.memories.open_for_step(&key.request, std::mem::take(&mut step.runs));
        let lane = usize::try_from(key.request.number).unwrap_or_default();
        shared.submit(key.node, lane, move |thread| {
            *begun.lock() = Some(thread.clone());
            let is_wanted = || !begun.token.is_cancelled();
            let run =
                || is_wanted().then(|| runner.run(&step, source.as_deref(), &begun.token, &environment));
            let end = guarded(run).unwrap_or_else(|panic| Some(failed(&step, broken(&panic))));
            runner.memories.close_step(&key.request);
            end.filter(|_| is_wanted()).into_iter().for_each(ended);
        });
        Ok(run)
    }

    /// A piece of what a step has stored here.
    pub fn piece(&self, key: &RemoteStepKey, digest: Digest, offset: u64, max: usize) -> Option<ValuePiece> {
        apart::stored_piece(key.request.request, digest, offset, max, self.memories.store())
    }

    /// Removes all that is stored here of a request.
    pub fn forget(&self, request: &RemoteRequestKey) {
        if let Err(error) = self.memories.store().remove(request.request) {
            tracing::warn!(%error, "the values of a request are left in this process");
        }
    }

    fn run(
        &self,
        step: &RemoteStep,
        source: Option<&dyn ValueSource>,
        token: &CancelToken,
        shared: &ProcessShared,
    ) -> RemoteStepEnd {
        let work = &shared.work;
        let _claim = match self.claims.wait(&step.key.request, &step.request, token, shared) {
            Ok(claim) => claim,
            Err(fault) => return failed(step, fault),
        };
        let (memory, store) = (work.memory_key(&step.request), &*work.store);
        let (count, key, request) = (AtomicU64::new(0), step.key, &*step.request);
        let brought = |source| BroughtValues { key, request, store, source, brought: &count };
        let request = match source.map(|source| brought(source).bring(step)) {
            None => Arc::clone(&step.request),
            Some(Ok(request)) => request,
            Some(Err(reason)) => return failed(step, not_brought(&reason)),
        };
        let path_of = |digest| match source {
            Some(source) => brought(source).path_of(digest),
            None => self.memories.path_of(memory, &step.request, digest),
        };
        let arrived = ArrivedInputs { step, request: &request, store, path_of: &path_of };
        let began = Instant::now();
        let (inputs, taken) = match arrived.read(&work.dataflow.nodes[step.key.node]) {
            Ok(read) => read,
            Err(reason) => return failed(step, not_read(&reason)),
        };
        let mut end = match &step.batch {
            Some(batch) => work.batch_for_other(step, batch, &inputs, token),
            None => work.step_for_other(step, &inputs, token),
        };
        drop(inputs);
        let record = &mut end.record;
        let given = given_bytes(record, work, &step.request);
        // Without a common store, all that is read here is brought here, or was brought for another step.
        let taken = if source.is_some() { count.load(Ordering::Relaxed) } else { taken };
        record.place = record.place.map(|place| RunPlace { taken, given, ..place });
        record.took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        end
    }
}

impl RunEnvironment {
    /// Performs a step for another process, and keeps what it gave and the files that belong to the response.
    fn step_for_other(&self, step: &RemoteStep, inputs: &StepInputs, token: &CancelToken) -> RemoteStepEnd {
        let (node, request) = (&self.dataflow.nodes[step.key.node], &*step.request);
        let memory = self.memory_key(request);
        let calls = self.calls(memory, None);
        let identity = node.identity(&self.dataflow, request, FINAL);
        let performed = node.perform(&identity, inputs, token, &calls);
        let job = StepJob { node: step.key.node, request, item: step.key.item, token, is_wanted: &|| true };
        let result = self.kept(&job, performed).map(|(outputs, _)| outputs);
        let again = result.as_ref().err().map(AttemptNote::of).unwrap_or_default();
        let run = RecordedRun { memory, node, request, item: step.key.item, inputs, key: step.key.run };
        // All of it is needed in another process, also what is cheap to make again.
        let record = || self.memories.record(&run, result.as_ref(), Duration::ZERO, false);
        match retry_while_full(request, StoreError::may_pass, record) {
            Ok((record, content)) => RemoteStepEnd { record, content, again },
            Err(error) => failed(step, not_kept(error)),
        }
    }

    /// Works on a batch of a step in a stream for another process. Its results travel with its end.
    fn batch_for_other(
        &self,
        step: &RemoteStep,
        batch: &RemoteBatch,
        inputs: &StepInputs,
        token: &CancelToken,
    ) -> RemoteStepEnd {
        let (node, request) = (&self.dataflow.nodes[step.key.node], &*step.request);
        let calls = self.calls(self.memory_key(request), None);
        let identity = node.identity(&self.dataflow, request, FINAL);
        let attempt = batch.attempt();
        let placed = PlacedBatch { label: "", member: batch.member, inputs, attempt: &attempt };
        let place = self.memories.place();
        match node.answer_batch(&placed, &identity, token, &calls) {
            Ok(results) => {
                let content = CallAnswers { results, retried: 0 }.to_bytes();
                if content.len() > RESULTS_MAX {
                    return failed(step, too_large(content.len()));
                }
                let record = RunRecord { place, ..record_of(step, Outcome::Done) };
                RemoteStepEnd { record, content, again: AttemptNote::default() }
            }
            Err(CallFault { fault, retry_after }) => {
                let again = AttemptNote { retry_after, ..AttemptNote::of(&fault) };
                let record = RunRecord { place, ..record_of(step, Outcome::Failed(fault)) };
                RemoteStepEnd { record, content: Vec::new(), again }
            }
        }
    }
}

impl StepClaims {
    /// Waits for the memory of a request.
    fn wait(
        self: &Arc<StepClaims>,
        key: &RemoteRequestKey,
        request: &Request,
        token: &CancelToken,
        shared: &ProcessShared,
    ) -> Result<Arc<MemoryClaim>, Fault> {
        let mut claims = self.lock();
        claims.retain(|_, claim| claim.strong_count() > 0);
        let claim = match claims.get(key).and_then(Weak::upgrade) {
            Some(claim) => claim,
            None => {
                let waits = Arc::clone(self);
                let claim = Arc::new(claim(&shared.work, &shared.budget, request, move || {
                    drop(waits.lock());
                    waits.granted.notify_all();
                })?);
                claims.insert(*key, Arc::downgrade(&claim));
                claim
            }
        };
        while !claim.is_granted() {
            if token.is_cancelled() {
                drop(claims);
                return Err(Fault::cancelled());
            }
            claims = self.granted.wait_timeout(claims, LOOK).expect(NO_PANIC).0;
        }
        Ok(claim)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RemoteRequestKey, Weak<MemoryClaim>>> {
        self.claims.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "nothing panics while it holds the lock";

/// The end of a step that has stored nothing.
fn failed(step: &RemoteStep, fault: Fault) -> RemoteStepEnd {
    let again = AttemptNote::of(&fault);
    RemoteStepEnd { record: record_of(step, Outcome::Failed(fault)), content: Vec::new(), again }
}

/// The record of a run that has stored nothing.
fn record_of(step: &RemoteStep, outcome: Outcome) -> RunRecord {
    let node = &step.dataflow.nodes[step.key.node];
    let node = step.batch.and_then(|batch| node.member_step(batch.member)).unwrap_or(node);
    RunRecord {
        step: node.name.to_string(),
        item: step.key.item,
        key: step.key.run,
        version: node.step.declaration.version,
        inputs: Default::default(),
        outcome,
        outputs: Vec::new(),
        lacking: None,
        took_us: 0,
        place: None,
        batches: Vec::new(),
        logs: Vec::new(),
    }
}

fn too_large(bytes: usize) -> Fault {
    let (mib, most) = (bytes >> 20, RESULTS_MAX >> 20);
    let reason = format!(
        "the results of a batch have {mib} MiB, and {most} MiB are the most that other processes give"
    );
    Fault::of(FaultKind::Broken, reason, "Write a smaller batch at the step: {size: 1}.")
}

fn not_brought(reason: &str) -> Fault {
    let remedy = "See whether the disk of the process that joined is full, then run the request again with `flow retry`.";
    Fault::of(FaultKind::Storage, reason, remedy)
}

fn not_read(reason: &str) -> Fault {
    let remedy = "Give all processes the same --state folder, and run the request again with `flow retry`.";
    Fault::of(FaultKind::Storage, format!("{reason} of another process"), remedy)
}

/// The bytes of the outputs, wherever they are kept.
fn given_bytes(record: &RunRecord, work: &RunEnvironment, request: &Request) -> u64 {
    let bytes = record.outputs.iter().map(|output| match &output.kept {
        ValuePlace::Here { bytes } => *bytes as u64,
        ValuePlace::Stored { form } => work.store.work_size(request.id, *form).unwrap_or(0),
        ValuePlace::Files { artifacts } => artifacts.iter().map(|artifact| artifact.size).sum(),
        ValuePlace::No => 0,
    });
    bytes.sum()
}
