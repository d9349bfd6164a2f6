//! Wiring: the needs of a file become wires to the inputs of its steps.

use super::draft::{DraftAgain, DraftNeed};
use super::given::{BuiltInOutput, GIVEN};
use super::node::AgainEdge;
use super::plan::DataflowPlan;
use super::port::{PortRequirement, node_and_output, port};
use super::{InputWire, NodePhase, OutputPort};
use crate::step::{InputDeclaration, InputTake};
use crate::yaml;
use crate::yaml::{PlacedValue, ProblemCollector, SourcePlace};

/// The wires of every node, by index in the draft.
pub(super) struct DataflowWiring {
    links: Vec<Vec<InputLink>>,
    /// The nodes that each node needs, also if the wire itself has a problem.
    sources: Vec<Vec<usize>>,
    agains: Vec<Option<AgainLink>>,
}

/// The items that go back to a node.
pub(super) struct AgainLink {
    pub place: SourcePlace,
    pub edge: AgainEdge,
}

/// The wire of one input, and its place in the file.
pub(super) struct InputLink {
    /// The place of the need; the place of the step's name, if the file does not mention the input.
    pub place: SourcePlace,
    /// The wire; `None` if a problem was noted.
    pub wire: Option<InputWire>,
}

impl DataflowWiring {
    pub fn of(plan: &DataflowPlan, collector: &mut ProblemCollector) -> DataflowWiring {
        let nodes = 0..plan.draft.nodes.len();
        let sources = nodes.clone().map(|index| sources(plan, index)).collect();
        let links = nodes.map(|index| links(plan, index, collector)).collect();
        let agains = (0..plan.draft.nodes.len()).map(|index| again(plan, index, collector)).collect();
        DataflowWiring { links, sources, agains }
    }

    /// The links of a node, one for each input of its step, in that order.
    pub fn links(&self, node: usize) -> &[InputLink] {
        &self.links[node]
    }

    pub fn sources(&self, node: usize) -> &[usize] {
        &self.sources[node]
    }

    /// The items that go back to a node, if it begins a loop.
    pub fn again(&self, node: usize) -> Option<&AgainLink> {
        self.agains[node].as_ref()
    }
}

fn sources(plan: &DataflowPlan, node: usize) -> Vec<usize> {
    let needs = plan.node(node).needs.iter().flatten();
    let names = needs.flat_map(|need| need.source.iter().chain(&need.more));
    let known = names.filter(|name| GIVEN.iter().all(|given| given.name != name.value));
    known.filter_map(|name| plan.find(node_and_output(&name.value).0)).collect()
}

fn links(plan: &DataflowPlan, node: usize, collector: &mut ProblemCollector) -> Vec<InputLink> {
    let Some(needs) = &plan.node(node).needs else { return unknown_links(plan, node) };
    // The needs are checked even if the step is not known.
    let found: Vec<Option<NeedSource>> = needs
        .iter()
        .map(|need| need.source.as_ref().and_then(|source| NeedSource::find(plan, node, source, collector)))
        .collect();
    let Some(declaration) = plan.declaration(node) else { return Vec::new() };
    surplus(plan, node, needs, &declaration.inputs, collector);
    let link = |input: &InputDeclaration| {
        let need = needs.iter().zip(&found).find(|(need, _)| need.input.value == input.name);
        match need {
            Some((need, source)) if need.more.is_empty() => {
                connect(plan, node, input, need, source.as_ref(), collector)
            }
            Some((need, source)) => merge(plan, node, input, need, source.as_ref(), collector),
            None if is_misspelt(input, needs, &declaration.inputs) => {
                InputLink { place: plan.node(node).name.place, wire: None }
            }
            None => absent(plan, node, input, collector),
        }
    };
    declaration.inputs.iter().map(link).collect()
}

/// The links of a node whose needs could not be read.
fn unknown_links(plan: &DataflowPlan, node: usize) -> Vec<InputLink> {
    let inputs = plan.declaration(node).map_or(0, |declaration| declaration.inputs.len());
    let place = plan.node(node).name.place;
    (0..inputs).map(|_| InputLink { place, wire: None }).collect()
}

/// Notes needs for inputs that the step does not have.
fn surplus(
    plan: &DataflowPlan,
    node: usize,
    needs: &[DraftNeed],
    inputs: &[InputDeclaration],
    collector: &mut ProblemCollector,
) {
    let known = || inputs.iter().map(|input| input.name);
    for DraftNeed { input, .. } in needs.iter().filter(|need| known().all(|name| name != need.input.value)) {
        let message = format!("{} has no input \"{}\"", described(plan, node), input.value);
        collector.add(input.place, message).hint(yaml::meant_or_all(&input.value, known()));
    }
}

/// Whether a need with an unknown name probably means this input. Then there is one problem, not two.
fn is_misspelt(input: &InputDeclaration, needs: &[DraftNeed], inputs: &[InputDeclaration]) -> bool {
    let known = || inputs.iter().map(|input| input.name);
    let surplus = needs.iter().filter(|need| known().all(|name| name != need.input.value));
    let mut meant = surplus.filter_map(|need| yaml::nearest(&need.input.value, known()));
    meant.any(|name| name == input.name)
}

fn absent(
    plan: &DataflowPlan,
    node: usize,
    input: &InputDeclaration,
    collector: &mut ProblemCollector,
) -> InputLink {
    let place = plan.node(node).name.place;
    if input.take == InputTake::Optional {
        return InputLink { place, wire: Some(InputWire::Absent) };
    }
    let message =
        format!("{} lacks the need \"{}\" of type {}", described(plan, node), input.name, input.kind);
    collector.add(place, message).hint(plan.giving(input.kind, plan.node(node).phase));
    InputLink { place, wire: None }
}

/// The node in messages: `"densities" (measure-densities)`.
fn described(plan: &DataflowPlan, node: usize) -> String {
    let step = plan.declaration(node).map_or("", |declaration| declaration.name);
    format!("\"{}\" ({step})", plan.name(node))
}

/// The source that a need names.
enum NeedSource<'a> {
    Given(&'static BuiltInOutput),
    Node { index: usize, output: Option<&'a str> },
}

impl<'a> NeedSource<'a> {
    fn find(
        plan: &DataflowPlan,
        node: usize,
        written: &'a PlacedValue<String>,
        collector: &mut ProblemCollector,
    ) -> Option<NeedSource<'a>> {
        let phase = plan.node(node).phase;
        if let Some(given) = GIVEN.iter().find(|given| given.name == written.value) {
            return given_in(given, phase, written, collector);
        }
        let (name, output) = node_and_output(&written.value);
        match plan.find(name) {
            Some(index) if plan.node(index).phase == phase => Some(NeedSource::Node { index, output }),
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
    given: &'static BuiltInOutput,
    phase: NodePhase,
    written: &PlacedValue<String>,
    collector: &mut ProblemCollector,
) -> Option<NeedSource<'a>> {
    let here = given.phases.contains(&phase);
    if !here {
        let message = match phase {
            NodePhase::Work => format!("\"{}\" is there for steps of the failure part only", given.name),
            NodePhase::Failure => format!("a step of the failure part cannot need \"{}\"", given.name),
        };
        collector.add(written.place, message).hint(failure_hint(phase));
    }
    here.then_some(NeedSource::Given(given))
}

fn other_phase(phase: NodePhase, written: &PlacedValue<String>, collector: &mut ProblemCollector) {
    let message = match phase {
        NodePhase::Work => {
            format!("\"{}\" runs only after a failure: the work cannot need it", written.value)
        }
        NodePhase::Failure => {
            format!("a step of the failure part cannot need \"{}\" of the work", written.value)
        }
    };
    collector.add(written.place, message).hint(failure_hint(phase));
}

fn failure_hint(phase: NodePhase) -> Option<String> {
    let hint = "it may need \"request\", \"outcomes\" and other steps of the failure part";
    (phase == NodePhase::Failure).then(|| hint.to_owned())
}

fn unknown(
    plan: &DataflowPlan,
    phase: NodePhase,
    written: &PlacedValue<String>,
    collector: &mut ProblemCollector,
) {
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

/// The link of an input at which streams meet.
fn merge(
    plan: &DataflowPlan,
    node: usize,
    input: &InputDeclaration,
    need: &DraftNeed,
    first: Option<&NeedSource>,
    collector: &mut ProblemCollector,
) -> InputLink {
    let InputLink { place, wire: first } = connect(plan, node, input, need, first, collector);
    let mut wires = vec![first];
    for source in &need.more {
        let found = NeedSource::find(plan, node, source, collector);
        let one = DraftNeed { input: need.input.clone(), source: Some(source.clone()), more: Vec::new() };
        wires.push(connect(plan, node, input, &one, found.as_ref(), collector).wire);
    }
    let port = |wire: Option<InputWire>| match wire {
        Some(InputWire::Port(port)) => Some(port),
        Some(_) => {
            let message = format!(
                "the input \"{}\" of \"{}\" has a list of more than streams",
                input.name,
                plan.name(node)
            );
            collector.add(place, message).hint("streams of steps meet in a list".to_owned());
            None
        }
        None => None,
    };
    let wire = wires.into_iter().map(port).collect::<Option<Vec<OutputPort>>>().map(InputWire::Merge);
    InputLink { place, wire }
}

/// The items that go back to a node.
fn again(plan: &DataflowPlan, node: usize, collector: &mut ProblemCollector) -> Option<AgainLink> {
    let DraftAgain { need, max } = plan.node(node).again.as_ref()?;
    let inputs = &plan.declaration(node)?.inputs;
    let Some(input) = inputs.iter().position(|input| input.name == need.input.value) else {
        surplus(plan, node, std::slice::from_ref(need), inputs, collector);
        return None;
    };
    let found = NeedSource::find(plan, node, need.source.as_ref()?, collector);
    let link = connect(plan, node, &inputs[input], need, found.as_ref(), collector);
    match link.wire? {
        InputWire::Port(back) if need.more.is_empty() => {
            Some(AgainLink { place: link.place, edge: AgainEdge { input, back, max: *max } })
        }
        _ => {
            let message = format!("what comes back to \"{}\" is not one stream of a step", plan.name(node));
            collector.add(link.place, message);
            None
        }
    }
}

fn connect(
    plan: &DataflowPlan,
    node: usize,
    input: &InputDeclaration,
    need: &DraftNeed,
    source: Option<&NeedSource>,
    collector: &mut ProblemCollector,
) -> InputLink {
    let place = need.source.as_ref().map_or(need.input.place, |source| source.place);
    let wire = need.source.as_ref().zip(source).and_then(|(written, source)| {
        let by = format!("the input \"{}\" of \"{}\"", input.name, plan.name(node));
        let wanted = PortRequirement { kind: input.kind, by: &by };
        match source {
            NeedSource::Node { index, output } => {
                port(plan, *index, *output, wanted, written, collector).map(InputWire::Port)
            }
            NeedSource::Given(given) if given.kind == input.kind => Some(given.wire.clone()),
            NeedSource::Given(given) => {
                let message = format!("{by} takes {}, but \"{}\" is {}", input.kind, given.name, given.kind);
                let phase = plan.node(node).phase;
                collector.add(written.place, message).hint(plan.giving(input.kind, phase));
                None
            }
        }
    });
    InputLink { place, wire }
}
