//! Sections: the steps that streams connect become one node, with one run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::step::{
    Digest, InputDeclaration, InputTake, OutputCount, OutputDeclaration, Payload, Step, StepParameters,
    Value, interned,
};

use super::node::{MemberSource, SectionMember, StreamConsumer, StreamRole, StreamSection};
use super::process_label::ProcessLabel;
use super::section_account::SectionAccount;
use super::section_run;
use super::stream_roles::connected;
use super::unroll::{RoundStream, SectionRounds, StepRound};
use super::{DataflowNode, InputWire, ItemFailurePolicy, NodePhase, OutputPort, RunFrequency};

/// The nodes with each section in place of its steps, and the ports of the response among them.
pub(super) fn compose(
    nodes: &[DataflowNode],
    response: &[OutputPort],
    policy: ItemFailurePolicy,
) -> (Vec<DataflowNode>, Vec<OutputPort>) {
    let groups = groups(nodes);
    let order = order(nodes, &groups);
    let mut places = BTreeMap::new();
    for (place, group) in order.iter().enumerate() {
        group.iter().for_each(|node| _ = places.insert(*node, place));
    }
    let composer = Composer { nodes, places, policy };
    let composed = order.iter().map(|group| composer.node(group)).collect();
    (composed, response.iter().map(|port| composer.port(port)).collect())
}

/// The nodes that streams connect, for each node.
fn groups(nodes: &[DataflowNode]) -> Vec<BTreeSet<usize>> {
    connected(nodes.len(), |node| {
        let wires = nodes[node].wires.iter();
        let ports = wires.flat_map(InputWire::ports);
        ports.map(|port| port.node).filter(|source| nodes[*source].stream.gives_stream())
    })
}

/// The groups, each after those that it needs, otherwise in the order of their first nodes.
fn order(nodes: &[DataflowNode], groups: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
    let mut left: Vec<usize> = (0..nodes.len()).filter(|node| groups[*node].first() == Some(node)).collect();
    let mut done = BTreeSet::new();
    let mut order = Vec::new();
    while !left.is_empty() {
        let is_ready = |first: &usize| {
            let needed = groups[*first].iter().map(|node| &nodes[*node]);
            let mut ports = needed.into_iter().flat_map(|node| &node.wires).flat_map(InputWire::ports);
            ports.all(|port| groups[*first].contains(&port.node) || done.contains(&port.node))
        };
        let at = left.iter().position(is_ready).expect("the check has seen that sections need no circle");
        let group = groups[left.remove(at)].clone();
        done.extend(group.iter().copied());
        order.push(group);
    }
    order
}

struct Composer<'a> {
    nodes: &'a [DataflowNode],
    /// The place of each node, or of its section, in the new order.
    places: BTreeMap<usize, usize>,
    policy: ItemFailurePolicy,
}

impl Composer<'_> {
    fn node(&self, group: &BTreeSet<usize>) -> DataflowNode {
        let first = &self.nodes[*group.first().expect("a group has a node")];
        if first.stream == StreamRole::Outside {
            let wires = first.wires.iter().map(|wire| self.wire(wire)).collect();
            return DataflowNode { wires, ..first.clone() };
        }
        let members: Vec<usize> = group.iter().copied().collect();
        let unrolled = SectionRounds::of(self.nodes, &members);
        let mut section = StreamSection {
            names: members.iter().map(|node| Arc::clone(&self.nodes[*node].name)).collect(),
            members: Vec::new(),
            border: Vec::new(),
            policy: self.policy,
            digest: self.digest(&members),
        };
        let mut border = SectionBorder::default();
        for at in &unrolled.rounds {
            let node = &self.nodes[at.node];
            let sources =
                (0..node.wires.len()).map(|input| self.source(at, input, &unrolled, &mut border)).collect();
            let outputs = node.step.declaration.outputs.iter();
            let outputs = outputs.map(|output| border_name(node, output.name)).collect();
            section.members.push(SectionMember {
                node: node.clone(),
                written: members.iter().position(|member| *member == at.node).expect("it is one of them"),
                round: at.round,
                part: at.part,
                sources,
                outputs,
                consumers: consumers(at, &unrolled, self.nodes),
            });
        }
        section.border = border.inputs.iter().map(|input| input.name).collect();
        composed(first, section, border)
    }

    fn source(
        &self,
        at: &StepRound,
        input: usize,
        unrolled: &SectionRounds,
        border: &mut SectionBorder,
    ) -> MemberSource {
        let node = &self.nodes[at.node];
        let (declared, wire) = (&node.step.declaration.inputs[input], &node.wires[input]);
        let streams = unrolled.streams(at, input);
        if !streams.is_empty() {
            let place = |source: &StepRound| unrolled.rounds.iter().position(|other| other == source);
            let places = streams.iter().map(|stream| place(&stream.source).expect("it stands before"));
            return MemberSource::Streams(places.collect());
        }
        let brings_stream = wire.ports().iter().any(|port| self.nodes[port.node].stream.gives_stream());
        if *wire == InputWire::Absent || brings_stream {
            return MemberSource::Absent;
        }
        let name = interned(&format!("{}.{}", node.name, declared.name));
        if let Some(known) = border.inputs.iter().position(|input| input.name == name) {
            return MemberSource::Border(known);
        }
        let take = if declared.take == InputTake::Each { InputTake::Each } else { InputTake::Optional };
        border.inputs.push(InputDeclaration { name, kind: declared.kind, take });
        border.wires.push(self.wire(wire));
        MemberSource::Border(border.inputs.len() - 1)
    }

    fn wire(&self, wire: &InputWire) -> InputWire {
        match wire {
            InputWire::Port(port) => InputWire::Port(self.port(port)),
            InputWire::Merge(ports) => InputWire::Merge(ports.iter().map(|port| self.port(port)).collect()),
            other => other.clone(),
        }
    }

    fn port(&self, port: &OutputPort) -> OutputPort {
        let node = &self.nodes[port.node];
        let output = match node.stream {
            StreamRole::Outside => port.output,
            StreamRole::Makes | StreamRole::Items | StreamRole::Ends => border_name(node, port.output),
        };
        OutputPort { node: self.places[&port.node], output }
    }

    /// The streams that a wire brings, by the places of their steps in the section.
    fn described(&self, wire: &InputWire, members: &[usize]) -> String {
        let place = |port: &OutputPort| members.iter().position(|member| *member == port.node);
        let streams = wire.ports().iter().filter(|port| self.nodes[port.node].stream.gives_stream());
        let streams: Vec<String> =
            streams.filter_map(|port| Some(format!("{} {wire:?}", place(port)?))).collect();
        streams.join(", ")
    }

    /// The digest of all that the results of a section depend on, besides its inputs.
    fn digest(&self, members: &[usize]) -> Digest {
        let describe = |index: &usize| {
            let node = &self.nodes[*index];
            let step = &node.step.declaration;
            let wires: Vec<String> = node.wires.iter().map(|wire| self.described(wire, members)).collect();
            let parameters =
                serde_json::to_string(&node.parameters).expect("parameters are texts and numbers");
            let again = node.again.as_ref().map(|again| {
                let back = self.described(&InputWire::Port(again.back.clone()), members);
                format!(" {} {back} {}", again.input, again.max)
            });
            let again = again.unwrap_or_default();
            let code = step.code.map(|code| code.to_string()).unwrap_or_default();
            format!("{} {} {}{code} {wires:?} {parameters}{again}", node.name, step.name, step.version)
        };
        let mut parts: Vec<String> = members.iter().map(describe).collect();
        parts.push(self.policy.to_string());
        Digest::of_parts(parts.iter().map(String::as_bytes))
    }
}

/// The single values that cross the border of a section into it.
#[derive(Default)]
struct SectionBorder {
    inputs: Vec<InputDeclaration>,
    wires: Vec<InputWire>,
}

/// The inputs of the section that take a stream of this step.
fn consumers(at: &StepRound, unrolled: &SectionRounds, nodes: &[DataflowNode]) -> Vec<StreamConsumer> {
    let mut consumers = Vec::new();
    for (member, taker) in unrolled.rounds.iter().enumerate() {
        for input in 0..nodes[taker.node].wires.len() {
            let streams = unrolled.streams(taker, input);
            let several = streams.len() > 1;
            for RoundStream { output, way, .. } in streams.into_iter().filter(|stream| stream.source == *at) {
                let way = several.then_some(way);
                consumers.push(StreamConsumer { output, member, input, way });
            }
        }
    }
    consumers
}

/// The node that stands for a section. It bears the name of its first step.
fn composed(first: &DataflowNode, section: StreamSection, border: SectionBorder) -> DataflowNode {
    let SectionBorder { inputs, wires } = border;
    let section = Arc::new(section);
    let running = Arc::clone(&section);
    let about = "Runs the steps that a stream connects.";
    let mut step = Step::new(first.step.declaration.name, first.step.declaration.version, about)
        .runs(move |call| section_run::run(&running, call));
    step.declaration.inputs = inputs;
    let ends = section.members.iter().filter(|member| member.node.stream == StreamRole::Ends);
    step.declaration.outputs = ends.flat_map(border_outputs).collect();
    let (kind, read) = (SectionAccount::TYPE, Value::read::<SectionAccount>);
    let account = OutputDeclaration { name: SectionAccount::OUTPUT, kind, read, count: OutputCount::One };
    step.declaration.outputs.push(account);
    step.declaration.identifies =
        section.members.iter().any(|member| member.node.step.declaration.identifies);
    DataflowNode {
        name: first.name.clone(),
        step,
        wires,
        parameters: StepParameters::default(),
        enabled: true,
        when: None,
        on: on_of_all(&section).cloned(),
        max: None,
        rate: None,
        timeout: None,
        retry: None,
        runs: RunFrequency::Once,
        phase: NodePhase::Work,
        stream: StreamRole::Outside,
        batch: None,
        again: None,
        section: Some(section),
    }
}

/// What all steps of a section say with `on`; `None` if they differ, and each speaks for its own batches.
fn on_of_all(section: &StreamSection) -> Option<&ProcessLabel> {
    let mut all = section.members.iter().map(|member| member.node.on.as_ref());
    let first = all.next().flatten()?;
    all.all(|on| on == Some(first)).then_some(first)
}

fn border_outputs(member: &SectionMember) -> Vec<OutputDeclaration> {
    let declared = member.node.step.declaration.outputs.iter().zip(&member.outputs);
    declared.map(|(output, name)| OutputDeclaration { name, ..output.clone() }).collect()
}

fn border_name(node: &DataflowNode, output: &str) -> &'static str {
    interned(&format!("{}.{output}", node.name))
}
