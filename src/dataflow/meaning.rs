//! The version of a dataflow: a digest of everything that can change a response, and of nothing else.
//!
//! Names of steps count, because identifiers of results are computed from them. The order of the nodes counts,
//! because outcomes are reported in it. Layout, comments, `about` and limits do not count.

use serde::Serialize;

use super::{Condition, Node, OnFailure, Phase, Port, Wire};
use crate::step::{Digest, Parameters};

pub(super) fn digest(name: &str, nodes: &[Node], response: &[Port], on_failure: OnFailure) -> Digest {
    let meaning = Meaning {
        flow: env!("CARGO_PKG_VERSION"),
        name,
        nodes: nodes.iter().map(|node| NodeMeaning::of(node, nodes)).collect(),
        response: response.iter().map(|port| named(port, nodes)).collect(),
        stops: (on_failure == OnFailure::Stop).then_some(true),
    };
    let canonical = serde_json::to_vec(&meaning).expect("keys are texts, so it can be written as JSON");
    Digest::of(&canonical)
}

/// The canonical form. The names and the order of its fields are part of every digest.
#[derive(Serialize)]
struct Meaning<'a> {
    /// The version of flow, which is written into generated objects: those of another version of flow must
    /// have other identifiers.
    flow: &'static str,
    name: &'a str,
    nodes: Vec<NodeMeaning<'a>>,
    response: Vec<String>,
    /// Whether `on_failure` is `stop`; left out otherwise, so that digests of earlier versions stay the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<bool>,
}

#[derive(Serialize)]
struct NodeMeaning<'a> {
    name: &'a str,
    step: &'a str,
    version: u32,
    failure: bool,
    enabled: bool,
    when: Option<&'a Condition>,
    needs: Vec<(&'a str, String)>,
    parameters: &'a Parameters,
}

impl<'a> NodeMeaning<'a> {
    fn of(node: &'a Node, nodes: &[Node]) -> NodeMeaning<'a> {
        let step = &node.step.declaration;
        let inputs = step.inputs.iter().map(|input| input.name);
        NodeMeaning {
            name: &node.name,
            step: step.name,
            version: step.version,
            failure: node.phase == Phase::Failure,
            enabled: node.enabled,
            when: node.when.as_ref(),
            needs: inputs.zip(node.wires.iter().map(|wire| source(wire, nodes))).collect(),
            parameters: &node.parameters,
        }
    }
}

fn source(wire: &Wire, nodes: &[Node]) -> String {
    match wire {
        Wire::Absent => String::new(),
        Wire::Request => "request".to_owned(),
        Wire::Items => "request.items".to_owned(),
        Wire::Outcomes => "outcomes".to_owned(),
        Wire::Port(port) => named(port, nodes),
    }
}

fn named(port: &Port, nodes: &[Node]) -> String {
    format!("{}.{}", nodes[port.node].name, port.output)
}
