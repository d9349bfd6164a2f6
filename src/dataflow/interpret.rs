//! The meaning of a dataflow, without timely: one node runs after the other, in order.
//!
//! The engine must answer every request exactly as this interpreter.

use std::sync::Arc;

use crate::step::{Artifact, Fault, File, Identity, Inputs, Outcome, Outcomes, Outputs, Reason, Request};
use crate::step::{Take, Token};

use super::perform::{Arrived, Decision, Left, Place};
use super::response::{Account, Response, files_at};
use super::{Dataflow, Node, OnFailure, Phase, Runs, Wire};

impl Dataflow {
    /// Runs a request through the dataflow on this thread, and returns the response and its files.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::sync::Arc;
    ///
    /// use flow::dataflow::{Dataflow, Verdict};
    /// use flow::step::{Request, Table};
    ///
    /// let dataflow = Dataflow::load("ct-lung", &Table::built_in())?;
    /// let empty = Request::new("empty", BTreeMap::new(), Vec::new());
    /// let (response, files) = dataflow.interpret(&Arc::new(empty));
    /// assert_eq!(response.verdict, Verdict::Failed, "a request needs items");
    /// assert!(files.iter().any(|file| file.name == "error.json"));
    /// # Ok::<(), flow::dataflow::LoadError>(())
    /// ```
    pub fn interpret(&self, request: &Arc<Request>) -> (Response, Vec<File>) {
        self.interpret_by(request, &mut |due| due.perform())
    }

    /// Runs a request through the dataflow with `perform` in place of the steps. `perform` sees the inputs of
    /// each run, and may return recorded outputs instead of running the step.
    pub fn interpret_by(&self, request: &Arc<Request>, perform: &mut Perform) -> (Response, Vec<File>) {
        let refused = self.refuses(request);
        let answer = Answer { refused: refused.is_some(), edition: 0 };
        let mut run = Interpretation::new(self, request, answer, perform);
        run.phase(Phase::Work, None);
        let outcomes = Arc::new(Outcomes(self.work_reports(request, refused.as_ref(), &run.accounts)));
        if outcomes.faults().next().is_some() {
            run.phase(Phase::Failure, Some(&outcomes));
        }
        (self.respond(request, refused.as_ref(), &run.accounts), run.files)
    }

    /// Makes the error response of a deadline: runs the failure part for a response of
    /// [`Dataflow::unfinished`] on this thread. Its identifiers differ from those of the final response.
    pub fn apologise(&self, request: &Arc<Request>, unfinished: Response) -> (Response, Vec<File>) {
        let mut perform = |due: &Due| due.perform();
        let mut run = Interpretation::new(self, request, Answer { refused: false, edition: 1 }, &mut perform);
        let outcomes = Arc::new(Outcomes(unfinished.steps.clone()));
        run.phase(Phase::Failure, Some(&outcomes));
        (self.with_apology(request, unfinished, &run.accounts), run.files)
    }
}

/// A run whose needs are met.
pub struct Due<'a> {
    /// The node.
    pub node: &'a Node,
    /// The index of the item, for a node that runs per item.
    pub item: Option<usize>,
    /// The values at the inputs.
    pub inputs: &'a Inputs,
    /// The source of identifiers for results.
    pub identity: &'a Identity,
}

/// The function that does the runs.
pub type Perform<'a> = dyn FnMut(&Due) -> Result<Outputs, Fault> + 'a;

impl Due<'_> {
    /// The name of the step in the dataflow.
    pub fn step(&self) -> &str {
        &self.node.name
    }

    /// Runs the step. A panic becomes a fault.
    ///
    /// # Errors
    /// The fault of the step, or a fault of kind `broken`.
    pub fn perform(&self) -> Result<Outputs, Fault> {
        self.node.perform(self.identity, self.inputs, &Token::default())
    }
}

/// The answer that is being made.
#[derive(Clone, Copy)]
struct Answer {
    /// Whether the request could not start.
    refused: bool,
    edition: u32,
}

struct Interpretation<'a> {
    dataflow: &'a Dataflow,
    request: &'a Arc<Request>,
    answer: Answer,
    perform: &'a mut Perform<'a>,
    /// The results of each run of each node.
    left: Vec<Vec<Left>>,
    accounts: Vec<Account>,
    files: Vec<File>,
}

impl<'a> Interpretation<'a> {
    fn new(
        dataflow: &'a Dataflow,
        request: &'a Arc<Request>,
        answer: Answer,
        perform: &'a mut Perform<'a>,
    ) -> Self {
        let accounts = dataflow.nodes.iter().map(|node| Account::of(node.runs_of(request))).collect();
        Interpretation {
            dataflow,
            request,
            answer,
            perform,
            left: vec![Vec::new(); dataflow.nodes.len()],
            accounts,
            files: Vec::new(),
        }
    }

    fn phase(&mut self, phase: Phase, outcomes: Option<&Arc<Outcomes>>) {
        let mut stopped: Option<Reason> = None;
        for (index, node) in self.dataflow.nodes.iter().enumerate().filter(|(_, node)| node.phase == phase) {
            for run in 0..node.runs_of(self.request) {
                let item = (node.runs == Runs::PerItem).then_some(run);
                let refused = self.answer.refused;
                let place = Place { request: self.request, item, outcomes, refused };
                let left = self.run(index, node, place, stopped.as_ref());
                self.left[index].push(left);
            }
            let stops = phase == Phase::Work && self.dataflow.on_failure == OnFailure::Stop;
            if stops && stopped.is_none() && self.accounts[index].has_failed() {
                stopped = Some(Reason::Stopped { step: node.name.clone() });
            }
        }
    }

    fn run(&mut self, index: usize, node: &Node, place: Place, stopped: Option<&Reason>) -> Left {
        let decision = match stopped {
            Some(because) => Decision::Skip(because.clone()),
            None => node.decide(place, &self.arrived(node, place.item)),
        };
        let (outcome, outputs) = match decision {
            Decision::Skip(because) => (Outcome::Skipped { because }, None),
            Decision::Run(inputs) => self.perform(node, place.item, &inputs),
        };
        let run = place.item.unwrap_or(0);
        self.accounts[index].files[run] = self.keep(index, outputs.as_ref());
        self.accounts[index].outcomes[run] = outcome.clone();
        node.left(&outcome, outputs)
    }

    /// Runs a step, and repeats it as its `retry` says, without the waits.
    fn perform(&mut self, node: &Node, item: Option<usize>, inputs: &Inputs) -> (Outcome, Option<Outputs>) {
        let identity = &node.identity(self.dataflow, self.request, self.answer.edition);
        let due = Due { node, item, inputs, identity };
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

    fn arrived(&self, node: &Node, item: Option<usize>) -> Vec<Option<Arrived<'_>>> {
        let inputs = node.step.declaration.inputs.iter().zip(&node.wires);
        let arrived = inputs.map(|(input, wire)| match wire {
            Wire::Port(port) if input.take == Take::Each => {
                Some(Arrived::Each(self.left[port.node].iter().collect()))
            }
            Wire::Port(port) => Some(Arrived::One(match self.dataflow.nodes[port.node].runs {
                Runs::Once => &self.left[port.node][0],
                Runs::PerItem => &self.left[port.node][item.unwrap_or(0)],
            })),
            Wire::Absent | Wire::Request | Wire::Items | Wire::Outcomes => None,
        });
        arrived.collect()
    }

    fn keep(&mut self, index: usize, outputs: Option<&Outputs>) -> Vec<(&'static str, Vec<Artifact>)> {
        let delivered = outputs.into_iter().flat_map(Outputs::iter);
        let delivered = delivered.filter(|(name, _)| self.dataflow.delivers(index, name));
        let delivered: Vec<_> = delivered.map(|(name, value)| (name, files_at(value).to_vec())).collect();
        self.files.extend(delivered.iter().flat_map(|(_, files)| files.iter().cloned()));
        let artifacts = |files: &Vec<File>| files.iter().map(File::artifact).collect();
        delivered.iter().map(|(name, files)| (*name, artifacts(files))).collect()
    }
}
