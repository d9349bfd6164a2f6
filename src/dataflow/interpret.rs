//! The meaning of a dataflow, without timely: one node runs after the other, in order.
//!
//! The engine must answer every request exactly as this interpreter.

use std::sync::Arc;

use crate::step::{
    Artifact, Fault, Outcome, OutcomeReason, Request, ResponseFile, ResultIdentity, StepInputs, StepOutcomes,
    StepOutputs,
};
use crate::step::{CallEnvironment, CancelToken, InputTake, UnrecordedCalls};

use super::perform::{ArrivedInput, RunContext, RunDecision, RunResult};
use super::response::{NodeAccount, Response, files_at};
use super::section_run;
use super::{Dataflow, DataflowNode, FailurePolicy, InputWire, NodePhase, RunFrequency};

impl Dataflow {
    /// Runs a request through the dataflow on this thread, and returns the response and its files.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::sync::Arc;
    ///
    /// use flow::dataflow::{Dataflow, ResponseVerdict};
    /// use flow::step::{Request, StepTable};
    ///
    /// let dataflow = Dataflow::load("ct-lung", &StepTable::built_in())?;
    /// let empty = Request::new("empty", BTreeMap::new(), Vec::new());
    /// let (response, files) = dataflow.interpret(&Arc::new(empty));
    /// assert_eq!(response.verdict, ResponseVerdict::Failed, "a request needs items");
    /// assert!(files.iter().any(|file| file.name == "error.json"));
    /// # Ok::<(), flow::dataflow::LoadError>(())
    /// ```
    pub fn interpret(&self, request: &Arc<Request>) -> (Response, Vec<ResponseFile>) {
        self.interpret_by(request, &mut |due| due.evaluate())
    }

    /// Runs a request through the dataflow with `perform` in place of the steps. `perform` sees the inputs of
    /// each run, and may return recorded outputs instead of running the step.
    pub fn interpret_by(
        &self,
        request: &Arc<Request>,
        perform: &mut PerformFunction,
    ) -> (Response, Vec<ResponseFile>) {
        let refused = self.refuses(request);
        let answer = AnswerContext { refused: refused.is_some(), edition: 0 };
        let mut run = DataflowInterpretation::new(self, request, answer, perform);
        run.phase(NodePhase::Work, None);
        let outcomes = Arc::new(StepOutcomes(self.work_reports(request, refused.as_ref(), &run.accounts)));
        if outcomes.faults().next().is_some() {
            run.phase(NodePhase::Failure, Some(&outcomes));
        }
        (self.respond(request, refused.as_ref(), &run.accounts), run.files)
    }

    /// Makes the error response of a deadline: runs the failure part for a response of
    /// [`Dataflow::unfinished`] on this thread. Its identifiers differ from those of the final response.
    pub fn respond_overdue(
        &self,
        request: &Arc<Request>,
        unfinished: Response,
    ) -> (Response, Vec<ResponseFile>) {
        let mut perform = |due: &ReadyRun| due.perform();
        let mut run = DataflowInterpretation::new(
            self,
            request,
            AnswerContext { refused: false, edition: 1 },
            &mut perform,
        );
        let outcomes = Arc::new(StepOutcomes(unfinished.steps.clone()));
        run.phase(NodePhase::Failure, Some(&outcomes));
        (self.with_overdue_response(request, unfinished, &run.accounts), run.files)
    }
}

/// A run whose needs are met.
pub struct ReadyRun<'a> {
    /// The node.
    pub node: &'a DataflowNode,
    /// The index of the item, for a node that runs per item.
    pub item: Option<usize>,
    /// The values at the inputs.
    pub inputs: &'a StepInputs,
    /// The source of identifiers for results.
    pub identity: &'a ResultIdentity,
}

/// The function that does the runs.
pub type PerformFunction<'a> = dyn FnMut(&ReadyRun) -> Result<StepOutputs, Fault> + 'a;

impl ReadyRun<'_> {
    /// The name of the step in the dataflow.
    pub fn step(&self) -> &str {
        &self.node.name
    }

    /// Runs the step. A panic becomes a fault.
    ///
    /// # Errors
    /// The fault of the step, or a fault of kind `broken`.
    pub fn perform(&self) -> Result<StepOutputs, Fault> {
        self.perform_in(&UnrecordedCalls::shared())
    }

    /// Runs the step with another environment for its calls.
    ///
    /// # Errors
    /// The fault of the step, or a fault of kind `broken`.
    pub fn perform_in(&self, environment: &Arc<dyn CallEnvironment>) -> Result<StepOutputs, Fault> {
        self.node.perform(self.identity, self.inputs, &CancelToken::default(), environment)
    }
}

impl ReadyRun<'_> {
    /// Runs the step as its plain meaning says: of the steps that streams connect, one after the other, each with
    /// its whole stream.
    fn evaluate(&self) -> Result<StepOutputs, Fault> {
        match &self.node.section {
            Some(section) => {
                let (token, environment) = (CancelToken::default(), UnrecordedCalls::shared());
                self.node.perform_by(self.identity, self.inputs, &token, &environment, |call| {
                    section_run::evaluate(section, call)
                })
            }
            None => self.perform(),
        }
    }
}

/// The answer that is being made.
#[derive(Clone, Copy)]
struct AnswerContext {
    /// Whether the request could not start.
    refused: bool,
    edition: u32,
}

struct DataflowInterpretation<'a> {
    dataflow: &'a Dataflow,
    request: &'a Arc<Request>,
    answer: AnswerContext,
    perform: &'a mut PerformFunction<'a>,
    /// The results of each run of each node.
    left: Vec<Vec<RunResult>>,
    accounts: Vec<NodeAccount>,
    files: Vec<ResponseFile>,
}

impl<'a> DataflowInterpretation<'a> {
    fn new(
        dataflow: &'a Dataflow,
        request: &'a Arc<Request>,
        answer: AnswerContext,
        perform: &'a mut PerformFunction<'a>,
    ) -> Self {
        let accounts = dataflow.nodes.iter().map(|node| NodeAccount::of(node.runs_of(request))).collect();
        DataflowInterpretation {
            dataflow,
            request,
            answer,
            perform,
            left: vec![Vec::new(); dataflow.nodes.len()],
            accounts,
            files: Vec::new(),
        }
    }

    fn phase(&mut self, phase: NodePhase, outcomes: Option<&Arc<StepOutcomes>>) {
        let mut stopped: Option<OutcomeReason> = None;
        for (index, node) in self.dataflow.nodes.iter().enumerate().filter(|(_, node)| node.phase == phase) {
            for run in 0..node.runs_of(self.request) {
                let item = (node.runs == RunFrequency::PerItem).then_some(run);
                let refused = self.answer.refused;
                let place = RunContext { request: self.request, item, outcomes, refused };
                let left = self.run(index, node, place, stopped.as_ref());
                self.left[index].push(left);
            }
            let stops = phase == NodePhase::Work && self.dataflow.on_failure == FailurePolicy::Stop;
            if stops && stopped.is_none() && self.accounts[index].has_failed() {
                stopped = Some(OutcomeReason::Stopped { step: node.name.to_string() });
            }
        }
    }

    fn run(
        &mut self,
        index: usize,
        node: &DataflowNode,
        place: RunContext,
        stopped: Option<&OutcomeReason>,
    ) -> RunResult {
        let decision = match stopped {
            Some(because) => RunDecision::Skip(because.clone()),
            None => node.decide(place, &self.arrived(node, place.item)),
        };
        let (outcome, outputs) = match decision {
            RunDecision::Skip(because) => (Outcome::Skipped { because }, None),
            RunDecision::Run(inputs) => self.perform(node, place.item, &inputs),
        };
        let run = place.item.unwrap_or(0);
        self.accounts[index].files[run] = self.keep(index, outputs.as_ref());
        outputs.iter().for_each(|outputs| self.accounts[index].note_outputs(run, outputs));
        self.accounts[index].outcomes[run] = outcome.clone();
        node.left(&outcome, outputs)
    }

    /// Runs a step, and repeats it as its `retry` says, without the waits.
    fn perform(
        &mut self,
        node: &DataflowNode,
        item: Option<usize>,
        inputs: &StepInputs,
    ) -> (Outcome, Option<StepOutputs>) {
        let identity = &node.identity(self.dataflow, self.request, self.answer.edition);
        let due = ReadyRun { node, item, inputs, identity };
        let (mut result, mut runs) = ((self.perform)(&due), 1);
        while let Err(fault) = &result
            && node.retry_delay(fault, runs).is_some()
        {
            (result, runs) = ((self.perform)(&due), runs + 1);
        }
        match result {
            Ok(outputs) => (Outcome::Done, Some(outputs)),
            Err(fault) => (Outcome::Failed(fault), None),
        }
    }

    fn arrived(&self, node: &DataflowNode, item: Option<usize>) -> Vec<Option<ArrivedInput<'_>>> {
        let inputs = node.step.declaration.inputs.iter().zip(&node.wires);
        let arrived = inputs.map(|(input, wire)| match wire {
            InputWire::Port(port) if input.take == InputTake::Each => {
                Some(ArrivedInput::Each(self.left[port.node].iter().collect()))
            }
            InputWire::Port(port) => Some(ArrivedInput::One(match self.dataflow.nodes[port.node].runs {
                RunFrequency::Once => &self.left[port.node][0],
                RunFrequency::PerItem => &self.left[port.node][item.unwrap_or(0)],
            })),
            InputWire::Absent | InputWire::Request | InputWire::Items | InputWire::Outcomes => None,
            // Streams meet within a section, which is one node here.
            InputWire::Merge(_) => None,
        });
        arrived.collect()
    }

    fn keep(&mut self, index: usize, outputs: Option<&StepOutputs>) -> Vec<(&'static str, Vec<Artifact>)> {
        let delivered = outputs.into_iter().flat_map(StepOutputs::iter);
        let delivered = delivered.filter(|(name, _)| self.dataflow.delivers(index, name));
        let delivered: Vec<_> = delivered.map(|(name, value)| (name, files_at(value).to_vec())).collect();
        self.files.extend(delivered.iter().flat_map(|(_, files)| files.iter().cloned()));
        let artifacts = |files: &Vec<ResponseFile>| files.iter().map(ResponseFile::artifact).collect();
        delivered.iter().map(|(name, files)| (*name, artifacts(files))).collect()
    }
}
