//! The content of a drawing: edges, phases and remarks.

use crate::dataflow::{
    Dataflow, DataflowNode, FailurePolicy, InputWire, ItemFailurePolicy, NodePhase, OutputPort, RunFrequency,
    StreamRole,
};
use crate::step::{InputTake, Item, ParameterValue, Payload, Request, StepOutcomes, interned};
use crate::yaml::duration::shown;

/// The source of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeOrigin {
    Request,
    Outcomes,
    Node(usize),
}

impl EdgeOrigin {
    pub fn name(self, dataflow: &Dataflow) -> &str {
        match self {
            EdgeOrigin::Request => "request",
            EdgeOrigin::Outcomes => "outcomes",
            EdgeOrigin::Node(node) => &dataflow.nodes[node].name,
        }
    }
}

/// The edge to one input of a node.
pub struct GraphEdge {
    pub from: EdgeOrigin,
    /// The source as a dataflow file writes it: `volume`, `lobes.left`, `request.items`.
    pub source: String,
    pub kind: &'static str,
    /// Whether the input takes the values of all items.
    pub gathers: bool,
}

/// The nodes of one phase, and the outputs that they deliver.
pub struct GraphPhase {
    pub phase: NodePhase,
    pub nodes: Vec<usize>,
    /// The name of the end: `response` or `error response`.
    pub ends_in: &'static str,
    pub ports: Vec<OutputPort>,
}

/// The work, and the failure part if there is one.
pub fn parts(dataflow: &Dataflow) -> Vec<GraphPhase> {
    let nodes =
        |phase| (0..dataflow.nodes.len()).filter(move |node| dataflow.nodes[*node].phase == phase).collect();
    let ports = dataflow.response.clone();
    let work =
        GraphPhase { phase: NodePhase::Work, nodes: nodes(NodePhase::Work), ends_in: "response", ports };
    let ports = dataflow.error_response();
    let failure = GraphPhase {
        phase: NodePhase::Failure,
        nodes: nodes(NodePhase::Failure),
        ends_in: "error response",
        ports,
    };
    [work, failure].into_iter().filter(|part| !part.nodes.is_empty()).collect()
}

impl GraphPhase {
    /// The sources of the part besides its nodes.
    pub fn sources(&self, dataflow: &Dataflow) -> Vec<EdgeOrigin> {
        let used = |origin: &EdgeOrigin| {
            let needs = |node: &usize| {
                edges(dataflow, &dataflow.nodes[*node]).iter().any(|edge| edge.from == *origin)
            };
            self.nodes.iter().any(needs)
        };
        [EdgeOrigin::Request, EdgeOrigin::Outcomes].into_iter().filter(used).collect()
    }
}

pub fn edges(dataflow: &Dataflow, node: &DataflowNode) -> Vec<GraphEdge> {
    let inputs = node.step.declaration.inputs.iter().zip(&node.wires);
    let mut edges: Vec<GraphEdge> =
        inputs.flat_map(|(input, wire)| edges_of(dataflow, input.take, wire)).collect();
    edges.extend(node.again.iter().map(|again| port_edge(dataflow, &again.back, false)));
    edges
}

fn edges_of(dataflow: &Dataflow, take: InputTake, wire: &InputWire) -> Vec<GraphEdge> {
    let gathers = take == InputTake::Each;
    let given = |from, source: &str, kind| GraphEdge { from, source: source.to_owned(), kind, gathers };
    match wire {
        InputWire::Absent => Vec::new(),
        InputWire::Request => vec![given(EdgeOrigin::Request, "request", Request::TYPE)],
        InputWire::Items => vec![given(EdgeOrigin::Request, "request.items", Item::TYPE)],
        InputWire::Outcomes => vec![given(EdgeOrigin::Outcomes, "outcomes", StepOutcomes::TYPE)],
        InputWire::Port(_) | InputWire::Merge(_) => {
            wire.ports().iter().map(|port| port_edge(dataflow, port, gathers)).collect()
        }
    }
}

pub fn port_edge(dataflow: &Dataflow, port: &OutputPort, gathers: bool) -> GraphEdge {
    let node = &dataflow.nodes[port.node];
    let outputs = &node.step.declaration.outputs;
    let output = outputs.iter().find(|output| output.name == port.output).expect("a port names an output");
    let source = match outputs.len() {
        1 => node.name.to_string(),
        _ => format!("{}.{}", node.name, port.output),
    };
    GraphEdge { from: EdgeOrigin::Node(port.node), source, kind: kind(node, output.kind), gathers }
}

/// The type of what an output gives; for tokens with the directory in which they wait.
fn kind(node: &DataflowNode, kind: &'static str) -> &'static str {
    match node.parameters.get("to") {
        Some(ParameterValue::Text(directory)) if kind == "token" => {
            interned(&format!("{kind} in {directory}"))
        }
        _ => kind,
    }
}

/// Remarks about the dataflow as a whole.
pub fn remarks(dataflow: &Dataflow) -> Vec<String> {
    let deadline = dataflow.deadline.map(|deadline| format!("answered within {}", shown(deadline)));
    let stops = (dataflow.on_failure == FailurePolicy::Stop).then(|| "stops at the first failure".to_owned());
    let items = (dataflow.on_item_failure != ItemFailurePolicy::Fail)
        .then(|| format!("when items failed: {}", dataflow.on_item_failure));
    let priority = dataflow.priority.map(|priority| format!("priority {priority}"));
    let share = (dataflow.share > 1).then(|| format!("share {}", dataflow.share));
    deadline.into_iter().chain(stops).chain(items).chain(priority).chain(share).collect()
}

/// Remarks about a node.
pub fn notes(dataflow: &Dataflow, node: usize) -> Vec<String> {
    let DataflowNode { enabled, when, on, max, rate, timeout, retry, runs, stream, batch, again, .. } =
        &dataflow.nodes[node];
    let mut notes = Vec::new();
    if !enabled {
        notes.push("switched off".to_owned());
    }
    if *runs == RunFrequency::PerItem {
        notes.push("for every item".to_owned());
    }
    match stream {
        StreamRole::Makes => notes.push("makes a stream".to_owned()),
        StreamRole::Items => notes.push("for every item of the stream".to_owned()),
        StreamRole::Outside | StreamRole::Ends => {}
    }
    notes.extend(batch.iter().map(|batch| format!("in batches of {}", batch.items)));
    notes.extend(again.iter().map(|again| format!("items may come back {} times", again.max)));
    notes.extend(when.iter().map(|condition| format!("when {condition}")));
    notes.extend(on.iter().map(|label| format!("on {label}")));
    notes.extend(changed_settings(&dataflow.nodes[node]));
    notes.extend(max.iter().map(|max| format!("at most {max} at once")));
    notes.extend(rate.iter().map(|rate| format!("at most {rate}")));
    notes.extend(timeout.iter().map(|timeout| format!("{} at most", shown(*timeout))));
    notes.extend(retry.iter().map(|retry| format!("run again up to {} times", retry.count)));
    if !is_used(dataflow, node) {
        notes.push("used by nothing".to_owned());
    }
    notes
}

/// The parameters that differ from the defaults.
fn changed_settings(node: &DataflowNode) -> impl Iterator<Item = String> + '_ {
    let declared = node.step.declaration.parameters.iter();
    let set = declared.filter_map(|parameter| Some((parameter, node.parameters.get(parameter.name)?)));
    let changed = set.filter(|(parameter, setting)| **setting != parameter.default);
    changed.map(|(parameter, setting)| {
        format!("{} {setting} {}", parameter.name, parameter.unit).trim_end().to_owned()
    })
}

fn is_used(dataflow: &Dataflow, node: usize) -> bool {
    let needed =
        |other: &DataflowNode| edges(dataflow, other).iter().any(|edge| edge.from == EdgeOrigin::Node(node));
    let answers = parts(dataflow).iter().any(|part| part.ports.iter().any(|port| port.node == node));
    answers || dataflow.nodes.iter().any(needed)
}
