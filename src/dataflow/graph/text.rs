//! The drawing for the terminal: one line for each step, in the order of the data, with rails on the left.
//!
//! A rail begins at the mark of a step and goes down to the last step that needs it. The rails that meet the
//! mark of a step from the side or from above are its needs.

use crate::dataflow::{Dataflow, DataflowNode, NodePhase};

use super::content::{EdgeOrigin, GraphEdge, GraphPhase, edges, notes, parts, port_edge, remarks};
use crate::step::OutputDeclaration;

const WIDTH: usize = 100;

pub(super) fn draw(dataflow: &Dataflow) -> String {
    let mut lines = vec![format!("{}  {}", dataflow.name, dataflow.digest.short())];
    lines.extend(wrapped(&dataflow.about));
    let remarks = remarks(dataflow);
    lines.extend((!remarks.is_empty()).then(|| remarks.join(" · ")));
    for part in parts(dataflow) {
        lines.push(String::new());
        if part.phase == NodePhase::Failure {
            lines.push("when a step failed:".to_owned());
        }
        lines.extend(aligned(&rows(dataflow, &part)));
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A line of the drawing, in columns.
struct GraphRow {
    rails: String,
    name: String,
    step: String,
    words: String,
}

fn rows(dataflow: &Dataflow, part: &GraphPhase) -> Vec<GraphRow> {
    let mut rails = OpenRails::default();
    let mut rows = Vec::new();
    for origin in part.sources(dataflow) {
        let lane = RailLane { origin, uses: uses(dataflow, part, origin) };
        let (rails, name) = (rails.row('◆', &[], Some(lane)), origin.name(dataflow).to_owned());
        rows.push(GraphRow { rails, name, step: String::new(), words: String::new() });
    }
    rows.extend(part.nodes.iter().map(|node| node_row(dataflow, part, *node, &mut rails)));
    rows.push(end_row(dataflow, part, &mut rails));
    rows
}

fn node_row(dataflow: &Dataflow, part: &GraphPhase, index: usize, rails: &mut OpenRails) -> GraphRow {
    let node = &dataflow.nodes[index];
    let mark = match (node.enabled, &node.when) {
        (false, _) => '○',
        (true, Some(_)) => '◐',
        (true, None) => '●',
    };
    let edges = edges(dataflow, node);
    let origin = EdgeOrigin::Node(index);
    let lane = RailLane { origin, uses: uses(dataflow, part, origin) };
    let mut words = vec![wires(dataflow, index, &edges)];
    words.extend(notes(dataflow, index));
    GraphRow {
        rails: rails.row(mark, &distinct(edges.iter().map(|edge| edge.from)), Some(lane)),
        name: node.name.to_string(),
        step: node.step.declaration.name.to_owned(),
        words: words.join(" · "),
    }
}

fn end_row(dataflow: &Dataflow, part: &GraphPhase, rails: &mut OpenRails) -> GraphRow {
    let names: Vec<String> = part.ports.iter().map(|port| port_edge(dataflow, port, false).source).collect();
    GraphRow {
        rails: rails.row('◆', &distinct(part.ports.iter().map(|port| EdgeOrigin::Node(port.node))), None),
        name: part.ends_in.to_owned(),
        step: String::new(),
        words: names.join(", "),
    }
}

/// The needs and outputs of a node: `volume, lobes.left (lungs) → densities`.
fn wires(dataflow: &Dataflow, node: usize, edges: &[GraphEdge]) -> String {
    let word = |edge: &GraphEdge| match (edge.source == edge.kind, edge.gathers) {
        (true, false) => edge.source.clone(),
        (false, false) => format!("{} ({})", edge.source, edge.kind),
        (_, true) => format!("{} (all {})", edge.source, edge.kind),
    };
    let from: Vec<String> = edges.iter().map(word).collect();
    format!("{} → {}", from.join(", "), gives(&dataflow.nodes[node])).trim().to_owned()
}

/// The type of the only output, or the names and types of several.
fn gives(node: &DataflowNode) -> String {
    let outputs = &node.step.declaration.outputs;
    let word = |output: &OutputDeclaration| match outputs.len() {
        1 => output.kind.to_owned(),
        _ => format!("{} ({})", output.name, output.kind),
    };
    outputs.iter().map(word).collect::<Vec<String>>().join(", ")
}

/// The number of nodes in the part that need the origin; the response counts as one.
fn uses(dataflow: &Dataflow, part: &GraphPhase, origin: EdgeOrigin) -> usize {
    let needs =
        |node: &&usize| edges(dataflow, &dataflow.nodes[**node]).iter().any(|edge| edge.from == origin);
    let answers = part.ports.iter().any(|port| EdgeOrigin::Node(port.node) == origin);
    part.nodes.iter().filter(needs).count() + usize::from(answers)
}

fn distinct(origins: impl Iterator<Item = EdgeOrigin>) -> Vec<EdgeOrigin> {
    let mut kept = Vec::new();
    origins.for_each(|origin| {
        if !kept.contains(&origin) {
            kept.push(origin);
        }
    });
    kept
}

/// The rails that are open at a line.
#[derive(Default)]
struct OpenRails(Vec<Option<RailLane>>);

#[derive(Clone, Copy)]
struct RailLane {
    origin: EdgeOrigin,
    /// The number of lines below that need it.
    uses: usize,
}

impl OpenRails {
    /// Draws the line of one mark: the rails of its needs join it, and its own rail begins.
    fn row(&mut self, mark: char, needs: &[EdgeOrigin], own: Option<RailLane>) -> String {
        let before: Vec<bool> = self.0.iter().map(Option::is_some).collect();
        let joined = self.join(needs);
        let at = self.column_for(&joined);
        if let Some(column) = self.0.get_mut(at) {
            *column = own.filter(|lane| lane.uses > 0);
        }
        let first = joined.iter().copied().chain([at]).min().unwrap_or(at);
        let last = joined.iter().copied().chain([at]).max().unwrap_or(at);
        let letter = |column: usize| {
            let inside = (first..=last).contains(&column);
            match (column == at, joined.contains(&column)) {
                (true, _) => mark,
                (false, true) => joint(self.0[column].is_some(), column > first, column < last),
                (false, false) if before.get(column) == Some(&true) => '│',
                (false, false) => {
                    if inside {
                        '─'
                    } else {
                        ' '
                    }
                }
            }
        };
        let between = |column: usize| if (first..last).contains(&column) { '─' } else { ' ' };
        (0..self.0.len()).flat_map(|column| [letter(column), between(column)]).collect()
    }

    /// The columns of the needs. A rail that no line below needs ends here.
    fn join(&mut self, needs: &[EdgeOrigin]) -> Vec<usize> {
        let mut joined = Vec::new();
        for (column, rail) in self.0.iter_mut().enumerate() {
            let Some(lane) = rail.as_mut().filter(|lane| needs.contains(&lane.origin)) else { continue };
            lane.uses -= 1;
            joined.push(column);
            *rail = rail.filter(|lane| lane.uses > 0);
        }
        joined
    }

    /// The column for a mark: that of a rail that ends here, otherwise the first free one.
    fn column_for(&mut self, joined: &[usize]) -> usize {
        let ended = joined.iter().copied().find(|column| self.0[*column].is_none());
        ended.or_else(|| self.0.iter().position(Option::is_none)).unwrap_or_else(|| {
            self.0.push(None);
            self.0.len() - 1
        })
    }
}

/// The character for a rail from above that joins a mark at its side.
fn joint(below: bool, left: bool, right: bool) -> char {
    match (below, left, right) {
        (true, true, true) => '┼',
        (true, true, false) => '┤',
        (true, false, true) => '├',
        (true, false, false) => '│',
        (false, true, true) => '┴',
        (false, true, false) => '╯',
        (false, false, true) => '╰',
        (false, false, false) => '╵',
    }
}

fn aligned(rows: &[GraphRow]) -> Vec<String> {
    let widest = |of: fn(&GraphRow) -> &str| {
        rows.iter().map(|row| of(row).trim_end().chars().count()).max().unwrap_or(0)
    };
    let rails = widest(|row| &row.rails);
    let (name, step) = (widest(|row| &row.name), widest(|row| &row.step));
    let line = |row: &GraphRow| {
        let GraphRow { rails: drawn, name: named, step: stepped, words } = row;
        format!("{:rails$}  {named:name$}  {stepped:step$}  {words}", drawn.trim_end())
    };
    rows.iter().map(line).collect()
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}
