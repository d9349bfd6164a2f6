//! One run of a step on the thread that performs it: the step itself, storing its files, and the events for
//! the observer.

use std::sync::Arc;
use std::time::Instant;

use crate::dataflow::perform::{broken, guarded};
use crate::dataflow::response::files_at;
use crate::dataflow::{Dataflow, DataflowNode, ProcessLabel, Response};
use crate::step::{
    Artifact, CallEnvironment, CancelToken, Fault, Outcome, Request, ResponseFile, StepInputs, StepOutputs,
};
use crate::store::{Store, StoreError};

use super::batches_elsewhere::BatchesElsewhere;
use super::call_records::RecordedCalls;
use super::control::EngineControl;
use super::disk_wait::{not_kept, retry_while_full};
use super::event::{EngineEvent, EventObserver, tell};
use super::memory::{MemoryKey, RecordedRun, RequestMemories};
use super::remote_step::StepNeed;
use super::remote_steps::RemoteSteps;

/// The files of a run that belong to the response, by output.
pub type DeliveredFiles = Vec<(&'static str, Vec<Artifact>)>;

/// How a run ended.
pub struct RunEnd {
    pub item: Option<usize>,
    pub outcome: Outcome,
    pub outputs: Option<StepOutputs>,
    pub files: DeliveredFiles,
}

impl RunEnd {
    pub fn not_run(item: Option<usize>, outcome: Outcome) -> RunEnd {
        RunEnd { item, outcome, outputs: None, files: Vec::new() }
    }
}

/// What runs need beside their inputs: the dataflow, the store, the recorded runs and the observer.
pub struct RunEnvironment {
    pub dataflow: Arc<Dataflow>,
    pub store: Arc<Store>,
    pub memories: Arc<RequestMemories>,
    pub observer: Arc<dyn EventObserver>,
    /// Whether another process delivers the response: then its files are written to the shared store.
    pub is_shared: bool,
    /// The other processes that run steps, if requests come in at this one of several.
    pub steps: Option<Arc<RemoteSteps>>,
    pub control: Arc<EngineControl>,
}

/// A run of a step.
pub struct StepJob<'a> {
    /// Index of the node.
    pub node: usize,
    pub request: &'a Request,
    pub item: Option<usize>,
    /// Set when the run is given up.
    pub token: &'a CancelToken,
    /// Called when the step has returned: `false` if the run was given up meanwhile. After `true` it can no
    /// longer be given up.
    pub is_wanted: &'a dyn Fn() -> bool,
}

impl RunEnvironment {
    /// Runs a step and reports how it ended, also after a panic: without the report the epoch would never
    /// end. A run that was given up stores nothing, and the caller that gave it up informs the observer.
    pub fn perform(&self, job: &StepJob, inputs: StepInputs) -> RunEnd {
        let ended = guarded(|| {
            let ended = self.attempt(job, &inputs);
            // The outputs are not visible to others yet, so that this memory is free before the next step
            // begins.
            drop(inputs);
            ended
        });
        ended.unwrap_or_else(|panic| RunEnd::not_run(job.item, Outcome::Failed(broken(&panic))))
    }

    fn attempt(&self, job: &StepJob, inputs: &StepInputs) -> RunEnd {
        let StepJob { request, item, .. } = *job;
        let node = &self.dataflow.nodes[job.node];
        let (step, began) = (&*node.name, Instant::now());
        tell(&*self.observer, &EngineEvent::Started { request, step });
        let Some(kept) = self.remembered(job, node, inputs) else {
            return RunEnd::not_run(item, Outcome::Failed(Fault::cancelled()));
        };
        let (took, failed) = (began.elapsed(), kept.is_err());
        tell(&*self.observer, &EngineEvent::Ended { request, step, took, failed });
        match kept {
            Ok((outputs, files)) => RunEnd { item, outcome: Outcome::Done, outputs: Some(outputs), files },
            Err(fault) => RunEnd::not_run(item, Outcome::Failed(fault)),
        }
    }

    /// The result of the run: recalled if it is recorded, else performed and recorded. `None` if the
    /// run has been given up.
    fn remembered(
        &self,
        job: &StepJob,
        node: &DataflowNode,
        inputs: &StepInputs,
    ) -> Option<Result<(StepOutputs, DeliveredFiles), Fault>> {
        let StepJob { request, item, token, .. } = *job;
        let identity = node.identity(&self.dataflow, request, FINAL);
        let memory = self.memory_key(request);
        let elsewhere = self.batches_elsewhere(job.node, request);
        let environment = self.calls(memory, elsewhere.as_ref());
        if !self.memories.remembers(memory) {
            let performed = node.perform(&identity, inputs, token, &environment);
            return (job.is_wanted)().then(|| self.kept(job, performed));
        }
        let run = RecordedRun { memory, node, request, item, inputs, key: node.key(&identity, inputs) };
        let began = Instant::now();
        let (result, known) = match self.memories.recall(&run) {
            Some(recalled) => (recalled, true),
            None => (node.perform(&identity, inputs, token, &environment), false),
        };
        if !(job.is_wanted)() {
            return None;
        }
        let kept = self.kept(job, result);
        let result = kept.as_ref().map(|(outputs, _)| outputs);
        let took = began.elapsed();
        let batches = || elsewhere.iter().flat_map(|elsewhere| elsewhere.places()).collect();
        let note = || self.memories.note(&run, result, took, batches());
        let noted = if known { Ok(()) } else { retry_while_full(request, StoreError::may_pass, note) };
        Some(noted.map_err(not_kept).and(kept))
    }

    /// The environment of the calls of a request.
    pub fn calls(
        &self,
        memory: MemoryKey,
        elsewhere: Option<&Arc<BatchesElsewhere>>,
    ) -> Arc<dyn CallEnvironment> {
        Arc::new(RecordedCalls {
            memories: Arc::clone(&self.memories),
            memory,
            control: Arc::clone(&self.control),
            dataflow: Arc::clone(&self.dataflow.name),
            elsewhere: elsewhere.cloned(),
        })
    }

    /// Whether the result of a run is recorded, so that the step need not be performed.
    pub fn is_recorded(
        &self,
        node: usize,
        request: &Request,
        item: Option<usize>,
        inputs: &StepInputs,
    ) -> bool {
        let (memory, node) = (self.memory_key(request), &self.dataflow.nodes[node]);
        let recalled = || {
            let key = node.key(&node.identity(&self.dataflow, request, FINAL), inputs);
            self.memories.recall(&RecordedRun { memory, node, request, item, inputs, key }).is_some()
        };
        self.memories.remembers(memory) && guarded(recalled).unwrap_or(false)
    }

    /// Whether steps of a request that takes so many bytes of memory run in other processes: this one does not have their
    /// label, or one that has the memory is there.
    pub fn has_steps_elsewhere(&self, memory: u64) -> bool {
        let Some(steps) = &self.steps else { return false };
        let version = self.dataflow.digest();
        let is_there = |label: &ProcessLabel| {
            let need = StepNeed { label: label.clone(), version, memory };
            steps.is_elsewhere(label, memory) && steps.has_place(&need)
        };
        self.dataflow.labels().keys().any(|label| steps.is_elsewhere(label, 0) || is_there(label))
    }

    /// Whether steps of its requests have to wait now, because no process with their label is there.
    pub fn lacks_process(&self) -> bool {
        let Some(steps) = &self.steps else { return false };
        let version = self.dataflow.digest();
        // A request that needs more memory than there is may be the next: it does not count here.
        let lacks = |label: &ProcessLabel| {
            let need = StepNeed { label: label.clone(), version, memory: 0 };
            steps.is_elsewhere(label, 0) && !steps.has_place(&need)
        };
        self.dataflow.labels().keys().any(|label| lacks(label))
    }

    /// The name under which a request that runs through this dataflow is remembered.
    pub fn memory_key(&self, request: &Request) -> MemoryKey {
        MemoryKey { request: request.id, version: self.dataflow.digest }
    }

    /// Keeps the files of a result that belong to the response.
    pub fn kept(
        &self,
        job: &StepJob,
        result: Result<StepOutputs, Fault>,
    ) -> Result<(StepOutputs, DeliveredFiles), Fault> {
        let outputs = result?;
        let files = self.keep(job.node, job.request, &outputs)?;
        Ok((outputs, files))
    }

    fn keep(&self, index: usize, request: &Request, outputs: &StepOutputs) -> Result<DeliveredFiles, Fault> {
        let delivered = outputs.iter().filter(|(name, _)| self.dataflow.delivers(index, name));
        let kept = delivered.map(|(name, value)| {
            let artifacts = files_at(value).iter().map(|file| self.keep_file(request, file));
            Ok((name, artifacts.collect::<Result<Vec<_>, StoreError>>().map_err(not_kept)?))
        });
        kept.collect()
    }

    /// Makes the error response of a passed deadline. There always is one: if the failure part cannot run or
    /// its files cannot be kept, the response has no files.
    pub fn respond_overdue(&self, request: &Arc<Request>, unfinished: Response) -> Response {
        let bare = unfinished.clone();
        let made = guarded(|| {
            let (response, files) = self.dataflow.respond_overdue(request, unfinished);
            files.iter().try_for_each(|file| self.keep_file(request, file).map(drop))?;
            Ok::<Response, StoreError>(response)
        });
        let why = match made {
            Ok(Ok(response)) => return response,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic,
        };
        tracing::warn!(request = %request.name, why, "the error response of a deadline has no files");
        bare
    }

    fn keep_file(&self, request: &Request, file: &ResponseFile) -> Result<Artifact, StoreError> {
        let artifact = file.artifact();
        let put = || match self.is_shared {
            true => self.store.put(request.id, artifact.digest, &file.bytes),
            false => self.store.hold(request.id, artifact.digest, &file.bytes),
        };
        retry_while_full(request, StoreError::may_pass, put)?;
        Ok(artifact)
    }
}

/// The edition of a final response.
pub const FINAL: u32 = 0;
