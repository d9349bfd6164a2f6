//! The type [`Dataflow`]: whoever holds one may rely on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::step::{Digest, Payload, ResponseFiles, Step};

use super::memory_estimate::MemoryEstimate;
use super::node::{DataflowNode, NodePhase, OutputPort};
use super::overlay_origin::OverlayOrigin;
use super::policy::{FailurePolicy, ItemFailurePolicy, RevisionPolicy};
use super::priority::RequestPriority;
use super::process_label::ProcessLabel;

/// A checked dataflow: every need names an earlier node of the right type, and every parameter is in range.
#[derive(Clone, Debug)]
pub struct Dataflow {
    pub(crate) name: Arc<str>,
    /// The text of the file; of an overlay, that of the base with its changes.
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
    pub(crate) priority: Option<RequestPriority>,
    pub(crate) share: u32,
    /// The time from the acceptance of a request to its first answer, at most.
    pub(crate) deadline: Option<Duration>,
    /// The dataflow as the file has it, if steps are connected by streams: here such steps are one node.
    pub(crate) written: Option<Arc<Dataflow>>,
    /// The customer and the base, of a dataflow that was read from an overlay.
    pub(crate) overlay: Option<OverlayOrigin>,
}

impl Dataflow {
    /// The name of the dataflow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of the file. That of an overlay is the base with its changes, and paths of programs are absolute, so
    /// that the text can be read again anywhere.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The customer and the base, if the dataflow was read from an overlay.
    pub fn overlay(&self) -> Option<&OverlayOrigin> {
        self.overlay.as_ref()
    }

    /// The time from the acceptance of a request to its first answer, at most.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The priority of requests that go through it, where nothing else says one.
    pub fn priority(&self) -> Option<RequestPriority> {
        self.priority
    }

    /// The account to which beginnings of requests are counted: that of the customer, or of the dataflow.
    pub fn account(&self) -> &str {
        self.overlay.as_ref().map_or(&self.name, |overlay| &overlay.customer)
    }

    /// The share of the account among others with waiting requests.
    pub fn share(&self) -> u32 {
        self.share
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

    /// Whether the files say the same but for comments: then limits, time-outs and all else are the same, too.
    pub(crate) fn has_settings_of(&self, other: &Dataflow) -> bool {
        lines_said(&self.text).eq(lines_said(&other.text))
    }

    /// The treatment of items that arrive after the answer.
    pub fn revisions(&self) -> RevisionPolicy {
        self.revisions
    }

    /// The dataflow with the steps as the file has them. The engine runs the steps that streams connect as one.
    pub fn as_written(&self) -> &Dataflow {
        self.written.as_deref().unwrap_or(self)
    }

    /// The step that a node runs, by the node's name.
    pub fn step(&self, node: &str) -> Option<&Step> {
        self.as_written().nodes.iter().find(|known| *known.name == *node).map(|node| &node.step)
    }

    /// The names of the steps, as the file has them.
    pub fn step_names(&self) -> impl Iterator<Item = &str> {
        self.as_written().nodes.iter().map(|node| &*node.name)
    }

    /// The labels that steps name with `on`, each with the names of its steps.
    pub fn labels(&self) -> BTreeMap<&ProcessLabel, Vec<&str>> {
        let mut labels: BTreeMap<&ProcessLabel, Vec<&str>> = BTreeMap::new();
        for node in &self.as_written().nodes {
            node.label().into_iter().for_each(|label| labels.entry(label).or_default().push(&node.name));
        }
        labels
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

/// The lines of a file that are no comment. One that is a part of a text counts for the version.
fn lines_said(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'))
}
