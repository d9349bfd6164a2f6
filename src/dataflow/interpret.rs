//! What a dataflow means, without timely: one node after the other, in order.
//!
//! The engine must answer every request exactly as this does.

use std::sync::Arc;

use crate::step::{Artifact, Digest, Fault, File, Inputs, Outcome, Outcomes, Outputs, Request, Take};

use super::perform::{Arrived, Decision, Left, Place};
use super::response::{Account, Response, files_at};
use super::{Dataflow, Node, Phase, Runs, Wire};

impl Dataflow {
    /// Runs a request through the dataflow on this thread. The files come back beside the response.
    pub fn interpret(&self, request: &Arc<Request>) -> (Response, Vec<File>) {
        self.interpret_by(request, &mut |due| due.perform())
    }

    /// The same with each run that is due done by `perform`, which sees what it is made of and what
    /// it gives, and may put what was recorded in its place.
    pub fn interpret_by(&self, request: &Arc<Request>, perform: &mut Perform) -> (Response, Vec<File>) {
        let refused = self.refuses(request);
        let mut run = Interpretation::new(self, request, refused.is_some(), perform);
        run.phase(Phase::Work, None);
        let outcomes = Arc::new(Outcomes(self.work_reports(request, refused.as_ref(), &run.accounts)));
        if outcomes.faults().next().is_some() {
            run.phase(Phase::Failure, Some(&outcomes));
        }
        (self.respond(request, refused.as_ref(), &run.accounts), run.files)
    }
}

/// A run whose needs are met.
pub struct Due<'a> {
    pub node: &'a Node,
    /// For a node that runs per item: which.
    pub item: Option<usize>,
    pub inputs: &'a Inputs,
    dataflow: Digest,
    request: Digest,
}

/// What does the runs.
pub type Perform<'a> = dyn FnMut(&Due) -> Result<Outputs, Fault> + 'a;

impl Due<'_> {
    /// The step's name in the dataflow.
    pub fn step(&self) -> &str {
        &self.node.name
    }

    /// Runs the step; a panic in it is a fault.
    ///
    /// # Errors
    /// The step's own fault, or one that says that its code is wrong.
    pub fn perform(&self) -> Result<Outputs, Fault> {
        self.node.perform(self.dataflow, self.request, self.inputs)
    }
}

struct Interpretation<'a> {
    dataflow: &'a Dataflow,
    request: &'a Arc<Request>,
    refused: bool,
    perform: &'a mut Perform<'a>,
    /// What each run of each node left.
    left: Vec<Vec<Left>>,
    accounts: Vec<Account>,
    files: Vec<File>,
}

impl<'a> Interpretation<'a> {
    fn new(
        dataflow: &'a Dataflow,
        request: &'a Arc<Request>,
        refused: bool,
        perform: &'a mut Perform<'a>,
    ) -> Self {
        let accounts = dataflow.nodes.iter().map(|node| Account::of(node.runs_of(request))).collect();
        Interpretation {
            dataflow,
            request,
            refused,
            perform,
            left: vec![Vec::new(); dataflow.nodes.len()],
            accounts,
            files: Vec::new(),
        }
    }

    fn phase(&mut self, phase: Phase, outcomes: Option<&Arc<Outcomes>>) {
        for (index, node) in self.dataflow.nodes.iter().enumerate().filter(|(_, node)| node.phase == phase) {
            for run in 0..node.runs_of(self.request) {
                let item = (node.runs == Runs::PerItem).then_some(run);
                let left = self.run(
                    index,
                    node,
                    Place { request: self.request, item, outcomes, refused: self.refused },
                );
                self.left[index].push(left);
            }
        }
    }

    fn run(&mut self, index: usize, node: &Node, place: Place) -> Left {
        let (outcome, outputs) = match node.decide(place, &self.arrived(node, place.item)) {
            Decision::Skip(because) => (Outcome::Skipped { because }, None),
            Decision::Run(inputs) => self.perform(node, place.item, &inputs),
        };
        let run = place.item.unwrap_or(0);
        self.accounts[index].files[run] = self.keep(index, outputs.as_ref());
        self.accounts[index].outcomes[run] = outcome.clone();
        node.left(&outcome, outputs)
    }

    fn perform(&mut self, node: &Node, item: Option<usize>, inputs: &Inputs) -> (Outcome, Option<Outputs>) {
        let (dataflow, request) = (self.dataflow.digest, self.request.id);
        match (self.perform)(&Due { node, item, inputs, dataflow, request }) {
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
