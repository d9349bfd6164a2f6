//! The checks that make a [`Dataflow`] of a draft and a table of steps, or report problems.
//!
//! Every check runs, whatever the others found. A part with a problem counts as unknown in later checks, so
//! that one mistake gives one problem.

use std::collections::HashMap;

use super::draft::{Draft, DraftNode};
use super::plan::Plan;
use super::wiring::{Link, Wiring};
use super::{Dataflow, Node, Port, Runs, Wire, meaning, order, response_ports, runs, settings};
use crate::step::{Parameters, Table};
use crate::yaml::{Collector, Placed};

/// The dataflow, if there is no problem.
pub(super) fn check(draft: &Draft, table: &Table, collector: &mut Collector) -> Option<Dataflow> {
    names(draft, collector);
    let plan = Plan::of(draft, table, collector);
    let wiring = Wiring::of(&plan, collector);
    let order = order::order(&plan, &wiring, collector);
    let runs = runs::infer(&plan, &wiring, &order, collector);
    let response = response_ports::of(&plan, collector);
    response_ports::failure(&plan, collector);
    let parameters = settings::of_all(&plan, collector);
    collector
        .is_empty()
        .then(|| Checked { plan: &plan, wiring, order, runs, response, parameters }.assemble())
}

const RESERVED: [&str; 2] = ["request", "outcomes"];

fn names(draft: &Draft, collector: &mut Collector) {
    draft.name.iter().for_each(|name| kebab_case(name, collector));
    let mut lines = HashMap::new();
    for DraftNode { name, .. } in &draft.nodes {
        kebab_case(name, collector);
        if RESERVED.contains(&name.value.as_str()) {
            let message = format!(
                "a step cannot be called \"{}\": a need of that name means another thing",
                name.value
            );
            collector.add(name.place, message);
        }
        // A name that occurs twice in the same part was noted when the map was read.
        if let Some(line) = lines.insert(&name.value, name.place.line) {
            let hint = format!("the first is on line {line}; call one of them otherwise");
            collector.add(name.place, format!("two steps are called \"{}\"", name.value)).hint(hint);
        }
    }
}

fn kebab_case(name: &Placed<String>, collector: &mut Collector) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let word = |word: &str| !word.is_empty() && word.chars().all(plain);
    if !name.value.split('-').all(word) {
        let message = format!("\"{}\" is not a name", name.value);
        let hint = "a name is small letters and digits, words joined by a hyphen: left-lung".to_owned();
        collector.add(name.place, message).hint(hint);
    }
}

/// The parts of a dataflow without problems, by index in the draft.
struct Checked<'a> {
    plan: &'a Plan<'a>,
    wiring: Wiring,
    order: Vec<usize>,
    runs: Vec<Option<Runs>>,
    response: Vec<Port>,
    parameters: Vec<Option<Parameters>>,
}

impl Checked<'_> {
    fn assemble(&self) -> Dataflow {
        let Draft { name, about, limits, on_failure, revisions, .. } = self.plan.draft;
        let nodes: Vec<Node> = self.order.iter().map(|index| self.node(*index)).collect();
        let name = name.as_ref().expect(KNOWN).value.clone();
        let response: Vec<Port> = self.response.iter().map(|port| self.moved(port)).collect();
        let digest = meaning::digest(&name, &nodes, &response, *on_failure);
        Dataflow {
            name,
            text: String::new(),
            about: about.clone(),
            digest,
            nodes,
            response,
            on_failure: *on_failure,
            revisions: *revisions,
            memory: limits.memory,
            deadline: limits.deadline,
        }
    }

    fn node(&self, index: usize) -> Node {
        let draft = self.plan.node(index);
        let wire = |link: &Link| match link.wire.as_ref().expect(KNOWN) {
            Wire::Port(port) => Wire::Port(self.moved(port)),
            other => other.clone(),
        };
        Node {
            name: draft.name.value.clone(),
            step: self.plan.steps[index].expect(KNOWN).clone(),
            wires: self.wiring.links(index).iter().map(wire).collect(),
            parameters: self.parameters[index].clone().expect(KNOWN),
            enabled: draft.enabled,
            when: draft.when.clone(),
            max: draft.max,
            timeout: draft.timeout,
            retry: draft.retry.clone(),
            runs: self.runs[index].expect(KNOWN),
            phase: draft.phase,
        }
    }

    /// The port with the index of its node in the final order.
    fn moved(&self, port: &Port) -> Port {
        let node = self.order.iter().position(|index| *index == port.node).expect(KNOWN);
        Port { node, output: port.output }
    }
}

const KNOWN: &str = "what is unknown has been noted as a problem";
