//! The number of runs of each node, inferred from its inputs and their sources.

use super::Runs;
use super::Wire;
use super::plan::Plan;
use super::wiring::{Link, Wiring};
use crate::step::{Input, Take};
use crate::yaml::Collector;

/// The number of runs by index in the draft; `None` if a problem makes it unknown.
pub(super) fn infer(
    plan: &Plan,
    wiring: &Wiring,
    order: &[usize],
    collector: &mut Collector,
) -> Vec<Option<Runs>> {
    let mut runs = vec![None; plan.draft.nodes.len()];
    for node in order {
        let Some(declaration) = plan.declaration(*node) else { continue };
        let inputs = || declaration.inputs.iter().zip(wiring.links(*node));
        for (input, link) in inputs() {
            gathers_items(plan, *node, input, link, &runs, collector);
        }
        runs[*node] = inputs().try_fold(Runs::Once, |so_far, (input, link)| {
            let exists = exists(link, &runs)?;
            Some(if input.take == Take::Each { so_far } else { so_far.and(exists) })
        });
    }
    runs
}

impl Runs {
    fn and(self, other: Runs) -> Runs {
        match (self, other) {
            (Runs::Once, Runs::Once) => Runs::Once,
            (Runs::PerItem, _) | (_, Runs::PerItem) => Runs::PerItem,
        }
    }
}

/// The number of values at the source of a wire: once, or per item.
fn exists(link: &Link, runs: &[Option<Runs>]) -> Option<Runs> {
    match link.wire.as_ref()? {
        Wire::Absent | Wire::Request | Wire::Outcomes => Some(Runs::Once),
        Wire::Items => Some(Runs::PerItem),
        Wire::Port(port) => runs[port.node],
    }
}

fn gathers_items(
    plan: &Plan,
    node: usize,
    input: &Input,
    link: &Link,
    runs: &[Option<Runs>],
    collector: &mut Collector,
) {
    if input.take == Take::Each && exists(link, runs) == Some(Runs::Once) {
        let message = format!(
            "the input \"{}\" of \"{}\" gathers a value of every item, but this exists once for the request",
            input.name,
            plan.name(node)
        );
        let hint = "wire it to \"request.items\" or to a step that runs for every item".to_owned();
        collector.add(link.place, message).hint(hint);
    }
}
