//! Chains: nodes that one operator performs one after the other, on the spot.
//!
//! A step that runs on the worker's thread costs less than the operator around it. A node therefore
//! joins the operator of the node before if it runs in line, needs the results of that node and of no
//! other, run by run, and is the only one to need them.

use smallvec::SmallVec;

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

    /// The nodes, in their order.
    pub fn nodes(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(self.first).chain(self.followers.iter().copied())
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
    outputs.iter().for_each(|outputs| epoch.note_outputs(node, item, outputs));
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
        node.decide(epoch.place(item), &node.wires.iter().map(arrived).collect::<SmallVec<[_; 4]>>())
    };
    let inputs = match decision {
        RunDecision::Skip(because) => return RunEnd::not_run(item, Outcome::Skipped { because }),
        RunDecision::Run(inputs) => inputs,
    };
    if let Some(outcome) = epoch.prevents(&work.dataflow, index) {
        return RunEnd::not_run(item, outcome);
    }
    // The step has its own handle on its inputs; with this one dropped, their memory is free when it ends.
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
        // Streams meet within a section, which is one node here.
        InputWire::Merge(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use crate::step::{Call, Item, Payload, Request, ResponseFiles, Step, StepOutputs, StepTable};

    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Nothing;

    impl Payload for Nothing {
        const TYPE: &'static str = "nothing";
    }

    fn table() -> StepTable {
        let nothing = |_: &Call| Ok(StepOutputs::one("it", Nothing));
        let step = |name| Step::new(name, 1, "Does nothing.").gives::<Nothing>("it");
        let end = Step::new("end", 1, "Gives no files.").takes::<Nothing>("it");
        StepTable::default()
            .with(step("begin").takes::<Request>("request").cheap().runs(nothing))
            .with(step("each").takes::<Item>("item").cheap().runs(nothing))
            .with(step("pass").takes::<Nothing>("it").cheap().runs(nothing))
            .with(step("slow").takes::<Nothing>("it").runs(nothing))
            .with(step("both").takes::<Nothing>("a").takes::<Nothing>("b").cheap().runs(nothing))
            .with(step("gather").takes_each::<Nothing>("all").cheap().runs(nothing))
            .with(
                end.gives::<ResponseFiles>("files")
                    .cheap()
                    .runs(|_| Ok(StepOutputs::one("files", ResponseFiles::default()))),
            )
    }

    /// The chains of a dataflow, by the names of their nodes; its `end` is in no way special.
    fn chains(steps: &[&str]) -> Vec<String> {
        let steps: String = steps.iter().map(|step| format!("  {step}\n")).collect();
        let text = format!("dataflow: test\nsteps:\n{steps}response: [end]\n");
        let dataflow = Dataflow::parse("test.yaml", &text, &table()).unwrap();
        let chains = (0..dataflow.nodes.len()).filter_map(|node| NodeChain::from(&dataflow, node));
        let names = chains.map(|NodeChain { first, followers }| {
            let nodes = std::iter::once(first).chain(followers);
            nodes.map(|node| &*dataflow.nodes[node].name).collect::<Vec<_>>().join(" ")
        });
        names.collect()
    }

    #[test]
    fn cheap_steps_one_after_the_other_are_a_chain() {
        let steps = [
            "a: {step: begin, needs: {request: request}}",
            "b: {step: pass, needs: {it: a}}",
            "end: {step: end, needs: {it: b}}",
        ];
        assert_eq!(chains(&steps), ["a b end"]);
    }

    #[test]
    fn a_slow_step_begins_a_chain_and_joins_none() {
        let steps = [
            "a: {step: begin, needs: {request: request}}",
            "b: {step: slow, needs: {it: a}}",
            "end: {step: end, needs: {it: b}}",
        ];
        assert_eq!(chains(&steps), ["a", "b end"]);
        let steps = [
            "a: {step: begin, needs: {request: request}}",
            "b: {step: pass, needs: {it: a}, timeout: 1 s}",
            "end: {step: end, needs: {it: b}}",
        ];
        assert_eq!(chains(&steps), ["a", "b end"], "a timeout takes a thread");
    }

    #[test]
    fn a_node_with_two_users_and_one_with_two_needs_are_the_ends_of_chains() {
        let steps = [
            "a: {step: begin, needs: {request: request}}",
            "b: {step: pass, needs: {it: a}}",
            "c: {step: pass, needs: {it: a}}",
            "d: {step: both, needs: {a: b, b: c}}",
            "end: {step: end, needs: {it: d}}",
        ];
        assert_eq!(chains(&steps), ["a", "b", "c", "d end"]);
    }

    #[test]
    fn nodes_per_item_are_a_chain_until_their_results_are_gathered() {
        let steps = [
            "a: {step: each, needs: {item: request.items}}",
            "b: {step: pass, needs: {it: a}}",
            "c: {step: gather, needs: {all: b}}",
            "end: {step: end, needs: {it: c}}",
        ];
        assert_eq!(chains(&steps), ["a b", "c end"]);
    }
}
