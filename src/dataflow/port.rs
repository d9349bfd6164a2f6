//! The lookup of a node's output by name and type.

use super::OutputPort;
use super::plan::DataflowPlan;
use crate::yaml;
use crate::yaml::{PlacedValue, ProblemCollector};

/// The type that is wanted, and the place that wants it.
#[derive(Clone, Copy)]
pub(super) struct PortRequirement<'a> {
    pub kind: &'static str,
    /// The place, in messages: `the input "lungs" of "densities"`.
    pub by: &'a str,
}

/// The named output of a node; without a name, the only output of the wanted type.
pub(super) fn port(
    plan: &DataflowPlan,
    node: usize,
    named: Option<&str>,
    wanted: PortRequirement,
    at: &PlacedValue<String>,
    collector: &mut ProblemCollector,
) -> Option<OutputPort> {
    let outputs = &plan.declaration(node)?.outputs;
    let name = plan.name(node);
    if let Some(named) = named.filter(|named| outputs.iter().all(|output| output.name != *named)) {
        let hint = yaml::meant_or_all(named, outputs.iter().map(|output| output.name));
        collector.add(at.place, format!("\"{name}\" gives no output \"{named}\"")).hint(hint);
        return None;
    }
    let candidates = || outputs.iter().filter(|output| named.is_none_or(|named| output.name == named));
    let mut fitting = candidates().filter(|output| output.kind == wanted.kind);
    match (fitting.next(), fitting.next()) {
        (Some(output), None) => Some(OutputPort { node, output: output.name }),
        (Some(first), Some(_)) => {
            let message = format!("\"{name}\" gives more than one output of type {}", wanted.kind);
            let hint = format!("name the one that is meant: {name}.{}", first.name);
            collector.add(at.place, message).hint(hint);
            None
        }
        (None, _) => {
            let mut given: Vec<&str> = candidates().map(|output| output.kind).collect();
            given.dedup();
            let given = if given.is_empty() { "nothing".to_owned() } else { given.join(" and ") };
            let message = format!("{} takes {}, but \"{}\" gives {given}", wanted.by, wanted.kind, at.value);
            let phase = plan.node(node).phase;
            collector.add(at.place, message).hint(plan.giving(wanted.kind, phase));
            None
        }
    }
}

/// The name of a node and, after a point, the name of one of its outputs.
pub(super) fn node_and_output(written: &str) -> (&str, Option<&str>) {
    match written.split_once('.') {
        Some((name, output)) => (name, Some(output)),
        None => (written, None),
    }
}
