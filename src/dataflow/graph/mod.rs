//! Drawings of a dataflow: for the terminal, for Graphviz and for Mermaid.
//!
//! This module gathers the content; the drawings differ only in their characters.

mod dot;
mod mermaid;
mod text;

use super::{Dataflow, Node, OnFailure, Phase, Port, Runs, Wire};
use crate::step::{Item, Outcomes, Payload, Request, Take};
use crate::yaml::duration::shown;

impl Dataflow {
    /// A drawing for the terminal: one line for each step, with lines on the left for its needs.
    pub fn drawing(&self) -> String {
        text::draw(self)
    }

    /// A drawing in the language of Graphviz.
    pub fn dot(&self) -> String {
        dot::draw(self)
    }

    /// A drawing in the language of Mermaid.
    ///
    /// ```
    /// use flow::dataflow::Dataflow;
    /// use flow::step::Table;
    ///
    /// let dataflow = Dataflow::load("ct-lung", &Table::built_in())?;
    /// assert!(dataflow.mermaid().starts_with("flowchart TD"));
    /// assert!(dataflow.dot().starts_with("digraph"));
    /// # Ok::<(), flow::dataflow::LoadError>(())
    /// ```
    pub fn mermaid(&self) -> String {
        mermaid::draw(self)
    }
}

/// The source of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Request,
    Outcomes,
    Node(usize),
}

impl Origin {
    fn name(self, dataflow: &Dataflow) -> &str {
        match self {
            Origin::Request => "request",
            Origin::Outcomes => "outcomes",
            Origin::Node(node) => &dataflow.nodes[node].name,
        }
    }
}

/// The edge to one input of a node.
struct Edge {
    from: Origin,
    /// The source as a dataflow file writes it: `volume`, `lobes.left`, `request.items`.
    source: String,
    kind: &'static str,
    /// Whether the input takes the values of all items.
    gathers: bool,
}

/// The nodes of one phase, and the outputs that they deliver.
struct Part {
    phase: Phase,
    nodes: Vec<usize>,
    /// The name of the end: `response` or `error response`.
    ends_in: &'static str,
    ports: Vec<Port>,
}

/// The work, and the failure part if there is one.
fn parts(dataflow: &Dataflow) -> Vec<Part> {
    let nodes =
        |phase| (0..dataflow.nodes.len()).filter(move |node| dataflow.nodes[*node].phase == phase).collect();
    let ports = dataflow.response.clone();
    let work = Part { phase: Phase::Work, nodes: nodes(Phase::Work), ends_in: "response", ports };
    let ports = dataflow.error_response();
    let failure =
        Part { phase: Phase::Failure, nodes: nodes(Phase::Failure), ends_in: "error response", ports };
    [work, failure].into_iter().filter(|part| !part.nodes.is_empty()).collect()
}

impl Part {
    /// The sources of the part besides its nodes.
    fn sources(&self, dataflow: &Dataflow) -> Vec<Origin> {
        let used = |origin: &Origin| {
            let needs = |node: &usize| {
                edges(dataflow, &dataflow.nodes[*node]).iter().any(|edge| edge.from == *origin)
            };
            self.nodes.iter().any(needs)
        };
        [Origin::Request, Origin::Outcomes].into_iter().filter(used).collect()
    }
}

fn edges(dataflow: &Dataflow, node: &Node) -> Vec<Edge> {
    let inputs = node.step.declaration.inputs.iter().zip(&node.wires);
    inputs.filter_map(|(input, wire)| edge(dataflow, input.take, wire)).collect()
}

fn edge(dataflow: &Dataflow, take: Take, wire: &Wire) -> Option<Edge> {
    let gathers = take == Take::Each;
    let given = |from, source: &str, kind| Edge { from, source: source.to_owned(), kind, gathers };
    match wire {
        Wire::Absent => None,
        Wire::Request => Some(given(Origin::Request, "request", Request::TYPE)),
        Wire::Items => Some(given(Origin::Request, "request.items", Item::TYPE)),
        Wire::Outcomes => Some(given(Origin::Outcomes, "outcomes", Outcomes::TYPE)),
        Wire::Port(port) => Some(port_edge(dataflow, port, gathers)),
    }
}

fn port_edge(dataflow: &Dataflow, port: &Port, gathers: bool) -> Edge {
    let node = &dataflow.nodes[port.node];
    let outputs = &node.step.declaration.outputs;
    let output = outputs.iter().find(|output| output.name == port.output).expect("a port names an output");
    let source = match outputs.len() {
        1 => node.name.clone(),
        _ => format!("{}.{}", node.name, port.output),
    };
    Edge { from: Origin::Node(port.node), source, kind: output.kind, gathers }
}

/// Remarks about the dataflow as a whole.
fn remarks(dataflow: &Dataflow) -> Vec<String> {
    let deadline = dataflow.deadline.map(|deadline| format!("answered within {}", shown(deadline)));
    let stops = (dataflow.on_failure == OnFailure::Stop).then(|| "stops at the first failure".to_owned());
    deadline.into_iter().chain(stops).collect()
}

/// Remarks about a node.
fn notes(dataflow: &Dataflow, node: usize) -> Vec<String> {
    let Node { enabled, when, max, timeout, retry, runs, .. } = &dataflow.nodes[node];
    let mut notes = Vec::new();
    if !enabled {
        notes.push("switched off".to_owned());
    }
    if *runs == Runs::PerItem {
        notes.push("for every item".to_owned());
    }
    notes.extend(when.iter().map(|condition| format!("when {condition}")));
    notes.extend(changed_settings(&dataflow.nodes[node]));
    notes.extend(max.iter().map(|max| format!("at most {max} at once")));
    notes.extend(timeout.iter().map(|timeout| format!("{} at most", shown(*timeout))));
    notes.extend(retry.iter().map(|retry| format!("run again up to {} times", retry.count)));
    if !is_used(dataflow, node) {
        notes.push("used by nothing".to_owned());
    }
    notes
}

/// The parameters that differ from the defaults.
fn changed_settings(node: &Node) -> impl Iterator<Item = String> + '_ {
    let declared = node.step.declaration.parameters.iter();
    let set = declared.filter_map(|parameter| Some((parameter, node.parameters.get(parameter.name)?)));
    let changed = set.filter(|(parameter, setting)| **setting != parameter.default);
    changed.map(|(parameter, setting)| {
        format!("{} {setting} {}", parameter.name, parameter.unit).trim_end().to_owned()
    })
}

fn is_used(dataflow: &Dataflow, node: usize) -> bool {
    let needed = |other: &Node| edges(dataflow, other).iter().any(|edge| edge.from == Origin::Node(node));
    let answers = parts(dataflow).iter().any(|part| part.ports.iter().any(|port| port.node == node));
    answers || dataflow.nodes.iter().any(needed)
}
