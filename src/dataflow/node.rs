//! The nodes of a dataflow, and the wires between them.

use std::sync::Arc;
use std::time::Duration;

use crate::step::{BatchSize, Digest, Fault, RateLimit, Step, StepParameters, StreamFunction};

use super::condition::StepCondition;
use super::policy::ItemFailurePolicy;
use super::process_label::ProcessLabel;
use super::retry::RetryRule;

/// A step at its place in a dataflow.
#[derive(Clone, Debug)]
pub struct DataflowNode {
    pub(crate) name: Arc<str>,
    pub(crate) step: Step,
    /// The wires, one for each declared input of the step, in that order.
    pub(crate) wires: Vec<InputWire>,
    pub(crate) parameters: StepParameters,
    pub(crate) enabled: bool,
    pub(crate) when: Option<StepCondition>,
    /// The label of the processes on which the step runs; `None`: on the one that runs the request.
    pub(crate) on: Option<ProcessLabel>,
    /// The number of runs of this node that may be in progress at the same time in a process. `None`: the
    /// number of cores for a node that runs per item, and no limit for a node that runs once.
    pub(crate) max: Option<usize>,
    /// How often a run may begin; of a step that makes calls in a stream, a call.
    pub(crate) rate: Option<RateLimit>,
    /// The longest time of a run.
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<RetryRule>,
    pub(crate) runs: RunFrequency,
    pub(crate) phase: NodePhase,
    /// The part that the node has in a stream.
    pub(crate) stream: StreamRole,
    /// The size of the batches that the step takes, if the file says it.
    pub(crate) batch: Option<BatchSize>,
    /// The items that go back to the step, if it begins a loop.
    pub(crate) again: Option<AgainEdge>,
    /// The steps for which the node stands, if it is a section of a stream.
    pub(crate) section: Option<Arc<StreamSection>>,
}

impl DataflowNode {
    /// The upper bound of `limits: {max: …}`.
    pub const RUNS_MAX: usize = 1024;

    /// Whether the step runs on the worker thread: it is cheap, has neither rate, time-out nor retry, and never runs on
    /// another process.
    pub fn runs_in_line(&self) -> bool {
        let is_limited = self.rate.is_some() || self.timeout.is_some() || self.retry.is_some();
        self.step.declaration.cheap && !is_limited && self.on.is_none()
    }

    /// The label of the processes on which the step runs, if it is switched on and has one.
    pub fn label(&self) -> Option<&ProcessLabel> {
        self.on.as_ref().filter(|_| self.enabled)
    }

    /// The names of the steps for which the node stands: its own, or those of its section.
    pub fn step_names(&self) -> impl Iterator<Item = &str> {
        let members = self.section.iter().flat_map(|section| &section.names);
        let own = self.section.is_none().then_some(&*self.name);
        own.into_iter().chain(members.map(|name| &**name))
    }

    /// The name of the step that gives an output: that of the node, or of one of its section.
    pub fn step_at<'a>(&'a self, output: &'a str) -> &'a str {
        let member = output.split_once('.').filter(|_| self.section.is_some());
        member.map_or(&*self.name, |(step, _)| step)
    }

    /// The wait before the next run, after a fault and `runs` runs in all; `None` if there is no next run.
    pub fn retry_delay(&self, fault: &Fault, runs: u32) -> Option<Duration> {
        self.retry.as_ref()?.delay_after(fault, runs, fault.retry_after)
    }

    /// The runs that count for [`DataflowNode::retry_delay`], as [`RetryRule::counted`] has it.
    pub fn counted_runs(&self, fault: &Fault, runs: u32, held: Duration) -> u32 {
        self.retry.as_ref().map_or(runs, |retry| retry.counted(fault, runs, held))
    }
}

/// The number of runs of a node for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunFrequency {
    /// One run.
    Once,
    /// One run for each item.
    PerItem,
}

/// The part of a node in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// No part: all its inputs and outputs are single values, or values per item of the request.
    Outside,
    /// The node makes a stream of single values.
    Makes,
    /// The node takes the items of a stream, one after the other, and gives a stream.
    Items,
    /// The node takes all items of a stream, and gives single values.
    Ends,
}

impl StreamRole {
    /// Whether the outputs are streams.
    pub fn gives_stream(self) -> bool {
        matches!(self, StreamRole::Makes | StreamRole::Items)
    }
}

/// The steps that streams connect: one node for the engine, with one run. Its inputs and outputs are the single
/// values that cross its border.
#[derive(Clone, Debug)]
pub struct StreamSection {
    /// The names of the steps, in their order.
    pub(crate) names: Vec<Arc<str>>,
    /// The steps, with each round of a loop, each after those that it needs.
    pub(crate) members: Vec<SectionMember>,
    /// The names of its inputs.
    pub(crate) border: Vec<&'static str>,
    pub(crate) policy: ItemFailurePolicy,
    /// The digest of the steps, their versions, parameters and wires.
    pub(crate) digest: Digest,
}

/// A step of a section.
#[derive(Clone, Debug)]
pub struct SectionMember {
    /// The node as the file has it.
    pub(crate) node: DataflowNode,
    /// The index of its name among those of the section.
    pub(crate) written: usize,
    /// The round of the loop in which it is; 0 outside loops.
    pub(crate) round: u32,
    pub(crate) part: RoundPart,
    /// The sources of its inputs, in their order.
    pub(crate) sources: Vec<MemberSource>,
    /// The names of its outputs at the border of the section, in their order.
    pub(crate) outputs: Vec<&'static str>,
    /// The inputs of other members that take its streams.
    pub(crate) consumers: Vec<StreamConsumer>,
}

impl SectionMember {
    /// Whether nobody knows how many items at a place behind the step a lost item would have been: it makes many of
    /// one, chooses the way of each, or joins it with others.
    pub(crate) fn hides_losses(&self) -> bool {
        let makes = matches!(self.node.step.stream(), StreamFunction::Makes(_));
        let declaration = &self.node.step.declaration;
        makes && self.node.stream == StreamRole::Items || declaration.routes() || declaration.joins
    }
}

/// The part of a member in a round of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundPart {
    /// The step itself.
    Step,
    /// The end of the loop: items that would go back once more have failed.
    Bound,
}

/// The source of an input of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberSource {
    /// No source.
    Absent,
    /// An input of the section, by its index.
    Border(usize),
    /// The streams of other members, by their indices.
    Streams(Vec<usize>),
}

/// An input that takes a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamConsumer {
    /// The output that gives the stream.
    pub(crate) output: &'static str,
    /// The member that takes it, by its index.
    pub(crate) member: usize,
    /// The index of its input.
    pub(crate) input: usize,
    /// The number of the way on which it comes there, if there are several.
    pub(crate) way: Option<u64>,
}

/// The part of the file in which a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePhase {
    /// The part `steps`: its nodes run for every request.
    Work,
    /// The part `failure`: its nodes run only if a node of the work failed.
    Failure,
}

/// The source of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputWire {
    /// No source: an optional input that the file does not mention.
    Absent,
    /// The request, without the bytes of its items.
    Request,
    /// The items of the request, one value for each.
    Items,
    /// The outcomes of all nodes of the work; only in `failure`.
    Outcomes,
    /// The output of another node.
    Port(OutputPort),
    /// The outputs of other nodes, which are streams that meet.
    Merge(Vec<OutputPort>),
}

impl InputWire {
    /// The outputs of other nodes that the wire brings.
    pub(crate) fn ports(&self) -> &[OutputPort] {
        match self {
            InputWire::Port(port) => std::slice::from_ref(port),
            InputWire::Merge(ports) => ports,
            InputWire::Absent | InputWire::Request | InputWire::Items | InputWire::Outcomes => &[],
        }
    }
}

/// The items that go back from an output to a step before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgainEdge {
    /// The index of the input at which they come in again.
    pub(crate) input: usize,
    /// The output from which they go back.
    pub(crate) back: OutputPort,
    /// How often an item may go back.
    pub(crate) max: u32,
}

/// An output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPort {
    /// The index in [`super::Dataflow::nodes`].
    pub(crate) node: usize,
    pub(crate) output: &'static str,
}
