//! A draft and a table of steps become a checked [`Dataflow`], or problems.
//!
//! Every check runs whatever the others found, and a part about which a problem was noted is
//! unknown to them, so that one mistake gives one problem.

use std::collections::HashMap;

use super::collector::{Collector, Placed};
use super::draft::{Draft, DraftNode};
use super::wiring::{GIVEN, Link, Wiring};
use super::{Dataflow, Node, Phase, Port, Runs, Wire, hint, meaning, order, runs, settings};
use crate::step::{Declaration, Files, Output, Parameters, Payload, Step, Table};

/// The dataflow, if nothing is wrong.
pub(super) fn check(draft: &Draft, table: &Table, collector: &mut Collector) -> Option<Dataflow> {
    names(draft, collector);
    let plan = Plan::of(draft, table, collector);
    let wiring = Wiring::of(&plan, collector);
    let order = order::order(&plan, &wiring, collector);
    let runs = runs::infer(&plan, &wiring, &order, collector);
    let response = response(&plan, collector);
    failure(&plan, collector);
    let parameters = plan.settings(collector);
    collector
        .is_empty()
        .then(|| Checked { plan: &plan, wiring, order, runs, response, parameters }.assemble())
}

/// A draft whose steps have been looked up.
pub(super) struct Plan<'a> {
    pub draft: &'a Draft,
    table: &'a Table,
    /// One for each node; `None` where the file names no known step.
    pub steps: Vec<Option<&'a Step>>,
    index: HashMap<&'a str, usize>,
}

impl<'a> Plan<'a> {
    fn of(draft: &'a Draft, table: &'a Table, collector: &mut Collector) -> Plan<'a> {
        let steps = draft.nodes.iter().map(|node| step(node, table, collector)).collect();
        let mut index = HashMap::new();
        for (number, node) in draft.nodes.iter().enumerate() {
            index.entry(node.name.value.as_str()).or_insert(number);
        }
        Plan { draft, table, steps, index }
    }

    pub fn node(&self, index: usize) -> &'a DraftNode {
        &self.draft.nodes[index]
    }

    pub fn name(&self, index: usize) -> &'a str {
        &self.node(index).name.value
    }

    pub fn declaration(&self, index: usize) -> Option<&'a Declaration> {
        self.steps[index].map(|step| &step.declaration)
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The nodes of one phase.
    pub fn phase(&self, phase: Phase) -> impl Iterator<Item = usize> + '_ {
        (0..self.draft.nodes.len()).filter(move |index| self.node(*index).phase == phase)
    }

    fn settings(&self, collector: &mut Collector) -> Vec<Option<Parameters>> {
        let one = |(node, step): (&DraftNode, &Option<&Step>)| {
            step.map(|step| settings::parameters(node, &step.declaration, collector))
        };
        self.draft.nodes.iter().zip(&self.steps).map(one).collect()
    }
}

fn step<'a>(node: &DraftNode, table: &'a Table, collector: &mut Collector) -> Option<&'a Step> {
    let wanted = node.step.as_ref()?;
    let found = table.get(&wanted.value);
    if found.is_none() {
        let known = table.iter().map(|step| step.declaration.name);
        let hint = hint::meant(&wanted.value, known);
        collector
            .add(wanted.place, format!("the step \"{}\" is not known", wanted.value))
            .hint(hint.unwrap_or_else(|| "`flow steps` lists the steps there are".to_owned()));
    }
    found
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
        // Within one part the reading of the map has noted it.
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

/// The ports of the response, by index in the draft.
fn response(plan: &Plan, collector: &mut Collector) -> Vec<Port> {
    let mut ports = Vec::new();
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
    let (name, output) = match part.value.split_once('.') {
        Some((name, output)) => (name, Some(output)),
        None => (part.value.as_str(), None),
    };
    let Some(node) = plan.find(name) else {
        let known = plan.phase(Phase::Work).map(|index| plan.name(index));
        let hint = hint::meant_or_all(name, known);
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

/// What an output is needed for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub kind: &'static str,
    /// For messages: `the input "lungs" of "densities"`.
    pub by: &'a str,
}

/// The output of a node that is named, or the only one that fits where none is.
pub(super) fn port(
    plan: &Plan,
    node: usize,
    named: Option<&str>,
    wanted: Wanted,
    at: &Placed<String>,
    collector: &mut Collector,
) -> Option<Port> {
    let outputs = &plan.declaration(node)?.outputs;
    let name = plan.name(node);
    if let Some(named) = named.filter(|named| outputs.iter().all(|output| output.name != *named)) {
        let hint = hint::meant_or_all(named, outputs.iter().map(|output| output.name));
        collector.add(at.place, format!("\"{name}\" gives no output \"{named}\"")).hint(hint);
        return None;
    }
    let candidates = || outputs.iter().filter(|output| named.is_none_or(|named| output.name == named));
    let mut fitting = candidates().filter(|output| output.kind == wanted.kind);
    match (fitting.next(), fitting.next()) {
        (Some(output), None) => Some(Port { node, output: output.name }),
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

impl Plan<'_> {
    /// Where something of this type can be had, as a hint.
    pub fn giving(&self, kind: &str, phase: Phase) -> String {
        let given = GIVEN.iter().filter(|given| given.kind == kind && given.phases.contains(&phase));
        let given = given.map(|given| given.name.to_owned());
        let names: Vec<String> =
            given.chain(self.phase(phase).flat_map(|node| self.ports_of(node, kind))).collect();
        if !names.is_empty() {
            return format!("{kind} can be had from {}", names.join(", "));
        }
        let gives = |step: &&Step| step.declaration.outputs.iter().any(|output| output.kind == kind);
        match self.table.iter().find(gives) {
            Some(step) => format!("nothing here gives {kind}; the step {} would", step.declaration.name),
            None => format!("nothing here gives {kind}, and no known step does"),
        }
    }

    /// The outputs of a node that have this type, as a file names them.
    fn ports_of(&self, node: usize, kind: &str) -> Vec<String> {
        let outputs = self.declaration(node).map_or(&[][..], |declaration| &declaration.outputs);
        let of_kind = outputs.iter().filter(|output| output.kind == kind);
        let name = |output: &Output| match outputs.len() {
            1 => self.name(node).to_owned(),
            _ => format!("{}.{}", self.name(node), output.name),
        };
        of_kind.map(name).collect()
    }
}

/// A failure part that gives no files would answer a failed request with nothing.
fn failure(plan: &Plan, collector: &mut Collector) {
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

/// All that a dataflow is made of, by index in the draft, without a problem.
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
        let Draft { name, about, memory, .. } = self.plan.draft;
        let nodes: Vec<Node> = self.order.iter().map(|index| self.node(*index)).collect();
        let name = name.as_ref().expect(KNOWN).value.clone();
        let response: Vec<Port> = self.response.iter().map(|port| self.moved(port)).collect();
        let digest = meaning::digest(&name, &nodes, &response);
        Dataflow { name, about: about.clone(), digest, nodes, response, memory: *memory }
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
            runs: self.runs[index].expect(KNOWN),
            phase: draft.phase,
        }
    }

    /// A port of the draft as one of the ordered nodes.
    fn moved(&self, port: &Port) -> Port {
        let node = self.order.iter().position(|index| *index == port.node).expect(KNOWN);
        Port { node, output: port.output }
    }
}

const KNOWN: &str = "what is unknown has been noted as a problem";
