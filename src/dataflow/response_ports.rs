//! The outputs that make the response, and the check of the failure part.

use super::plan::DataflowPlan;
use super::port::{PortRequirement, node_and_output, port};
use super::{NodePhase, OutputPort, StreamRole};
use crate::step::{Payload, ResponseFiles};
use crate::yaml;
use crate::yaml::{PlacedValue, ProblemCollector};

/// The ports of the response, by index in the draft.
pub(super) fn of(
    plan: &DataflowPlan,
    roles: &[StreamRole],
    collector: &mut ProblemCollector,
) -> Vec<OutputPort> {
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
            Some(port) if roles[port.node].gives_stream() => {
                let message = format!(
                    "\"{}\" gives files for every item of a stream, and the response has them once",
                    part.value
                );
                let hint = "let a step that takes all items write the files".to_owned();
                collector.add(part.place, message).hint(hint);
            }
            Some(port) => ports.push(port),
            None => {}
        }
    }
    ports
}

fn response_port(
    plan: &DataflowPlan,
    part: &PlacedValue<String>,
    collector: &mut ProblemCollector,
) -> Option<OutputPort> {
    let (name, output) = node_and_output(&part.value);
    let Some(node) = plan.find(name) else {
        let known = plan.phase(NodePhase::Work).map(|index| plan.name(index));
        let hint = yaml::meant_or_all(name, known);
        collector.add(part.place, format!("this dataflow has no step \"{name}\"")).hint(hint);
        return None;
    };
    if plan.node(node).phase == NodePhase::Failure {
        let message = format!("\"{name}\" is a step of the failure part and cannot be in the response");
        let hint = "what those steps give is the error response without being named".to_owned();
        collector.add(part.place, message).hint(hint);
        return None;
    }
    let wanted = PortRequirement { kind: ResponseFiles::TYPE, by: "the response" };
    port(plan, node, output, wanted, part, collector)
}

/// Checks that the failure part gives files: otherwise the error response would be empty.
pub(super) fn failure(plan: &DataflowPlan, collector: &mut ProblemCollector) {
    let mut steps = plan.phase(NodePhase::Failure).peekable();
    let Some(first) = steps.peek().copied() else { return };
    let gives_files = |index: usize| {
        plan.declaration(index)
            .is_none_or(|step| step.outputs.iter().any(|output| output.kind == ResponseFiles::TYPE))
    };
    if !steps.any(gives_files) {
        let message = "no step of the failure part gives files, so that the error response would be empty";
        collector.add(plan.node(first).name.place, message);
    }
}
