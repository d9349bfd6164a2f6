//! The drawing in the language of Mermaid (<https://mermaid.js.org/syntax/flowchart.html>), for Markdown pages.

use crate::dataflow::{Dataflow, DataflowNode, NodePhase, RunFrequency};

use super::content::{EdgeOrigin, GraphEdge, GraphPhase, edges, notes, parts, port_edge};

pub(super) fn draw(dataflow: &Dataflow) -> String {
    let bodies: String = parts(dataflow).iter().map(|part| body(dataflow, part)).collect();
    format!(
        "flowchart TD\n{bodies}  classDef off stroke-dasharray: 2 4, color: #888\n  \
         classDef conditional stroke-dasharray: 6 3\n"
    )
}

fn body(dataflow: &Dataflow, part: &GraphPhase) -> String {
    let sources = part.sources(dataflow);
    let mut lines: Vec<String> =
        sources.iter().map(|source| format!("{}([{}])", id(part, *source), source.name(dataflow))).collect();
    let end = format!("response_{}", part_name(part));
    lines.push(format!("{end}([{}])", part.ends_in));
    lines.extend(part.nodes.iter().map(|node| node_line(dataflow, *node)));
    for node in &part.nodes {
        let to = id(part, EdgeOrigin::Node(*node));
        lines.extend(edges(dataflow, &dataflow.nodes[*node]).iter().map(|edge| edge_line(part, edge, &to)));
    }
    for port in &part.ports {
        let edge = port_edge(dataflow, port, false);
        lines.push(edge_line(part, &edge, &end));
    }
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    match part.phase {
        NodePhase::Work => lines,
        NodePhase::Failure => format!("  subgraph failure [when a step failed]\n{lines}  end\n"),
    }
}

fn part_name(part: &GraphPhase) -> &'static str {
    match part.phase {
        NodePhase::Work => "work",
        NodePhase::Failure => "failure",
    }
}

/// The line of a node. Nodes are numbered, because a name may be a keyword of Mermaid.
fn node_line(dataflow: &Dataflow, index: usize) -> String {
    let DataflowNode { name, step, enabled, when, runs, .. } = &dataflow.nodes[index];
    let mut label = vec![format!("<b>{name}</b>"), step.declaration.name.to_owned()];
    label.extend(notes(dataflow, index).iter().map(|note| escaped(note)));
    let label = label.join("<br>");
    let class = match (enabled, when) {
        (false, _) => ":::off",
        (true, Some(_)) => ":::conditional",
        (true, None) => "",
    };
    match runs {
        RunFrequency::Once => format!("step{index}(\"{label}\"){class}"),
        RunFrequency::PerItem => format!("step{index}[[\"{label}\"]]{class}"),
    }
}

fn edge_line(part: &GraphPhase, edge: &GraphEdge, to: &str) -> String {
    let from = id(part, edge.from);
    match edge.gathers {
        true => format!("{from} ==>|all {}| {to}", edge.kind),
        false => format!("{from} -->|{}| {to}", edge.kind),
    }
}

fn id(part: &GraphPhase, origin: EdgeOrigin) -> String {
    match origin {
        EdgeOrigin::Request => format!("request_{}", part_name(part)),
        EdgeOrigin::Outcomes => "outcomes".to_owned(),
        EdgeOrigin::Node(node) => format!("step{node}"),
    }
}

/// The text with Mermaid's character codes for letters that would end a text or begin HTML.
fn escaped(text: &str) -> String {
    let letter = |c: char| match c {
        '"' | '<' | '>' | '#' | '&' | ';' => format!("#{};", u32::from(c)),
        other => other.to_string(),
    };
    text.chars().map(letter).collect()
}
