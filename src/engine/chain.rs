//! Chains: nodes that one operator performs one after the other, on the spot.
//!
//! A step that runs on the worker's thread costs less than the operator around it. A node therefore
//! joins the operator of the node before if it runs in line, needs the results of that node and of no
//! other, run by run, and is the only one to need them.

use crate::dataflow::perform::{ArrivedInput, RunDecision, RunResult};
use crate::dataflow::{Dataflow, DataflowNode, InputWire};
use crate::step::{CancelToken, InputTake, Outcome};

use super::epoch::Epoch;
use super::job::{RunEnd, RunEnvironment, StepJob};

/// The nodes of one operator, by index: the first one, and those that follow it.
pub struct NodeChain {
    pub first: usize,
    followers: Vec<usize>,
}

impl NodeChain {
    /// The chain that begins with this node; `None` for a node that follows another.
    pub fn from(dataflow: &Dataflow, first: usize) -> Option<NodeChain> {
        let follows = (0..first).any(|before| follower(dataflow, before) == Some(first));
        let followers = || std::iter::successors(follower(dataflow, first), |node| follower(dataflow, *node));
        (!follows).then(|| NodeChain { first, followers: followers().collect() })
    }

    /// The node whose results leave the operator.
    pub fn last(&self) -> usize {
        self.followers.last().copied().unwrap_or(self.first)
    }

    /// Performs the followers after a run of the first node. Gives the result of the last one.
    pub fn follow(
        &self,
        epoch: &Epoch,
        work: &RunEnvironment,
        item: Option<usize>,
        left: RunResult,
    ) -> RunResult {
        self.followers.iter().fold(left, |left, node| {
            let ended = perform(*node, epoch, work, item, left);
            close(*node, epoch, work, ended)
        })
    }
}

/// Notes the end of a run. Gives its result, for the nodes that need it.
pub fn close(node: usize, epoch: &Epoch, work: &RunEnvironment, ended: RunEnd) -> RunResult {
    let RunEnd { item, outcome, outputs, files } = ended;
    let left = work.dataflow.nodes[node].left(&outcome, outputs);
    epoch.end(&work.dataflow, node, item, outcome, files);
    left
}

/// Performs a step on this thread, unless something prevents that.
fn perform(
    index: usize,
    epoch: &Epoch,
    work: &RunEnvironment,
    item: Option<usize>,
    left: RunResult,
) -> RunEnd {
    let node = &work.dataflow.nodes[index];
    let decision = {
        let arrived =
            |wire: &InputWire| matches!(wire, InputWire::Port(_)).then_some(ArrivedInput::One(&left));
        node.decide(epoch.place(item), &node.wires.iter().map(arrived).collect::<Vec<_>>())
    };
    let inputs = match decision {
        RunDecision::Skip(because) => return RunEnd::not_run(item, Outcome::Skipped { because }),
        RunDecision::Run(inputs) => inputs,
    };
    if let Some(outcome) = epoch.prevents(&work.dataflow, index) {
        return RunEnd::not_run(item, outcome);
    }
    // The step holds what it needs; nobody else here does.
    drop(left);
    let (token, is_wanted) = (&CancelToken::default(), &|| true);
    work.perform(&StepJob { node: index, request: &epoch.request, item, token, is_wanted }, inputs)
}

/// The node that joins the operator of this one.
fn follower(dataflow: &Dataflow, node: usize) -> Option<usize> {
    let mut users = dataflow.nodes.iter().enumerate().filter(|(_, user)| needs(user, node));
    let (index, only) = users.next().filter(|_| users.next().is_none())?;
    let before = &dataflow.nodes[node];
    let fits = only.runs_in_line() && only.phase == before.phase && only.runs == before.runs;
    (fits && takes_only(only, node)).then_some(index)
}

fn needs(user: &DataflowNode, node: usize) -> bool {
    user.wires.iter().any(|wire| matches!(wire, InputWire::Port(port) if port.node == node))
}

/// Whether all that the node needs of other nodes are the results of this one, run by run.
fn takes_only(user: &DataflowNode, node: usize) -> bool {
    user.step.declaration.inputs.iter().zip(&user.wires).all(|(input, wire)| match wire {
        InputWire::Port(port) => port.node == node && input.take != InputTake::Each,
        InputWire::Absent | InputWire::Request | InputWire::Items | InputWire::Outcomes => true,
    })
}
