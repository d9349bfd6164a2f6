//! The number of runs of each node, inferred from its inputs and their sources.

use super::InputWire;
use super::RunFrequency;
use super::plan::DataflowPlan;
use super::wiring::{DataflowWiring, InputLink};
use crate::step::{InputDeclaration, InputTake};
use crate::yaml::ProblemCollector;

/// The number of runs by index in the draft; `None` if a problem makes it unknown.
pub(super) fn infer(
    plan: &DataflowPlan,
    wiring: &DataflowWiring,
    order: &[usize],
    collector: &mut ProblemCollector,
) -> Vec<Option<RunFrequency>> {
    let mut runs = vec![None; plan.draft.nodes.len()];
    for node in order {
        let Some(declaration) = plan.declaration(*node) else { continue };
        let inputs = || declaration.inputs.iter().zip(wiring.links(*node));
        for (input, link) in inputs() {
            gathers_items(plan, *node, input, link, &runs, collector);
        }
        runs[*node] = inputs().try_fold(RunFrequency::Once, |so_far, (input, link)| {
            let exists = exists(link, &runs)?;
            Some(if input.take == InputTake::Each { so_far } else { so_far.and(exists) })
        });
    }
    runs
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
        InputWire::Absent | InputWire::Request | InputWire::Outcomes => Some(RunFrequency::Once),
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
