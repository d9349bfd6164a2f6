//! Sections: the steps that streams connect become one node, with one run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::step::{
    Digest, InputDeclaration, InputTake, OutputCount, OutputDeclaration, Payload, Step, StepParameters,
    Value, interned,
};

use super::node::{MemberSource, SectionMember, StreamConsumer, StreamRole, StreamSection};
use super::section_account::SectionAccount;
use super::section_run;
use super::stream_roles::connected;
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
        wires.filter_map(|wire| match wire {
            InputWire::Port(port) if nodes[port.node].stream.gives_stream() => Some(port.node),
            _ => None,
        })
    })
}

/// The groups, each after those that it needs, otherwise in the order of their first nodes.
fn order(nodes: &[DataflowNode], groups: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
    let mut left: Vec<usize> = (0..nodes.len()).filter(|node| groups[*node].first() == Some(node)).collect();
    let mut done = BTreeSet::new();
    let mut order = Vec::new();
    while !left.is_empty() {
        let is_ready = |first: &usize| {
            let needed = groups[*first].iter().flat_map(|node| &nodes[*node].wires);
            needed.into_iter().all(|wire| match wire {
                InputWire::Port(port) => groups[*first].contains(&port.node) || done.contains(&port.node),
                _ => true,
            })
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
        let (mut inputs, mut wires) = (Vec::new(), Vec::new());
        let mut section = StreamSection {
            members: Vec::new(),
            border: Vec::new(),
            policy: self.policy,
            digest: self.digest(&members),
        };
        for index in &members {
            let node = &self.nodes[*index];
            let mut sources = Vec::new();
            for (input, wire) in node.step.declaration.inputs.iter().zip(&node.wires) {
                sources.push(match self.stream(wire, &members) {
                    Some(member) => MemberSource::Stream(member),
                    None if *wire == InputWire::Absent => MemberSource::Absent,
                    None => {
                        let name = interned(&format!("{}.{}", node.name, input.name));
                        let take =
                            if input.take == InputTake::Each { InputTake::Each } else { InputTake::Optional };
                        inputs.push(InputDeclaration { name, kind: input.kind, take });
                        wires.push(self.wire(wire));
                        section.border.push(name);
                        MemberSource::Border(inputs.len() - 1)
                    }
                });
            }
            let outputs = node.step.declaration.outputs.iter();
            let outputs = outputs.map(|output| border_name(node, output.name)).collect();
            let consumers = self.consumers(*index, &members);
            section.members.push(SectionMember { node: node.clone(), sources, outputs, consumers });
        }
        composed(first, section, inputs, wires)
    }

    /// The inputs of the group that take a stream of this node.
    fn consumers(&self, source: usize, members: &[usize]) -> Vec<StreamConsumer> {
        let mut consumers = Vec::new();
        for (member, index) in members.iter().enumerate() {
            for (input, wire) in self.nodes[*index].wires.iter().enumerate() {
                match wire {
                    InputWire::Port(port)
                        if port.node == source && self.nodes[source].stream.gives_stream() =>
                    {
                        consumers.push(StreamConsumer { output: port.output, member, input });
                    }
                    _ => {}
                }
            }
        }
        consumers
    }

    /// The member whose stream the wire brings.
    fn stream(&self, wire: &InputWire, members: &[usize]) -> Option<usize> {
        let InputWire::Port(port) = wire else { return None };
        let gives = self.nodes[port.node].stream.gives_stream();
        members.iter().position(|member| *member == port.node).filter(|_| gives)
    }

    fn wire(&self, wire: &InputWire) -> InputWire {
        match wire {
            InputWire::Port(port) => InputWire::Port(self.port(port)),
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

    /// The digest of all that the results of a section depend on, besides its inputs.
    fn digest(&self, members: &[usize]) -> Digest {
        let describe = |index: &usize| {
            let node = &self.nodes[*index];
            let step = &node.step.declaration;
            let wire = |wire: &InputWire| match self.stream(wire, members) {
                Some(member) => format!("{member} {wire:?}"),
                None => String::new(),
            };
            let wires: Vec<String> = node.wires.iter().map(wire).collect();
            let parameters =
                serde_json::to_string(&node.parameters).expect("parameters are texts and numbers");
            let code = step.code.map(|code| code.to_string()).unwrap_or_default();
            format!("{} {} {}{code} {wires:?} {parameters}", node.name, step.name, step.version)
        };
        let mut parts: Vec<String> = members.iter().map(describe).collect();
        parts.push(self.policy.to_string());
        Digest::of_parts(parts.iter().map(String::as_bytes))
    }
}

/// The node that stands for a section. It bears the name of its first step.
fn composed(
    first: &DataflowNode,
    section: StreamSection,
    inputs: Vec<InputDeclaration>,
    wires: Vec<InputWire>,
) -> DataflowNode {
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
        max: None,
        timeout: None,
        retry: None,
        runs: RunFrequency::Once,
        phase: NodePhase::Work,
        stream: StreamRole::Outside,
        batch: None,
        section: Some(section),
    }
}

fn border_outputs(member: &SectionMember) -> Vec<OutputDeclaration> {
    let declared = member.node.step.declaration.outputs.iter().zip(&member.outputs);
    declared.map(|(output, name)| OutputDeclaration { name, ..output.clone() }).collect()
}

fn border_name(node: &DataflowNode, output: &str) -> &'static str {
    interned(&format!("{}.{output}", node.name))
}
