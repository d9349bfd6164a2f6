//! A dataflow: which steps there are and what each needs. Text becomes a checked [`Dataflow`];
//! what is wrong with the text is a list of [`crate::yaml::Problem`]s, all found at once.

mod check;
mod condition;
mod draft;
mod given;
mod graph;
pub mod interpret;
mod library;
mod limits;
mod meaning;
mod order;
pub mod perform;
mod plan;
mod port;
pub mod response;
mod response_ports;
mod retry;
mod runs;
mod settings;
mod wiring;

pub use condition::Condition;
pub use library::{LoadError, built_in_names};
pub use response::{Response, Verdict};
pub use retry::Retry;

use std::time::Duration;

use crate::step::{Digest, Fault, Files, Parameters, Payload, Step, Table};
use crate::yaml::{Collector, Problems};

/// A checked dataflow. Every need names an earlier node and fits in type; every parameter is in range.
#[derive(Clone, Debug)]
pub struct Dataflow {
    pub(crate) name: String,
    /// What it was read from.
    pub(crate) text: String,
    pub(crate) about: String,
    /// The digest of what the file means, and so its version: comments and layout do not count.
    pub(crate) digest: Digest,
    /// In an order in which every node stands after those it needs.
    pub(crate) nodes: Vec<Node>,
    /// The outputs, all of type `files`, that make the response, in this order.
    pub(crate) response: Vec<Port>,
    pub(crate) on_failure: OnFailure,
    pub(crate) revisions: Revisions,
    pub(crate) memory: Memory,
    /// How long after a request was accepted there is an answer to it, be it that it is not finished.
    pub(crate) deadline: Option<Duration>,
}

impl Dataflow {
    /// Reads and checks a dataflow file; `file` is what messages call it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str, table: &Table) -> Result<Dataflow, Problems> {
        let mut collector = Collector::new(file, text);
        let draft = draft::Draft::read(text, table, &mut collector);
        let dataflow = draft.and_then(|draft| check::check(&draft, table, &mut collector));
        collector.finish(dataflow.map(|dataflow| Dataflow { text: text.to_owned(), ..dataflow }))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// When there has to be a response at the latest, after a request is accepted.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    pub fn about(&self) -> &str {
        &self.about
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn revisions(&self) -> Revisions {
        self.revisions
    }

    pub fn step_count(&self) -> usize {
        self.nodes.len()
    }

    /// How many steps run for every request: all but those for a failure.
    pub fn work_count(&self) -> usize {
        self.nodes.iter().filter(|node| node.phase == Phase::Work).count()
    }

    /// The outputs that make an error response: all files that the failure part gives.
    pub fn error_response(&self) -> Vec<Port> {
        let failure = self.nodes.iter().enumerate().filter(|(_, node)| node.phase == Phase::Failure);
        let ports = |(index, node): (usize, &Node)| {
            let files = node.step.declaration.outputs.iter().filter(|output| output.kind == Files::TYPE);
            files.map(|output| Port { node: index, output: output.name }).collect::<Vec<Port>>()
        };
        failure.flat_map(ports).collect()
    }
}

/// What happens when more comes of what was answered already: late images of a study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revisions {
    /// All there is by now is run as a new request, whose answer takes the place of the earlier one.
    #[default]
    Supersede,
    /// The answer stays as it is; what has come is noted and not kept.
    Ignore,
}

impl Revisions {
    const ALL: [Revisions; 2] = [Revisions::Supersede, Revisions::Ignore];

    fn name(self) -> &'static str {
        match self {
            Revisions::Supersede => "supersede",
            Revisions::Ignore => "ignore",
        }
    }
}

/// A step at its place in a dataflow.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) name: String,
    pub(crate) step: Step,
    /// One for each declared input of the step, in that order.
    pub(crate) wires: Vec<Wire>,
    pub(crate) parameters: Parameters,
    pub(crate) enabled: bool,
    pub(crate) when: Option<Condition>,
    /// How many runs of this node may be under way at once in a process.
    /// `None` where the file does not say: then as many as there are cores for a node that runs per
    /// item, and no limit for one that runs once.
    pub(crate) max: Option<usize>,
    /// How long a run may take.
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<Retry>,
    pub(crate) runs: Runs,
    pub(crate) phase: Phase,
}

impl Node {
    /// The most that `limits.max` may be.
    pub const RUNS_MAX: usize = 1024;

    /// Whether the step is not worth a thread of its own, and needs none to be given up on.
    pub fn runs_in_line(&self) -> bool {
        self.step.declaration.cheap && self.timeout.is_none() && self.retry.is_none()
    }

    /// How long to wait before the step is run once more, after a fault and so many runs in all;
    /// `None` if it is not.
    pub fn retry_delay(&self, fault: &Fault, runs: u32) -> Option<Duration> {
        self.retry.as_ref().and_then(|retry| retry.delay(fault, runs))
    }
}

/// How often a node runs for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    Once,
    PerItem,
}

/// Nodes of the work run for every request; those of `failure` only when one of the former failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Work,
    Failure,
}

/// What becomes of the rest of the work when a step of it has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// What does not need the step is done: the response has results and faults.
    #[default]
    Continue,
    /// What stands behind the step, in the order of its nodes, is not, and does not count
    /// if it happens to have been done.
    Stop,
}

impl OnFailure {
    pub const ALL: [OnFailure; 2] = [OnFailure::Continue, OnFailure::Stop];

    /// As a file writes it.
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::Continue => "continue",
            OnFailure::Stop => "stop",
        }
    }
}

/// What is wired to an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// An optional input that the file does not mention.
    Absent,
    /// The request itself, without its items' bytes.
    Request,
    /// The items of the request: exists per item.
    Items,
    /// What became of every node of the work; only in `failure`.
    Outcomes,
    Port(Port),
}

/// An output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Index in [`Dataflow::nodes`].
    pub(crate) node: usize,
    pub(crate) output: &'static str,
}

/// The memory that one request takes, as an estimate from its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Bytes for any request.
    pub(crate) fixed: u64,
    /// Bytes for each byte of the request's items when decoded.
    pub(crate) per_decoded_byte: f64,
}

impl Memory {
    /// For a file that does not say: one decoded copy of the items and a margin.
    const ONE_COPY: Memory = Memory { fixed: 64 << 20, per_decoded_byte: 1.0 };

    /// Bytes that this request is expected to take at most.
    pub fn estimate(&self, request: &crate::step::Request) -> u64 {
        // A float holds sizes up to 2^53 exactly, and saturates when it becomes an integer.
        let decoded = (request.decoded() as f64 * self.per_decoded_byte).ceil() as u64;
        self.fixed.saturating_add(decoded)
    }
}
