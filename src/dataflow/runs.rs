//! The number of runs of each node, inferred from its inputs and their sources.

use super::InputWire;
use super::plan::DataflowPlan;
use super::wiring::{DataflowWiring, InputLink};
use super::{RunFrequency, StreamRole};
use crate::step::{InputDeclaration, InputTake};
use crate::yaml::ProblemCollector;

/// The number of runs by index in the draft; `None` if a problem makes it unknown.
pub(super) fn infer(
    plan: &DataflowPlan,
    wiring: &DataflowWiring,
    order: &[usize],
    roles: &[StreamRole],
    collector: &mut ProblemCollector,
) -> Vec<Option<RunFrequency>> {
    let mut runs = vec![None; plan.draft.nodes.len()];
    for node in order {
        let Some(declaration) = plan.declaration(*node) else { continue };
        let inputs = || declaration.inputs.iter().zip(wiring.links(*node));
        for (input, link) in inputs().filter(|(_, link)| !brings_stream(link, roles)) {
            gathers_items(plan, *node, input, link, &runs, collector);
            if roles[*node] != StreamRole::Outside && input.take != InputTake::Each {
                exists_once(plan, *node, input, link, &runs, collector);
            }
        }
        runs[*node] = inputs().try_fold(RunFrequency::Once, |so_far, (input, link)| {
            let exists = exists(link, &runs)?;
            Some(if input.take == InputTake::Each { so_far } else { so_far.and(exists) })
        });
    }
    runs
}

/// Whether a wire brings a stream, which exists once however many items it has.
fn brings_stream(link: &InputLink, roles: &[StreamRole]) -> bool {
    let ports = link.wire.iter().flat_map(InputWire::ports);
    ports.into_iter().any(|port| roles[port.node].gives_stream())
}

/// Checks that a step of a stream needs besides it what exists once for the request.
fn exists_once(
    plan: &DataflowPlan,
    node: usize,
    input: &InputDeclaration,
    link: &InputLink,
    runs: &[Option<RunFrequency>],
    collector: &mut ProblemCollector,
) {
    if exists(link, runs) == Some(RunFrequency::PerItem) {
        let message = format!(
            "the input \"{}\" of \"{}\" exists for every item of the request, and a stream is made once",
            input.name,
            plan.name(node)
        );
        let hint = "a step that makes a stream may take all items of the request".to_owned();
        collector.add(link.place, message).hint(hint);
    }
}

impl RunFrequency {
    fn and(self, other: RunFrequency) -> RunFrequency {
        match (self, other) {
            (RunFrequency::Once, RunFrequency::Once) => RunFrequency::Once,
            (RunFrequency::PerItem, _) | (_, RunFrequency::PerItem) => RunFrequency::PerItem,
        }
    }
}

/// The number of values at the source of a wire: once, or per item.
fn exists(link: &InputLink, runs: &[Option<RunFrequency>]) -> Option<RunFrequency> {
    match link.wire.as_ref()? {
        InputWire::Absent | InputWire::Request | InputWire::Outcomes | InputWire::Merge(_) => {
            Some(RunFrequency::Once)
        }
        InputWire::Items => Some(RunFrequency::PerItem),
        InputWire::Port(port) => runs[port.node],
    }
}

fn gathers_items(
    plan: &DataflowPlan,
    node: usize,
    input: &InputDeclaration,
    link: &InputLink,
    runs: &[Option<RunFrequency>],
    collector: &mut ProblemCollector,
) {
    if input.take == InputTake::Each && exists(link, runs) == Some(RunFrequency::Once) {
        let message = format!(
            "the input \"{}\" of \"{}\" gathers a value of every item, but this exists once for the request",
            input.name,
            plan.name(node)
        );
        let hint = "wire it to \"request.items\" or to a step that runs for every item".to_owned();
        collector.add(link.place, message).hint(hint);
    }
}
