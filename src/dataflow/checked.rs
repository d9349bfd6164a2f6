//! The type [`Dataflow`]: whoever holds one may rely on it.

use std::sync::Arc;
use std::time::Duration;

use crate::step::{Digest, Payload, ResponseFiles};

use super::memory_estimate::MemoryEstimate;
use super::node::{DataflowNode, NodePhase, OutputPort};
use super::policy::{FailurePolicy, ItemFailurePolicy, RevisionPolicy};

/// A checked dataflow: every need names an earlier node of the right type, and every parameter is in range.
#[derive(Clone, Debug)]
pub struct Dataflow {
    pub(crate) name: Arc<str>,
    /// The text of the file.
    pub(crate) text: String,
    pub(crate) about: String,
    /// The version: the digest of everything in the file that can change a response. Comments and layout
    /// do not count.
    pub(crate) digest: Digest,
    /// The nodes, each one after those that it needs.
    pub(crate) nodes: Vec<DataflowNode>,
    /// The outputs of type `files` that make the response, in the order of delivery.
    pub(crate) response: Vec<OutputPort>,
    pub(crate) on_failure: FailurePolicy,
    pub(crate) on_item_failure: ItemFailurePolicy,
    pub(crate) revisions: RevisionPolicy,
    pub(crate) memory: MemoryEstimate,
    /// The time from the acceptance of a request to its first answer, at most.
    pub(crate) deadline: Option<Duration>,
    /// The dataflow as the file has it, if steps are connected by streams: here such steps are one node.
    pub(crate) written: Option<Arc<Dataflow>>,
}

impl Dataflow {
    /// The name of the dataflow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time from the acceptance of a request to its first answer, at most.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The description in the file; empty if there is none.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The version: the digest of everything in the file that can change a response.
    ///
    /// ```
    /// use flow::dataflow::Dataflow;
    /// use flow::step::StepTable;
    ///
    /// let text = Dataflow::built_in("ct-lung").expect("it is built in");
    /// let version = |text: &str| Dataflow::parse("x", text, &StepTable::built_in()).map(|it| it.digest());
    /// assert_eq!(version(text)?, version(&format!("# a comment\n{text}"))?);
    /// # Ok::<(), flow::yaml::Problems>(())
    /// ```
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The treatment of items that arrive after the answer.
    pub fn revisions(&self) -> RevisionPolicy {
        self.revisions
    }

    /// The dataflow with the steps as the file has them. The engine runs the steps that streams connect as one.
    pub fn as_written(&self) -> &Dataflow {
        self.written.as_deref().unwrap_or(self)
    }

    /// The number of steps, those of the failure part included.
    pub fn step_count(&self) -> usize {
        self.as_written().nodes.len()
    }

    /// The number of steps that run for every request: all but those of the failure part.
    pub fn work_count(&self) -> usize {
        self.nodes.iter().filter(|node| node.phase == NodePhase::Work).count()
    }

    /// The outputs that make an error response: all outputs of type `files` in the failure part.
    pub fn error_response(&self) -> Vec<OutputPort> {
        let failure = self.nodes.iter().enumerate().filter(|(_, node)| node.phase == NodePhase::Failure);
        let ports = |(index, node): (usize, &DataflowNode)| {
            let files =
                node.step.declaration.outputs.iter().filter(|output| output.kind == ResponseFiles::TYPE);
            files.map(|output| OutputPort { node: index, output: output.name }).collect::<Vec<OutputPort>>()
        };
        failure.flat_map(ports).collect()
    }
}
