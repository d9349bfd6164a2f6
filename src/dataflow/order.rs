//! The order of the nodes: each one after those that it needs, otherwise as in the file.

use std::collections::BTreeSet;

use super::plan::DataflowPlan;
use super::wiring::DataflowWiring;
use crate::yaml::ProblemCollector;

/// The order, as indices in the draft. Cycles are noted as problems; their nodes, and all nodes that need
/// these, are left out.
pub(super) fn order(
    plan: &DataflowPlan,
    wiring: &DataflowWiring,
    collector: &mut ProblemCollector,
) -> Vec<usize> {
    let order = sorted(plan, wiring);
    let left: BTreeSet<usize> = (0..plan.draft.nodes.len()).filter(|index| !order.contains(index)).collect();
    for cycle in cycles(&left, wiring) {
        note(plan, &cycle, collector);
    }
    order
}

fn sorted(plan: &DataflowPlan, wiring: &DataflowWiring) -> Vec<usize> {
    let count = plan.draft.nodes.len();
    let mut waits_for: Vec<usize> = (0..count).map(|node| wiring.sources(node).len()).collect();
    let mut needed_by = vec![Vec::new(); count];
    for node in 0..count {
        wiring.sources(node).iter().for_each(|source| needed_by[*source].push(node));
    }
    let mut ready: BTreeSet<usize> = (0..count).filter(|node| waits_for[*node] == 0).collect();
    let mut order = Vec::new();
    while let Some(node) = ready.pop_first() {
        order.push(node);
        for next in &needed_by[node] {
            waits_for[*next] -= 1;
            if waits_for[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    order
}

/// One cycle for each group of nodes that need each other, in the direction of the data.
fn cycles(left: &BTreeSet<usize>, wiring: &DataflowWiring) -> Vec<Vec<usize>> {
    let mut seen = BTreeSet::new();
    let mut cycles = Vec::new();
    for start in left {
        let mut path = Vec::new();
        let mut node = *start;
        // Each remaining node needs another remaining node. So the walk against the direction of the data
        // ends at a node that was seen before: in this walk, which is a cycle, or in an earlier one.
        while seen.insert(node) {
            path.push(node);
            let before = wiring.sources(node).iter().find(|source| left.contains(source));
            node = *before.expect("a node that is left waits for one");
        }
        if let Some(first) = path.iter().position(|other| *other == node) {
            cycles.push(path[first..].iter().rev().copied().collect());
        }
    }
    cycles
}

fn note(plan: &DataflowPlan, cycle: &[usize], collector: &mut ProblemCollector) {
    let first = (0..cycle.len()).min_by_key(|at| cycle[*at]).unwrap_or_default();
    let from_first = cycle[first..].iter().chain(&cycle[..=first]);
    let names: Vec<&str> = from_first.map(|node| plan.name(*node)).collect();
    let message = match cycle {
        [_] => format!("\"{}\" needs itself", names[0]),
        _ => format!("these steps wait for each other: {}", names.join(" → ")),
    };
    let hint = "take one of these needs away; a dataflow has a beginning and an end".to_owned();
    collector.add(plan.node(cycle[first]).name.place, message).hint(hint);
}
