//! A node as an operator: it gathers what the node needs, has the step run on a thread of the pool,
//! performs the nodes that follow it in its chain, and gives what the last one left. The worker's
//! thread is never blocked.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;
use timely::scheduling::SyncActivator;

use crate::dataflow::perform::{ArrivedInput, RunDecision, RunResult};
use crate::dataflow::{Dataflow, DataflowNode, InputWire, NodePhase, RunFrequency};
use crate::step::{CancelToken, InputTake, Outcome, StepInputs};

use super::chain::{NodeChain, close};
use super::epoch::{Epoch, NodeEmission};
use super::job::{RunEnd, StepJob};
use super::run::{NodeRun, RunTask};
use super::shared::ProcessShared;

pub type NodeEmissions<'scope> = Stream<'scope, u64, Vec<NodeEmission>>;

/// Where an operator's inputs come from.
pub struct OperatorSources<'a, 'scope> {
    /// The stream from the opener or the judge: the request, the items and the outcomes come with it.
    pub begin: &'a NodeEmissions<'scope>,
    /// The streams of the operators before this one, by the last node of each.
    pub nodes: &'a BTreeMap<usize, NodeEmissions<'scope>>,
}

/// Builds the operator of these nodes.
pub fn node<'scope>(
    chain: NodeChain,
    sources: &OperatorSources<'_, 'scope>,
    shared: &Arc<ProcessShared>,
) -> NodeEmissions<'scope> {
    let scope = sources.begin.scope();
    let dataflow = &shared.work.dataflow;
    let ports = ports(dataflow, chain.first);
    let mut builder = OperatorBuilder::new(dataflow.nodes[chain.first].name.to_string(), scope);
    let mut inputs = Vec::new();
    for (number, port) in ports.iter().enumerate() {
        let stream = port.source.map_or(sources.begin, |source| &sources.nodes[&source]);
        inputs.push(builder.new_input(stream.clone(), Pipeline));
        let interest = if port.gathers { FrontierInterest::IfCapability } else { FrontierInterest::Never };
        builder.set_notify_for(number, interest);
    }
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<NodeEmission>>>::from(output);
    let activator = scope.worker().sync_activator_for(builder.operator_info().address.to_vec());
    // An operator's address begins with its lane.
    let lane = builder.operator_info().address[0];
    let mut operator = NodeOperator::new(chain, ports, activator, lane, Arc::clone(shared));
    builder.build(move |initial| {
        drop(initial);
        move |frontiers| {
            for (port, input) in inputs.iter_mut().enumerate() {
                input.for_each(|capability, emissions| {
                    let capability = || capability.retain_least(0).expect("a message has a time");
                    emissions.drain(..).for_each(|emission| operator.receive(port, emission, capability));
                });
            }
            operator.advance(|port, time| !frontiers[port].less_equal(&time));
            if let Some((capability, mut emissions)) = operator.ready() {
                output.activate().session(&capability).give_container(&mut emissions);
            }
        }
    });
    stream
}

/// An input of the operator: one for each place that the node's wires come from.
struct OperatorPort {
    /// The index of a node; `None` for the stream that begins the phase.
    source: Option<usize>,
    /// Whether it carries a value per item.
    per_item: bool,
    /// Whether the node takes the values of all items together. They are complete when the frontier has
    /// passed.
    gathers: bool,
}

fn ports(dataflow: &Dataflow, index: usize) -> Vec<OperatorPort> {
    let node = &dataflow.nodes[index];
    let mut ports: Vec<OperatorPort> = Vec::new();
    for (input, wire) in node.step.declaration.inputs.iter().zip(&node.wires) {
        let Some(source) = source(wire) else { continue };
        let per_item = source.is_some_and(|source| dataflow.nodes[source].runs == RunFrequency::PerItem);
        let gathers = per_item && input.take == InputTake::Each;
        match ports.iter_mut().find(|port| port.source == source) {
            Some(port) => port.gathers |= gathers,
            None => ports.push(OperatorPort { source, per_item, gathers }),
        }
    }
    if ports.is_empty() {
        ports.push(OperatorPort { source: None, per_item: false, gathers: false });
    }
    ports
}

/// The origin of a wire: a node, or `Some(None)` for the stream that begins the phase. `None` for an input
/// that is not wired.
fn source(wire: &InputWire) -> Option<Option<usize>> {
    match wire {
        InputWire::Absent => None,
        InputWire::Request | InputWire::Items | InputWire::Outcomes => Some(None),
        InputWire::Port(port) => Some(Some(port.node)),
        InputWire::Merge(_) => unreachable!("streams meet within a section"),
    }
}

struct NodeOperator {
    chain: NodeChain,
    /// The nodes of the chain.
    nodes: Arc<[usize]>,
    ports: Vec<OperatorPort>,
    shared: Arc<ProcessShared>,
    activator: SyncActivator,
    /// The lane's number: the pool serves the lanes in turn.
    lane: usize,
    ended: (Sender<RunEnd>, Receiver<RunEnd>),
    /// The epoch in the lane, from its first message until its last run has ended.
    state: Option<OperatorState>,
}

struct OperatorState {
    epoch: Rc<Epoch>,
    capability: Capability<u64>,
    /// The values that have arrived, by port and then by item; one value where the port is not per item.
    arrived: Vec<Vec<Option<RunResult>>>,
    begun: Vec<bool>,
    /// The runs that have got a new input.
    touched: Vec<usize>,
    unfinished: usize,
    emissions: Vec<NodeEmission>,
}

impl NodeOperator {
    fn new(
        chain: NodeChain,
        ports: Vec<OperatorPort>,
        activator: SyncActivator,
        lane: usize,
        shared: Arc<ProcessShared>,
    ) -> NodeOperator {
        let nodes = chain.nodes().collect();
        NodeOperator { chain, nodes, ports, lane, shared, activator, ended: channel(), state: None }
    }

    fn receive(&mut self, port: usize, emission: NodeEmission, capability: impl FnOnce() -> Capability<u64>) {
        let node = &self.shared.work.dataflow.nodes[self.chain.first];
        if node.phase == NodePhase::Failure && !emission.epoch.has_failed() {
            return;
        }
        let ports = &self.ports;
        let epoch = emission.epoch;
        let state = self.state.get_or_insert_with(|| OperatorState::new(node, ports, epoch, capability()));
        let left = emission.left.unwrap_or(RunResult::Outputs(Default::default()));
        state.arrived[port][emission.item.unwrap_or(0)] = Some(left);
        match emission.item.filter(|_| node.runs == RunFrequency::PerItem) {
            Some(item) => state.touched.push(item),
            None => state.touched.extend(0..state.begun.len()),
        }
    }

    /// Takes in the runs that have ended and begins those whose needs are known.
    fn advance(&mut self, passed: impl Fn(usize, u64) -> bool) {
        while let Ok(ended) = self.ended.1.try_recv() {
            self.finish(ended);
        }
        let Some(state) = &mut self.state else { return };
        let time = *state.capability.time();
        let gathered =
            self.ports.iter().enumerate().all(|(index, port)| !port.gathers || passed(index, time));
        if gathered {
            for run in std::mem::take(&mut state.touched) {
                self.begin(run);
            }
        }
    }

    fn begin(&mut self, run: usize) {
        let Some(state) = &mut self.state else { return };
        if state.begun[run] || !state.is_known(&self.ports, run) {
            return;
        }
        state.begun[run] = true;
        let node = &self.shared.work.dataflow.nodes[self.chain.first];
        let item = (node.runs == RunFrequency::PerItem).then_some(run);
        let arrived = state.wired(node, &self.ports, run);
        match node.decide(state.epoch.place(item), &arrived) {
            RunDecision::Skip(because) => self.finish(RunEnd::not_run(item, Outcome::Skipped { because })),
            RunDecision::Run(inputs) => {
                match state.epoch.prevents(&self.shared.work.dataflow, self.chain.first) {
                    Some(outcome) => self.finish(RunEnd::not_run(item, outcome)),
                    None => self.run(item, inputs),
                }
            }
        }
    }

    fn run(&mut self, item: Option<usize>, inputs: StepInputs) {
        let Some(state) = &mut self.state else { return };
        if state.begun.len() == 1 {
            // The steps have their own handles on their inputs; these are no longer needed.
            state.arrived.iter_mut().for_each(Vec::clear);
        }
        let (request, work) = (Arc::clone(&state.epoch.request), &self.shared.work);
        let is_paused = work.control.is_paused(&work.dataflow, &self.nodes);
        if work.dataflow.nodes[self.chain.first].runs_in_line() && !is_paused {
            let (token, is_wanted) = (&CancelToken::default(), &|| true);
            let job = StepJob { node: self.chain.first, request: &request, item, token, is_wanted };
            let ended = work.perform(&job, inputs);
            return self.finish(ended);
        }
        let (ended, activator) = (self.ended.0.clone(), self.activator.clone());
        let (node, nodes, lane) = (self.chain.first, Arc::clone(&self.nodes), self.lane);
        let task = RunTask { node, nodes, lane, request, item, ended, activator };
        state.epoch.begin(self.chain.first, item, NodeRun::begin(task, inputs, &self.shared));
    }

    fn finish(&mut self, ended: RunEnd) {
        let Some(state) = &mut self.state else { return };
        let (item, epoch, work) = (ended.item, Rc::clone(&state.epoch), &self.shared.work);
        let left = close(self.chain.first, &epoch, work, ended);
        let left = self.chain.follow(&epoch, work, item, left);
        state.emissions.push(NodeEmission { epoch, item, left: Some(left) });
        state.unfinished -= 1;
    }

    /// The emissions to send now. The capability goes with the last of them.
    fn ready(&mut self) -> Option<(Capability<u64>, Vec<NodeEmission>)> {
        let state = self.state.as_mut().filter(|state| !state.emissions.is_empty())?;
        let ready = (state.capability.clone(), std::mem::take(&mut state.emissions));
        if state.unfinished == 0 {
            self.state = None;
        }
        Some(ready)
    }
}

impl OperatorState {
    fn new(
        node: &DataflowNode,
        ports: &[OperatorPort],
        epoch: Rc<Epoch>,
        capability: Capability<u64>,
    ) -> OperatorState {
        let items = epoch.request.items.len().max(1);
        let runs = node.runs_of(&epoch.request);
        OperatorState {
            arrived: ports.iter().map(|port| vec![None; if port.per_item { items } else { 1 }]).collect(),
            epoch,
            capability,
            begun: vec![false; runs],
            touched: Vec::new(),
            unfinished: runs,
            emissions: Vec::new(),
        }
    }

    /// Whether a run has all its inputs. A port that gathers is complete once the frontier has passed.
    fn is_known(&self, ports: &[OperatorPort], run: usize) -> bool {
        ports.iter().zip(&self.arrived).all(|(port, arrived)| {
            let index = if port.per_item { run } else { 0 };
            port.gathers || arrived[index].is_some()
        })
    }

    fn wired(
        &self,
        node: &DataflowNode,
        ports: &[OperatorPort],
        run: usize,
    ) -> Vec<Option<ArrivedInput<'_>>> {
        let inputs = node.step.declaration.inputs.iter().zip(&node.wires);
        let arrived = inputs.map(|(input, wire)| {
            let InputWire::Port(wired) = wire else { return None };
            let index = ports.iter().position(|port| port.source == Some(wired.node))?;
            let arrived = &self.arrived[index];
            Some(match input.take {
                InputTake::Each => ArrivedInput::Each(arrived.iter().flatten().collect()),
                InputTake::One | InputTake::Optional => {
                    let index = if ports[index].per_item { run } else { 0 };
                    ArrivedInput::One(arrived[index].as_ref().expect("a run begins when its needs are known"))
                }
            })
        });
        arrived.collect()
    }
}
