//! The drawing in the language of Graphviz (<https://graphviz.org/doc/info/lang.html>): `dot -Tsvg`.

use crate::dataflow::{Dataflow, DataflowNode, NodePhase, RunFrequency};

use super::content::{EdgeOrigin, GraphEdge, GraphPhase, edges, notes, parts, port_edge, remarks};

pub(super) fn draw(dataflow: &Dataflow) -> String {
    let bodies: String = parts(dataflow).iter().map(|part| body(dataflow, part)).collect();
    let title = format!("{} {}", dataflow.name, dataflow.digest.short());
    let title: Vec<String> = [title].into_iter().chain(remarks(dataflow)).collect();
    format!(
        "digraph {} {{\n  label={};\n  labelloc=t;\n  fontname=\"sans-serif\";\n  \
         node [fontname=\"sans-serif\", fontsize=11, shape=box, style=rounded];\n  \
         edge [fontname=\"sans-serif\", fontsize=9, color=gray40];\n{bodies}}}\n",
        quoted(&dataflow.name),
        quoted(&title.join("\n")),
    )
}

fn body(dataflow: &Dataflow, part: &GraphPhase) -> String {
    let mut lines: Vec<String> = part
        .sources(dataflow)
        .iter()
        .map(|source| end_line(&id(dataflow, part, *source), source.name(dataflow)))
        .collect();
    lines.push(end_line(part.ends_in, part.ends_in));
    for node in &part.nodes {
        lines.push(node_line(dataflow, *node));
        let (edges, to) = (edges(dataflow, &dataflow.nodes[*node]), &dataflow.nodes[*node].name);
        lines.extend(edges.iter().map(|edge| edge_line(dataflow, part, edge, to)));
    }
    for port in &part.ports {
        let edge = port_edge(dataflow, port, false);
        lines.push(edge_line(dataflow, part, &edge, part.ends_in));
    }
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    match part.phase {
        NodePhase::Work => lines,
        NodePhase::Failure => format!(
            "  subgraph cluster_failure {{\n    label=\"when a step failed\";\n    \
             color=firebrick;\n{lines}  }}\n"
        ),
    }
}

/// The line for the beginning or the end of a part.
fn end_line(id: &str, label: &str) -> String {
    format!("{} [label={}, shape=oval, style=bold];", quoted(id), quoted(label))
}

fn node_line(dataflow: &Dataflow, index: usize) -> String {
    let DataflowNode { name, step, enabled, when, runs, .. } = &dataflow.nodes[index];
    let mut label = vec![name.to_string(), step.declaration.name.to_owned()];
    label.extend(notes(dataflow, index));
    let style = match (enabled, when) {
        (false, _) => "style=\"rounded,dotted\", color=gray, fontcolor=gray",
        (true, Some(_)) => "style=\"rounded,dashed\"",
        (true, None) => "style=rounded",
    };
    let borders = match runs {
        RunFrequency::Once => 1,
        RunFrequency::PerItem => 2,
    };
    format!("{} [label={}, {style}, peripheries={borders}];", quoted(name), quoted(&label.join("\n")))
}

fn edge_line(dataflow: &Dataflow, part: &GraphPhase, edge: &GraphEdge, to: &str) -> String {
    let (label, width) = match edge.gathers {
        true => (format!("all {}", edge.kind), 2),
        false => (edge.kind.to_owned(), 1),
    };
    format!(
        "{} -> {} [label={}, penwidth={width}];",
        quoted(&id(dataflow, part, edge.from)),
        quoted(to),
        quoted(&label)
    )
}

/// The identifier of an origin. Each part has a request of its own, so that no line crosses between the parts.
/// The identifier has a blank, which no name of a step has.
fn id(dataflow: &Dataflow, part: &GraphPhase, origin: EdgeOrigin) -> String {
    match (origin, part.phase) {
        (EdgeOrigin::Request, NodePhase::Failure) => "failed request".to_owned(),
        (other, _) => other.name(dataflow).to_owned(),
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
