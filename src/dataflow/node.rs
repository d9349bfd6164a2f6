//! The nodes of a dataflow, and the wires between them.

use std::time::Duration;

use crate::step::{Fault, Step, StepParameters};

use super::condition::StepCondition;
use super::retry::RetryRule;

/// A step at its place in a dataflow.
#[derive(Clone, Debug)]
pub struct DataflowNode {
    pub(crate) name: String,
    pub(crate) step: Step,
    /// The wires, one for each declared input of the step, in that order.
    pub(crate) wires: Vec<InputWire>,
    pub(crate) parameters: StepParameters,
    pub(crate) enabled: bool,
    pub(crate) when: Option<StepCondition>,
    /// The number of runs of this node that may be in progress at the same time in a process. `None`: the
    /// number of cores for a node that runs per item, and no limit for a node that runs once.
    pub(crate) max: Option<usize>,
    /// The longest time of a run.
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<RetryRule>,
    pub(crate) runs: RunFrequency,
    pub(crate) phase: NodePhase,
}

impl DataflowNode {
    /// The upper bound of `limits: {max: …}`.
    pub const RUNS_MAX: usize = 1024;

    /// Whether the step runs on the worker thread: it is cheap, and has neither time-out nor retry.
    pub fn runs_in_line(&self) -> bool {
        self.step.declaration.cheap && self.timeout.is_none() && self.retry.is_none()
    }

    /// The wait before the next run, after a fault and `runs` runs in all; `None` if there is no next run.
    pub fn retry_delay(&self, fault: &Fault, runs: u32) -> Option<Duration> {
        self.retry.as_ref().and_then(|retry| retry.delay(fault, runs))
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
}

/// An output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPort {
    /// The index in [`super::Dataflow::nodes`].
    pub(crate) node: usize,
    pub(crate) output: &'static str,
}
