//! A lane: one instance of the dataflow's graph, with totally ordered epochs.
//!
//! ```text
//! input ─▶ open ─▶ nodes of the work ─▶ judge ─▶ nodes of the failure part ─▶ answer ─▶ collect
//! ```
//!
//! From its opening to the answer everything happens on the lane's home worker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::Operator as _;
use timely::dataflow::operators::{Concat, Input as _};
use timely::dataflow::{InputHandle, Stream};
use timely::worker::Worker;

use crate::dataflow::{Dataflow, InputWire, NodePhase, Response, ResponseVerdict};

use super::chain::NodeChain;
use super::close::close;
use super::epoch::{EpochAnswer, LaneOrder, NodeEmission};
use super::node::{NodeEmissions, OperatorSources, node};
use super::open::{OpenerStreams, open};
use super::shared::ProcessShared;
use super::to_worker::to_worker;

/// The input of a lane; closing it ends the lane.
pub type LaneInput = InputHandle<u64, CapacityContainerBuilder<Vec<LaneOrder>>>;

/// The responses that have left the lanes. Only the first worker, which has the scheduler, receives any.
pub type LaneResponses = Rc<RefCell<Vec<LaneResponse>>>;

/// The final response of an epoch that is done, or an interim one after its deadline.
pub struct LaneResponse {
    pub lane: usize,
    /// The timely time of the epoch; an interim response has a later one.
    pub time: u64,
    pub response: Response,
}

/// Builds a lane. Every worker builds the same lanes in the same order.
pub fn lane(
    worker: &mut Worker,
    lane: usize,
    shared: &Arc<ProcessShared>,
    done: &LaneResponses,
) -> LaneInput {
    let mut input = LaneInput::new();
    worker.dataflow_named(&format!("lane {lane}"), |scope| {
        let home = lane % scope.worker().peers();
        let OpenerStreams { begun, overdue } = open(scope.input_from(&mut input), home, shared);
        let nodes = nodes(NodePhase::Work, begun, BTreeMap::new(), shared);
        let answers = answer(nodes, shared);
        let said = overdue.into_iter().fold(answers, Concat::concat);
        collect(said, lane, Rc::clone(done));
    });
    input
}

/// Streams by the index of the node whose results they carry.
type NodeStreams<'scope> = BTreeMap<usize, NodeEmissions<'scope>>;

/// Adds the operators of a phase to those before.
fn nodes<'scope>(
    phase: NodePhase,
    begin: NodeEmissions<'scope>,
    before: NodeStreams<'scope>,
    shared: &Arc<ProcessShared>,
) -> NodeStreams<'scope> {
    let mut nodes = before;
    let dataflow = &shared.work.dataflow;
    let indices = (0..dataflow.nodes.len()).filter(|index| dataflow.nodes[*index].phase == phase);
    for chain in indices.filter_map(|index| NodeChain::from(dataflow, index)) {
        let last = chain.last();
        let next = node(chain, &OperatorSources { begin: &begin, nodes: &nodes }, shared);
        nodes.insert(last, next);
    }
    nodes
}

fn answer<'scope>(
    work: NodeStreams<'scope>,
    shared: &Arc<ProcessShared>,
) -> Stream<'scope, u64, Vec<EpochAnswer>> {
    let dataflow = &shared.work.dataflow;
    let last = Arc::clone(dataflow);
    let respond = move |epoch: &Rc<_>| EpochAnswer(super::epoch::Epoch::respond(epoch, &last));
    let leaves = leaves(dataflow, &work, NodePhase::Work);
    if dataflow.nodes.iter().all(|node| node.phase == NodePhase::Work) {
        return close("answer", leaves, respond);
    }
    let books = Arc::clone(dataflow);
    let judged = close("judge", leaves, move |epoch| {
        epoch.judge(&books);
        NodeEmission { epoch: Rc::clone(epoch), item: None, left: None }
    });
    let all = nodes(NodePhase::Failure, judged.clone(), work, shared);
    let mut ends = self::leaves(dataflow, &all, NodePhase::Failure);
    ends.push(judged);
    close("answer", ends, respond)
}

/// The streams of a phase's nodes that no other node of that phase needs.
fn leaves<'scope>(
    dataflow: &Dataflow,
    streams: &NodeStreams<'scope>,
    phase: NodePhase,
) -> Vec<NodeEmissions<'scope>> {
    let needed = |index: usize| {
        let mut wires = dataflow.nodes.iter().flat_map(|node| &node.wires);
        wires.any(|wire| matches!(wire, InputWire::Port(port) if port.node == index))
    };
    let leaves =
        streams.iter().filter(|(index, _)| dataflow.nodes[**index].phase == phase && !needed(**index));
    leaves.map(|(_, stream)| stream.clone()).collect()
}

/// Brings the responses to the first worker. A final one is passed on when its epoch is done.
fn collect(answers: Stream<'_, u64, Vec<EpochAnswer>>, lane: usize, done: LaneResponses) {
    let mut held: Option<LaneResponse> = None;
    answers.sink(to_worker(0), "collect", move |(input, frontier)| {
        input.for_each(|capability, answers| {
            let time = *capability.least().expect("a message has a time");
            for EpochAnswer(response) in answers.drain(..) {
                let verdict = response.verdict;
                let said = LaneResponse { lane, time, response };
                match verdict {
                    ResponseVerdict::Unfinished => done.borrow_mut().push(said),
                    ResponseVerdict::Complete
                    | ResponseVerdict::CompleteWithReservations
                    | ResponseVerdict::Failed => held = Some(said),
                }
            }
        });
        done.borrow_mut().extend(held.take_if(|said| !frontier.less_equal(&said.time)));
    });
}
