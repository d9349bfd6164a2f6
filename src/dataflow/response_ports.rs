//! The outputs that make the response, and the check of the failure part.

use super::plan::Plan;
use super::port::{Wanted, node_and_output, port};
use super::{Phase, Port};
use crate::step::{Files, Payload};
use crate::yaml;
use crate::yaml::{Collector, Placed};

/// The ports of the response, by index in the draft.
pub(super) fn of(plan: &Plan, collector: &mut Collector) -> Vec<Port> {
    let mut ports = Vec::new();
    if plan.draft.nodes.is_empty() {
        // The missing steps are the problem, and not that the response names one.
        return ports;
    }
    for part in &plan.draft.response {
        match response_port(plan, part, collector) {
            Some(port) if ports.contains(&port) => {
                collector.add(part.place, format!("\"{}\" stands in the response twice", part.value));
            }
            Some(port) => ports.push(port),
            None => {}
        }
    }
    ports
}

fn response_port(plan: &Plan, part: &Placed<String>, collector: &mut Collector) -> Option<Port> {
    let (name, output) = node_and_output(&part.value);
    let Some(node) = plan.find(name) else {
        let known = plan.phase(Phase::Work).map(|index| plan.name(index));
        let hint = yaml::meant_or_all(name, known);
        collector.add(part.place, format!("this dataflow has no step \"{name}\"")).hint(hint);
        return None;
    };
    if plan.node(node).phase == Phase::Failure {
        let message = format!("\"{name}\" is a step of the failure part and cannot be in the response");
        let hint = "what those steps give is the error response without being named".to_owned();
        collector.add(part.place, message).hint(hint);
        return None;
    }
    let wanted = Wanted { kind: Files::TYPE, by: "the response" };
    port(plan, node, output, wanted, part, collector)
}

/// Checks that the failure part gives files: otherwise the error response would be empty.
pub(super) fn failure(plan: &Plan, collector: &mut Collector) {
    let mut steps = plan.phase(Phase::Failure).peekable();
    let Some(first) = steps.peek().copied() else { return };
    let gives_files = |index: usize| {
        plan.declaration(index)
            .is_none_or(|step| step.outputs.iter().any(|output| output.kind == Files::TYPE))
    };
    if !steps.any(gives_files) {
        let message = "no step of the failure part gives files, so that the error response would be empty";
        collector.add(plan.node(first).name.place, message);
    }
}
