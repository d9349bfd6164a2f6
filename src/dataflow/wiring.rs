//! Wiring: the needs of a file become wires to the inputs of its steps.

use super::draft::Need;
use super::given::{GIVEN, Given};
use super::plan::Plan;
use super::port::{Wanted, node_and_output, port};
use super::{Phase, Wire};
use crate::step::{Input, Take};
use crate::yaml;
use crate::yaml::{Collector, Place, Placed};

/// The wires of every node, by index in the draft.
pub(super) struct Wiring {
    links: Vec<Vec<Link>>,
    /// The nodes that each node needs, also if the wire itself has a problem.
    sources: Vec<Vec<usize>>,
}

/// The wire of one input, and its place in the file.
pub(super) struct Link {
    /// The place of the need; the place of the step's name, if the file does not mention the input.
    pub place: Place,
    /// The wire; `None` if a problem was noted.
    pub wire: Option<Wire>,
}

impl Wiring {
    pub fn of(plan: &Plan, collector: &mut Collector) -> Wiring {
        let nodes = 0..plan.draft.nodes.len();
        let sources = nodes.clone().map(|index| sources(plan, index)).collect();
        let links = nodes.map(|index| links(plan, index, collector)).collect();
        Wiring { links, sources }
    }

    /// The links of a node, one for each input of its step, in that order.
    pub fn links(&self, node: usize) -> &[Link] {
        &self.links[node]
    }

    pub fn sources(&self, node: usize) -> &[usize] {
        &self.sources[node]
    }
}

fn sources(plan: &Plan, node: usize) -> Vec<usize> {
    let needs = plan.node(node).needs.iter().flatten();
    let names = needs.filter_map(|need| need.source.as_ref());
    let known = names.filter(|name| GIVEN.iter().all(|given| given.name != name.value));
    known.filter_map(|name| plan.find(node_and_output(&name.value).0)).collect()
}

fn links(plan: &Plan, node: usize, collector: &mut Collector) -> Vec<Link> {
    let Some(needs) = &plan.node(node).needs else { return unknown_links(plan, node) };
    // The needs are checked even if the step is not known.
    let found: Vec<Option<Source>> = needs
        .iter()
        .map(|need| need.source.as_ref().and_then(|source| Source::find(plan, node, source, collector)))
        .collect();
    let Some(declaration) = plan.declaration(node) else { return Vec::new() };
    surplus(plan, node, needs, &declaration.inputs, collector);
    let link = |input: &Input| {
        let need = needs.iter().zip(&found).find(|(need, _)| need.input.value == input.name);
        match need {
            Some((need, source)) => connect(plan, node, input, need, source.as_ref(), collector),
            None if is_misspelt(input, needs, &declaration.inputs) => {
                Link { place: plan.node(node).name.place, wire: None }
            }
            None => absent(plan, node, input, collector),
        }
    };
    declaration.inputs.iter().map(link).collect()
}

/// The links of a node whose needs could not be read.
fn unknown_links(plan: &Plan, node: usize) -> Vec<Link> {
    let inputs = plan.declaration(node).map_or(0, |declaration| declaration.inputs.len());
    let place = plan.node(node).name.place;
    (0..inputs).map(|_| Link { place, wire: None }).collect()
}

/// Notes needs for inputs that the step does not have.
fn surplus(plan: &Plan, node: usize, needs: &[Need], inputs: &[Input], collector: &mut Collector) {
    let known = || inputs.iter().map(|input| input.name);
    for Need { input, .. } in needs.iter().filter(|need| known().all(|name| name != need.input.value)) {
        let message = format!("{} has no input \"{}\"", described(plan, node), input.value);
        collector.add(input.place, message).hint(yaml::meant_or_all(&input.value, known()));
    }
}

/// Whether a need with an unknown name probably means this input. Then there is one problem, not two.
fn is_misspelt(input: &Input, needs: &[Need], inputs: &[Input]) -> bool {
    let known = || inputs.iter().map(|input| input.name);
    let surplus = needs.iter().filter(|need| known().all(|name| name != need.input.value));
    let mut meant = surplus.filter_map(|need| yaml::nearest(&need.input.value, known()));
    meant.any(|name| name == input.name)
}

fn absent(plan: &Plan, node: usize, input: &Input, collector: &mut Collector) -> Link {
    let place = plan.node(node).name.place;
    if input.take == Take::Optional {
        return Link { place, wire: Some(Wire::Absent) };
    }
    let message =
        format!("{} lacks the need \"{}\" of type {}", described(plan, node), input.name, input.kind);
    collector.add(place, message).hint(plan.giving(input.kind, plan.node(node).phase));
    Link { place, wire: None }
}

/// The node in messages: `"densities" (measure-densities)`.
fn described(plan: &Plan, node: usize) -> String {
    let step = plan.declaration(node).map_or("", |declaration| declaration.name);
    format!("\"{}\" ({step})", plan.name(node))
}

/// The source that a need names.
enum Source<'a> {
    Given(&'static Given),
    Node { index: usize, output: Option<&'a str> },
}

impl<'a> Source<'a> {
    fn find(
        plan: &Plan,
        node: usize,
        written: &'a Placed<String>,
        collector: &mut Collector,
    ) -> Option<Source<'a>> {
        let phase = plan.node(node).phase;
        if let Some(given) = GIVEN.iter().find(|given| given.name == written.value) {
            return given_in(given, phase, written, collector);
        }
        let (name, output) = node_and_output(&written.value);
        match plan.find(name) {
            Some(index) if plan.node(index).phase == phase => Some(Source::Node { index, output }),
            Some(_) => {
                other_phase(phase, written, collector);
                None
            }
            None => {
                unknown(plan, phase, written, collector);
                None
            }
        }
    }
}

fn given_in<'a>(
    given: &'static Given,
    phase: Phase,
    written: &Placed<String>,
    collector: &mut Collector,
) -> Option<Source<'a>> {
    let here = given.phases.contains(&phase);
    if !here {
        let message = match phase {
            Phase::Work => format!("\"{}\" is there for steps of the failure part only", given.name),
            Phase::Failure => format!("a step of the failure part cannot need \"{}\"", given.name),
        };
        collector.add(written.place, message).hint(failure_hint(phase));
    }
    here.then_some(Source::Given(given))
}

fn other_phase(phase: Phase, written: &Placed<String>, collector: &mut Collector) {
    let message = match phase {
        Phase::Work => format!("\"{}\" runs only after a failure: the work cannot need it", written.value),
        Phase::Failure => format!("a step of the failure part cannot need \"{}\" of the work", written.value),
    };
    collector.add(written.place, message).hint(failure_hint(phase));
}

fn failure_hint(phase: Phase) -> Option<String> {
    let hint = "it may need \"request\", \"outcomes\" and other steps of the failure part";
    (phase == Phase::Failure).then(|| hint.to_owned())
}

fn unknown(plan: &Plan, phase: Phase, written: &Placed<String>, collector: &mut Collector) {
    let given = GIVEN.iter().filter(|given| given.phases.contains(&phase)).map(|given| given.name);
    let steps = plan.phase(phase).map(|index| plan.name(index));
    let known: Vec<&str> = given.chain(steps).collect();
    let (name, output) = node_and_output(&written.value);
    // `request.item` is near `request.items`; `lugns.left` is near `lungs` without its output.
    let near = yaml::meant(&written.value, known.iter().copied());
    let near = near.or_else(|| output.and_then(|_| yaml::meant(name, known.iter().copied())));
    let message = match GIVEN.iter().any(|given| given.name == name) {
        true => format!("there is no \"{}\"", written.value),
        false => format!("this dataflow has no step \"{name}\""),
    };
    let hint = near.or_else(|| yaml::meant_or_all(name, known));
    collector.add(written.place, message).hint(hint);
}

fn connect(
    plan: &Plan,
    node: usize,
    input: &Input,
    need: &Need,
    source: Option<&Source>,
    collector: &mut Collector,
) -> Link {
    let place = need.source.as_ref().map_or(need.input.place, |source| source.place);
    let wire = need.source.as_ref().zip(source).and_then(|(written, source)| {
        let by = format!("the input \"{}\" of \"{}\"", input.name, plan.name(node));
        let wanted = Wanted { kind: input.kind, by: &by };
        match source {
            Source::Node { index, output } => {
                port(plan, *index, *output, wanted, written, collector).map(Wire::Port)
            }
            Source::Given(given) if given.kind == input.kind => Some(given.wire.clone()),
            Source::Given(given) => {
                let message = format!("{by} takes {}, but \"{}\" is {}", input.kind, given.name, given.kind);
                let phase = plan.node(node).phase;
                collector.add(written.place, message).hint(plan.giving(input.kind, phase));
                None
            }
        }
    });
    Link { place, wire }
}
