//! The part of each node in a stream, inferred from its inputs, and the checks of streams.

use std::collections::BTreeSet;

use super::placed_batches::is_by_item;
use super::plan::DataflowPlan;
use super::wiring::{DataflowWiring, InputLink};
use super::{InputWire, NodePhase, StreamRole};
use crate::step::{InputDeclaration, InputTake, OutputCount, Payload, StepReservations};
use crate::yaml::{ProblemCollector, SourcePlace};

/// The roles by index in the draft.
pub(super) fn infer(
    plan: &DataflowPlan,
    wiring: &DataflowWiring,
    order: &[usize],
    collector: &mut ProblemCollector,
) -> Vec<StreamRole> {
    let mut roles = vec![StreamRole::Outside; plan.draft.nodes.len()];
    for node in order {
        if plan.declaration(*node).is_some() {
            roles[*node] = role(plan, *node, wiring.links(*node), &roles, collector);
        }
    }
    let roles = StreamCheck { plan, wiring, roles };
    order.iter().for_each(|node| roles.check(*node, collector));
    roles.check_loops(order, collector);
    roles.check_ends(order, collector);
    roles.check_places(order, collector);
    roles.roles
}

/// Whether a wire brings a stream.
fn is_stream(link: &InputLink, roles: &[StreamRole]) -> bool {
    let ports = link.wire.iter().flat_map(InputWire::ports);
    ports.into_iter().any(|port| roles[port.node].gives_stream())
}

fn role(
    plan: &DataflowPlan,
    node: usize,
    links: &[InputLink],
    roles: &[StreamRole],
    collector: &mut ProblemCollector,
) -> StreamRole {
    let Some(declaration) = plan.declaration(node) else { return StreamRole::Outside };
    let streams = || declaration.inputs.iter().zip(links).filter(|(_, link)| is_stream(link, roles));
    let of_items = || streams().filter(|(input, _)| input.take != InputTake::Each);
    let makes = declaration.outputs.iter().any(|output| output.count == OutputCount::Many);
    let name = plan.name(node);
    if let Some((input, link)) = of_items().find(|(input, _)| input.take == InputTake::Optional) {
        let message = format!("the optional input \"{}\" of \"{name}\" cannot take a stream", input.name);
        collector.add(link.place, message);
    }
    if declaration.joins {
        let mut joined = declaration.inputs.iter().zip(links).take(2);
        if !joined.all(|(_, link)| is_stream(link, roles)) || streams().count() != 2 {
            let (left, right) = (declaration.inputs[0].name, declaration.inputs[1].name);
            let message =
                format!("\"{name}\" joins two streams, at \"{left}\" and \"{right}\" and nowhere else");
            let hint = "a value that exists once becomes a stream by a step that makes one of it";
            collector.add(plan.node(node).name.place, message).hint(hint.to_owned());
        }
        return StreamRole::Items;
    }
    match (of_items().count(), streams().count()) {
        (0, 0) if makes => StreamRole::Makes,
        (0, 0) => StreamRole::Outside,
        (0, _) if makes => {
            let message = format!("\"{name}\" takes all items of a stream and makes one, which is two steps");
            let hint = "let one step gather the items, and another make a stream of what that gives";
            collector.add(plan.node(node).name.place, message).hint(hint.to_owned());
            StreamRole::Ends
        }
        (0, _) => StreamRole::Ends,
        (1, 1) => StreamRole::Items,
        (_, _) => {
            let place = of_items().next_back().map_or(plan.node(node).name.place, |(_, link)| link.place);
            let message = format!("\"{name}\" takes the items of one stream and needs another");
            let hint = "a step takes the items of one stream; what it needs besides exists once";
            collector.add(place, message).hint(hint.to_owned());
            StreamRole::Items
        }
    }
}

pub(super) struct StreamCheck<'a> {
    pub plan: &'a DataflowPlan<'a>,
    pub wiring: &'a DataflowWiring,
    pub roles: Vec<StreamRole>,
}

impl StreamCheck<'_> {
    fn check(&self, node: usize, collector: &mut ProblemCollector) {
        let (draft, role) = (self.plan.node(node), self.roles[node]);
        let Some(declaration) = self.plan.declaration(node) else { return };
        let (name, place) = (self.plan.name(node), draft.name.place);
        let takes_batches = declaration.batches || draft.on.is_some();
        if draft.batch.is_some() && (role != StreamRole::Items || !takes_batches) {
            let message =
                format!("\"{name}\" does not take a stream in batches, so that \"batch\" says nothing");
            collector.add(place, message);
        }
        if role == StreamRole::Outside {
            return self.check_lists(node, collector);
        }
        if draft.phase == NodePhase::Failure {
            let message = format!("\"{name}\" is a step of the failure part and cannot have a stream");
            collector.add(place, message);
        }
        self.check_lists(node, collector);
        let refused = [
            ("limits", draft.max.is_some() && !takes_batches),
            ("rate", draft.rate.is_some()),
            ("timeout", draft.timeout.is_some()),
            ("retry", draft.retry.is_some()),
        ];
        let refused = refused.iter().filter(|(_, is_set)| *is_set && !declaration.calls);
        for (key, _) in refused {
            let message = format!("\"{name}\" works on a stream and cannot have \"{key}\"");
            let hint = "the steps that a stream connects run together, as long as there are items; \
                        the dataflow may have a deadline, and a step that makes calls all of these";
            collector.add(place, message).hint(hint.to_owned());
        }
        let reserves = declaration.outputs.iter().any(|output| output.kind == StepReservations::TYPE);
        if role.gives_stream() && reserves {
            let message = format!("\"{name}\" has reservations about every item of a stream");
            let hint = "let a step that takes all items say them";
            collector.add(place, message).hint(hint.to_owned());
        }
    }

    /// Checks that only streams meet in a list.
    fn check_lists(&self, node: usize, collector: &mut ProblemCollector) {
        for link in self.wiring.links(node) {
            let Some(InputWire::Merge(ports)) = &link.wire else { continue };
            for port in ports.iter().filter(|port| !self.roles[port.node].gives_stream()) {
                let message =
                    format!("\"{}\" gives one value, and streams meet in a list", self.plan.name(port.node));
                collector.add(link.place, message);
            }
        }
    }

    /// Checks that no step needs what is known only at the end of its own stream.
    fn check_ends(&self, order: &[usize], collector: &mut ProblemCollector) {
        let sections = self.sections();
        for node in order.iter().filter(|node| self.roles[**node] != StreamRole::Outside) {
            for (_, link, source) in self.single_needs(*node) {
                if self.depends_on(source, &sections[*node], &sections) {
                    let message = format!(
                        "\"{}\" needs \"{}\", which is known only when its own stream has ended",
                        self.plan.name(*node),
                        self.plan.name(source)
                    );
                    let hint = "let a step gather the items, and another make a stream of what that gives";
                    collector.add(link, message).hint(hint.to_owned());
                }
            }
        }
    }

    /// Checks that the steps that a stream connects say the same `on`, but for those whose batches can be worked on
    /// elsewhere, and those of the failure part none.
    fn check_places(&self, order: &[usize], collector: &mut ProblemCollector) {
        let sections = self.sections();
        for node in order {
            let draft = self.plan.node(*node);
            if draft.phase == NodePhase::Failure && draft.on.is_some() {
                let message =
                    format!("\"{}\" is a step of the failure part and cannot have \"on\"", draft.name.value);
                let hint = "an error response is made by the process that has the request";
                collector.add(draft.name.place, message).hint(hint.to_owned());
            }
            let mut section = sections[*node].iter();
            let role = self.roles[*node];
            let is_alone = section.any(|other| self.plan.node(*other).on != draft.on);
            let takes_first =
                || self.wiring.links(*node).first().is_some_and(|link| self.brings_stream(link));
            let is_by_item =
                || takes_first() && self.plan.declaration(*node).is_none_or(|step| is_by_item(role, step));
            if role != StreamRole::Outside && draft.on.is_some() && is_alone && !is_by_item() {
                let name = self.plan.name(*node);
                let message = format!("\"{name}\" cannot have an \"on\" of its own");
                let hint = "only steps that give one item for each of the stream at their first input can run on \
                            other processes than the stream; for the others write the same `on` at each step that \
                            the stream connects";
                collector.add(draft.name.place, message).hint(hint.to_owned());
            }
        }
    }

    /// The nodes whose single values a node needs.
    fn single_needs(&self, node: usize) -> impl Iterator<Item = (&InputDeclaration, SourcePlace, usize)> {
        let inputs = self.plan.declaration(node).map_or(&[][..], |declaration| &declaration.inputs);
        inputs.iter().zip(self.wiring.links(node)).filter_map(|(input, link)| match &link.wire {
            Some(InputWire::Port(port)) if !self.roles[port.node].gives_stream() => {
                Some((input, link.place, port.node))
            }
            _ => None,
        })
    }

    /// For each node, the nodes that streams connect with it.
    fn sections(&self) -> Vec<BTreeSet<usize>> {
        connected(self.roles.len(), |node| self.stream_sources(node).into_iter())
    }

    pub(super) fn brings_stream(&self, link: &InputLink) -> bool {
        is_stream(link, &self.roles)
    }

    /// The nodes whose streams a node takes.
    pub(super) fn stream_sources(&self, node: usize) -> Vec<usize> {
        let wires = self.wiring.links(node).iter().filter_map(|link| link.wire.as_ref());
        let sources = wires.flat_map(InputWire::ports).map(|port| port.node);
        sources.filter(|source| self.roles[*source].gives_stream()).collect()
    }

    /// Whether a node needs one of a section, directly or through others and their sections.
    fn depends_on(&self, node: usize, section: &BTreeSet<usize>, sections: &[BTreeSet<usize>]) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), vec![node]);
        while let Some(node) = next.pop() {
            if section.contains(&node) {
                return true;
            }
            if seen.insert(node) {
                next.extend(sections[node].iter().copied());
                next.extend(self.single_needs(node).map(|(_, _, source)| source));
            }
        }
        false
    }
}

/// For each node, the nodes that are connected with it, itself included.
pub(super) fn connected<I: Iterator<Item = usize>>(
    count: usize,
    neighbours: impl Fn(usize) -> I,
) -> Vec<BTreeSet<usize>> {
    let mut group: Vec<usize> = (0..count).collect();
    for node in 0..count {
        for other in neighbours(node) {
            let (from, to) = (group[node].max(group[other]), group[node].min(group[other]));
            group.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        }
    }
    let members = |wanted: usize| (0..count).filter(|node| group[*node] == wanted).collect();
    group.iter().map(|wanted| members(*wanted)).collect()
}
