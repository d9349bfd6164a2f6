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
use crate::step::{CancelToken, Digest, Fault, FaultKind, Request, StepInputs, StepOutputs};
use crate::store::StoreError;

use super::apart::{self, BroughtValues, ValueSource};
use super::budget::MemoryClaim;
use super::call_records::RecordedCalls;
use super::carried::ArrivedInputs;
use super::disk_wait::retry_while_full;
use super::job::{FINAL, RunEnvironment, StepJob, not_kept};
use super::memory::{KeptRun, RecordedRun, RequestMemories};
use super::open::claim;
use super::pool::JobThread;
use super::remote_request::RemoteRequestKey;
use super::remote_step::{RemoteStep, RemoteStepEnd, RemoteStepKey, ValuePiece};
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
    /// Its dataflow is not loaded here, or has no such step.
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
            Some(Err(reason)) => return failed(step, not_read(&reason)),
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
        let (result, retry_after) = work.result_for_other(step, &inputs, token);
        let ended = work.record_for_other(step, &inputs, result, began.elapsed());
        drop(inputs);
        let (mut record, content) = ended.unwrap_or_else(|fault| (failed(step, fault).record, Vec::new()));
        let given = given_bytes(&record, work, &step.request);
        // Without a common store, all that is read here is brought here, or was brought for another step.
        let taken = if source.is_some() { count.load(Ordering::Relaxed) } else { taken };
        record.place = record.place.map(|place| RunPlace { taken, given, ..place });
        RemoteStepEnd { record, content, retry_after }
    }
}

impl RunEnvironment {
    /// Performs a step for another process, and keeps the files that belong to the response. Gives also the shortest
    /// wait before another attempt.
    fn result_for_other(
        &self,
        step: &RemoteStep,
        inputs: &StepInputs,
        token: &CancelToken,
    ) -> (Result<StepOutputs, Fault>, Option<Duration>) {
        let (node, request) = (&self.dataflow.nodes[step.key.node], &*step.request);
        let memory = self.memory_key(request);
        let calls = RecordedCalls::shared(&self.memories, memory, &self.control, &self.dataflow.name);
        let identity = node.identity(&self.dataflow, request, FINAL);
        let performed = node.perform(&identity, inputs, token, &calls);
        let job = StepJob { node: step.key.node, request, item: step.key.item, token, is_wanted: &|| true };
        let result = self.kept(&job, performed).map(|(outputs, _)| outputs);
        let retry_after = result.as_ref().err().and_then(|fault| fault.retry_after);
        (result, retry_after)
    }

    fn record_for_other(
        &self,
        step: &RemoteStep,
        inputs: &StepInputs,
        result: Result<StepOutputs, Fault>,
        took: Duration,
    ) -> Result<KeptRun, Fault> {
        let (node, request) = (&self.dataflow.nodes[step.key.node], &*step.request);
        let (memory, item, key) = (self.memory_key(request), step.key.item, step.key.run);
        let run = RecordedRun { memory, node, request, item, inputs, key };
        // All of it is needed in another process, also what is cheap to make again.
        let record = || self.memories.record(&run, result.as_ref(), took, false);
        retry_while_full(request, StoreError::may_pass, record).map_err(not_kept)
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
    let node = &step.dataflow.nodes[step.key.node];
    let record = RunRecord {
        step: node.name.to_string(),
        item: step.key.item,
        key: step.key.run,
        version: node.step.declaration.version,
        inputs: Default::default(),
        outcome: crate::step::Outcome::Failed(fault),
        outputs: Vec::new(),
        lacking: None,
        took_us: 0,
        place: None,
    };
    RemoteStepEnd { record, content: Vec::new(), retry_after: None }
}

fn not_read(reason: &str) -> Fault {
    let remedy = "Give all processes the same --state folder, and send the request again.";
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
