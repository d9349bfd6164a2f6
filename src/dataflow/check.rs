//! The checks that make a [`Dataflow`] of a draft and a table of steps, or report problems.
//!
//! Every check runs, whatever the others found. A part with a problem counts as unknown in later checks, so
//! that one mistake gives one problem.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::{DataflowDraft, DraftNode};
use super::node::AgainEdge;
use super::plan::DataflowPlan;
use super::wiring::{DataflowWiring, InputLink};
use super::{
    Dataflow, DataflowNode, InputWire, ItemFailurePolicy, OutputPort, RunFrequency, StreamRole, compose,
    meaning, order, response_ports, runs, settings, stream_roles,
};
use crate::step::{StepParameters, StepTable};
use crate::yaml::{PlacedValue, ProblemCollector};

/// The dataflow, if there is no problem.
pub(super) fn check(
    draft: &DataflowDraft,
    table: &StepTable,
    collector: &mut ProblemCollector,
) -> Option<Dataflow> {
    names(draft, collector);
    let plan = DataflowPlan::of(draft, table, collector);
    let wiring = DataflowWiring::of(&plan, collector);
    let order = order::order(&plan, &wiring, collector);
    let roles = stream_roles::infer(&plan, &wiring, &order, collector);
    let runs = runs::infer(&plan, &wiring, &order, &roles, collector);
    let response = response_ports::of(&plan, &roles, collector);
    response_ports::failure(&plan, collector);
    let parameters = settings::of_all(&plan, collector);
    collector
        .is_empty()
        .then(|| CheckedParts { plan: &plan, wiring, order, roles, runs, response, parameters }.assemble())
}

const RESERVED: [&str; 2] = ["request", "outcomes"];

fn names(draft: &DataflowDraft, collector: &mut ProblemCollector) {
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

fn kebab_case(name: &PlacedValue<String>, collector: &mut ProblemCollector) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let word = |word: &str| !word.is_empty() && word.chars().all(plain);
    if !name.value.split('-').all(word) {
        let message = format!("\"{}\" is not a name", name.value);
        let hint = "a name is small letters and digits, words joined by a hyphen: left-lung".to_owned();
        collector.add(name.place, message).hint(hint);
    }
}

/// The parts of a dataflow without problems, by index in the draft.
struct CheckedParts<'a> {
    plan: &'a DataflowPlan<'a>,
    wiring: DataflowWiring,
    order: Vec<usize>,
    roles: Vec<StreamRole>,
    runs: Vec<Option<RunFrequency>>,
    response: Vec<OutputPort>,
    parameters: Vec<Option<StepParameters>>,
}

impl CheckedParts<'_> {
    fn assemble(&self) -> Dataflow {
        let DataflowDraft {
            name,
            about,
            limits,
            on_failure,
            on_item_failure,
            revisions,
            priority,
            share,
            ..
        } = self.plan.draft;
        let nodes: Vec<DataflowNode> = self.order.iter().map(|index| self.node(*index)).collect();
        let name = name.as_ref().expect(KNOWN).value.clone();
        let response: Vec<OutputPort> = self.response.iter().map(|port| self.moved(port)).collect();
        let digest = meaning::digest(&name, &nodes, &response, *on_failure, *on_item_failure);
        let has_streams = nodes.iter().any(|node| node.stream != StreamRole::Outside);
        let dataflow = Dataflow {
            name: name.into(),
            text: String::new(),
            about: about.clone(),
            digest,
            nodes,
            response,
            on_failure: *on_failure,
            on_item_failure: *on_item_failure,
            revisions: *revisions,
            memory: limits.memory,
            priority: *priority,
            share: *share,
            deadline: limits.deadline,
            written: None,
            overlay: None,
        };
        if has_streams { with_sections(dataflow, *on_item_failure) } else { dataflow }
    }

    fn node(&self, index: usize) -> DataflowNode {
        let draft = self.plan.node(index);
        let wire = |link: &InputLink| match link.wire.as_ref().expect(KNOWN) {
            InputWire::Port(port) => InputWire::Port(self.moved(port)),
            InputWire::Merge(ports) => InputWire::Merge(ports.iter().map(|port| self.moved(port)).collect()),
            other => other.clone(),
        };
        DataflowNode {
            name: draft.name.value.as_str().into(),
            step: self.plan.steps[index].expect(KNOWN).clone(),
            wires: self.wiring.links(index).iter().map(wire).collect(),
            parameters: self.parameters[index].clone().expect(KNOWN),
            enabled: draft.enabled,
            when: draft.when.clone(),
            on: draft.on.clone(),
            max: draft.max,
            rate: draft.rate,
            timeout: draft.timeout,
            retry: draft.retry.clone(),
            runs: self.runs[index].expect(KNOWN),
            phase: draft.phase,
            stream: self.roles[index],
            batch: draft.batch,
            again: self
                .wiring
                .again(index)
                .map(|again| AgainEdge { back: self.moved(&again.edge.back), ..again.edge.clone() }),
            section: None,
        }
    }

    /// The port with the index of its node in the final order.
    fn moved(&self, port: &OutputPort) -> OutputPort {
        let node = self.order.iter().position(|index| *index == port.node).expect(KNOWN);
        OutputPort { node, output: port.output }
    }
}

/// The dataflow as the engine runs it, with each section in place of its steps.
fn with_sections(written: Dataflow, policy: ItemFailurePolicy) -> Dataflow {
    let (nodes, response) = compose::compose(&written.nodes, &written.response, policy);
    Dataflow { nodes, response, written: Some(Arc::new(written.clone())), ..written }
}

const KNOWN: &str = "what is unknown has been noted as a problem";
