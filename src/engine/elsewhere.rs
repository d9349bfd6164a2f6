//! One run of a step that says `on`, in the process that has the request: it is given to a process with the label, and
//! its end is recorded as if it had run here.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::dataflow::DataflowNode;
use crate::dataflow::perform::{broken, guarded};
use crate::step::{Fault, FaultKind, Outcome, Request, StepInputs, StepOutputs};
use crate::store::StoreError;

use super::batches_elsewhere::BatchesElsewhere;
use super::carried::CarriedInputs;
use super::disk_wait::{not_kept, retry_while_full};
use super::event::{EngineEvent, tell};
use super::job::{DeliveredFiles, FINAL, RunEnd, RunEnvironment, StepJob};
use super::memory::RecordedRun;
use super::remote_request::RemoteRequestKey;
use super::remote_step::{RemoteStep, RemoteStepEnd, RemoteStepKey, StepNeed, WaitingStep};
use super::remote_steps::{CancelWatch, RemoteSteps, StepLoss, StepReply, WaitingPlace};

/// The processes that a step is for, which this one does not belong to.
pub struct StepElsewhere {
    steps: Arc<RemoteSteps>,
    need: StepNeed,
    request: RemoteRequestKey,
}

/// The result of a run with its files; `None` if the run was given up.
type KeptResult = Option<Result<(StepOutputs, DeliveredFiles), Fault>>;

impl StepElsewhere {
    /// Whether a process with what the step needs is there.
    pub fn has_place(&self) -> bool {
        self.steps.has_place(&self.need)
    }

    /// Notes that a step waits for one.
    pub fn wait(&self, step: &str) -> WaitingPlace {
        self.steps.wait(WaitingStep::new(self.request.number, step, self.need.clone()))
    }
}

impl RunEnvironment {
    /// The processes that a node is for; `None` if it runs here.
    pub fn elsewhere(&self, node: usize, request: &Request) -> Option<StepElsewhere> {
        let steps = self.steps.as_ref()?;
        let (label, memory) = (self.dataflow.nodes[node].label()?, self.dataflow.memory.estimate(request));
        if !steps.is_elsewhere(label, memory) {
            return None;
        }
        let request = self.memories.remote_key(self.memory_key(request))?;
        let need = StepNeed { label: label.clone(), version: request.version, memory };
        Some(StepElsewhere { steps: Arc::clone(steps), need, request })
    }

    /// The processes for the batches of the steps in a stream that say `on` by themselves; `None` if all run here.
    pub fn batches_elsewhere(&self, node: usize, request: &Request) -> Option<Arc<BatchesElsewhere>> {
        let steps = self.steps.as_ref()?;
        let section = self.dataflow.nodes[node].section.as_ref()?;
        let mut labels = section.members.iter().filter_map(|member| member.node.label());
        let memory = self.dataflow.memory.estimate(request);
        labels.find(|label| steps.is_elsewhere(label, memory))?;
        Some(Arc::new(BatchesElsewhere {
            steps: Arc::clone(steps),
            store: Arc::clone(&self.store),
            dataflow: Arc::clone(&self.dataflow),
            request: Arc::new(request.clone()),
            key: self.memories.remote_key(self.memory_key(request))?,
            node,
            memory,
            places: Mutex::default(),
        }))
    }

    /// Has another process run a step, and reports how it ended.
    ///
    /// # Errors
    /// No process has run it to its end.
    pub fn perform_elsewhere(
        &self,
        job: &StepJob,
        inputs: StepInputs,
        elsewhere: &StepElsewhere,
    ) -> Result<RunEnd, StepLoss> {
        let (step, request, began) = (&*self.dataflow.nodes[job.node].name, job.request, Instant::now());
        tell(&*self.observer, &EngineEvent::Started { request, step });
        let result = guarded(|| self.result_elsewhere(job, &inputs, elsewhere));
        drop(inputs);
        let result = result.unwrap_or_else(|panic| Ok(Some(Err(broken(&panic)))));
        if let Ok(None) = result {
            return Ok(RunEnd::not_run(job.item, Outcome::Failed(Fault::cancelled())));
        }
        let (took, failed) = (began.elapsed(), !matches!(result, Ok(Some(Ok(_)))));
        tell(&*self.observer, &EngineEvent::Ended { request, step, took, failed });
        let result = result?.unwrap_or_else(|| Err(Fault::cancelled()));
        Ok(match result {
            Ok((outputs, files)) => {
                RunEnd { item: job.item, outcome: Outcome::Done, outputs: Some(outputs), files }
            }
            Err(fault) => RunEnd::not_run(job.item, Outcome::Failed(fault)),
        })
    }

    fn result_elsewhere(
        &self,
        job: &StepJob,
        inputs: &StepInputs,
        elsewhere: &StepElsewhere,
    ) -> Result<KeptResult, StepLoss> {
        let StepJob { request, item, .. } = *job;
        let (memory, node) = (self.memory_key(request), &self.dataflow.nodes[job.node]);
        let key = node.key(&node.identity(&self.dataflow, request, FINAL), inputs);
        let run = RecordedRun { memory, node, request, item, inputs, key };
        if let Some(recalled) = self.memories.recall(&run) {
            return Ok((job.is_wanted)().then(|| self.kept(job, recalled)));
        }
        let carried = || CarriedInputs::of(&run, &self.dataflow, &self.store);
        let carried = match retry_while_full(request, StoreError::may_pass, carried) {
            Ok(carried) => carried,
            Err(error) => return Ok((job.is_wanted)().then(|| Err(not_kept(error)))),
        };
        let step = self.remote_step(job, &run, carried, elsewhere);
        let (steps, watch) = (&elsewhere.steps, CancelWatch::Told);
        let (_, reply) = steps.run(&elsewhere.need, step, job.token, watch, &self.store)?;
        // From here on the run is not given up.
        if !(job.is_wanted)() {
            return Ok(None);
        }
        let result = match reply {
            StepReply::Ended(end) => self.take_end(&run, &elsewhere.request, *end),
            StepReply::Unable | StepReply::Cancelled => Err(Fault::cancelled()),
        };
        Ok(Some(self.kept(job, result)))
    }

    fn remote_step(
        &self,
        job: &StepJob,
        run: &RecordedRun,
        carried: CarriedInputs,
        elsewhere: &StepElsewhere,
    ) -> RemoteStep {
        let node: &DataflowNode = run.node;
        let mut steps: Vec<&str> = node.step_names().collect();
        steps.push(&node.name);
        let CarriedInputs { inputs, content } = carried;
        RemoteStep {
            ticket: 0,
            key: RemoteStepKey { request: elsewhere.request, node: job.node, item: job.item, run: run.key },
            request: Arc::new(run.request.clone()),
            dataflow: Arc::clone(&self.dataflow),
            batch: None,
            inputs,
            content,
            runs: self.memories.answers_of(run.memory, &steps),
        }
    }

    /// Records the end of a step, and reads what it gave.
    fn take_end(
        &self,
        run: &RecordedRun,
        key: &RemoteRequestKey,
        end: RemoteStepEnd,
    ) -> Result<StepOutputs, Fault> {
        let RemoteStepEnd { mut record, content, again } = end;
        record.inputs = run.input_digests();
        let outcome = record.outcome.clone();
        self.memories.note_of_other(key, record, content).map_err(|error| {
            let reason = format!("its end could not be recorded: {error}");
            Fault::of(FaultKind::Storage, reason, "Run the request again with `flow retry`.")
        })?;
        match outcome {
            Outcome::Failed(fault) => Err(again.on(fault)),
            Outcome::Done | Outcome::Skipped { .. } => self.memories.recall(run).unwrap_or_else(|| {
                let reason = "what it gave in another process is not in the store";
                let remedy = "Give all processes the same --state folder, and run the request again with `flow retry`.";
                Err(Fault::of(FaultKind::Storage, reason, remedy))
            }),
        }
    }
}
