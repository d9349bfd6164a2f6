//! The version of a dataflow: a digest of everything that can change a response, and of nothing else.
//!
//! Names of steps count, because identifiers of results are computed from them. The order of the nodes counts,
//! because outcomes are reported in it. Layout, comments, `about` and limits do not count.
//!
//! The bound of a loop counts, as items beyond it are lost. A retry may run with another bound all the same: what was
//! computed within the old one stays as it is.

use serde::Serialize;

use super::{
    Dataflow, DataflowNode, FailurePolicy, InputWire, ItemFailurePolicy, NodePhase, OutputPort, StepCondition,
};
use crate::step::{Digest, StepParameters};

impl Dataflow {
    /// Whether the other dataflow has the same meaning but for the bounds of its loops.
    pub(crate) fn is_but_for_bounds(&self, other: &Dataflow) -> bool {
        without_bounds(self.as_written()) == without_bounds(other.as_written())
    }
}

fn without_bounds(written: &Dataflow) -> Digest {
    let mut nodes = written.nodes.clone();
    nodes.iter_mut().filter_map(|node| node.again.as_mut()).for_each(|again| again.max = 0);
    digest(&written.name, &nodes, &written.response, written.on_failure, written.on_item_failure)
}

pub(super) fn digest(
    name: &str,
    nodes: &[DataflowNode],
    response: &[OutputPort],
    on_failure: FailurePolicy,
    on_item_failure: ItemFailurePolicy,
) -> Digest {
    let meaning = DataflowMeaning {
        flow: env!("CARGO_PKG_VERSION"),
        name,
        nodes: nodes.iter().map(|node| NodeMeaning::of(node, nodes)).collect(),
        response: response.iter().map(|port| named(port, nodes)).collect(),
        stops: (on_failure == FailurePolicy::Stop).then_some(true),
        item_failures: (on_item_failure != ItemFailurePolicy::Fail).then(|| on_item_failure.to_string()),
    };
    let canonical = serde_json::to_vec(&meaning).expect("keys are texts, so it can be written as JSON");
    Digest::of(&canonical)
}

/// The canonical form. The names and the order of its fields are part of every digest.
#[derive(Serialize)]
struct DataflowMeaning<'a> {
    /// The version of flow, which is written into generated objects: those of another version of flow must
    /// have other identifiers.
    flow: &'static str,
    name: &'a str,
    nodes: Vec<NodeMeaning<'a>>,
    response: Vec<String>,
    /// Whether `on_failure` is `stop`; left out otherwise, so that digests of earlier versions stay the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<bool>,
    /// `on_item_failure`, if it is not `fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    item_failures: Option<String>,
}

#[derive(Serialize)]
struct NodeMeaning<'a> {
    name: &'a str,
    step: &'a str,
    version: u32,
    /// The digest of the code of a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Digest>,
    failure: bool,
    enabled: bool,
    when: Option<&'a StepCondition>,
    needs: Vec<(&'a str, String)>,
    parameters: &'a StepParameters,
    /// The output from which items go back, their input, and how often.
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<(String, &'static str, u32)>,
}

impl<'a> NodeMeaning<'a> {
    fn of(node: &'a DataflowNode, nodes: &[DataflowNode]) -> NodeMeaning<'a> {
        let step = &node.step.declaration;
        let inputs = step.inputs.iter().map(|input| input.name);
        NodeMeaning {
            name: &node.name,
            step: step.name,
            version: step.version,
            code: step.code,
            failure: node.phase == NodePhase::Failure,
            enabled: node.enabled,
            when: node.when.as_ref(),
            needs: inputs.zip(node.wires.iter().map(|wire| source(wire, nodes))).collect(),
            parameters: &node.parameters,
            again: node
                .again
                .as_ref()
                .map(|again| (named(&again.back, nodes), step.inputs[again.input].name, again.max)),
        }
    }
}

fn source(wire: &InputWire, nodes: &[DataflowNode]) -> String {
    match wire {
        InputWire::Absent => String::new(),
        InputWire::Request => "request".to_owned(),
        InputWire::Items => "request.items".to_owned(),
        InputWire::Outcomes => "outcomes".to_owned(),
        InputWire::Port(port) => named(port, nodes),
        InputWire::Merge(ports) => {
            ports.iter().map(|port| named(port, nodes)).collect::<Vec<String>>().join(", ")
        }
    }
}

fn named(port: &OutputPort, nodes: &[DataflowNode]) -> String {
    format!("{}.{}", nodes[port.node].name, port.output)
}
