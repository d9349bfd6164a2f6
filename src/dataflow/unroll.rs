//! Loops of streams, unrolled: the steps of a loop are there once for each round, so that a section has no circle.

use std::collections::BTreeSet;

use super::node::RoundPart;
use super::{DataflowNode, InputWire, OutputPort};

/// A loop: items that a step gives go back to the input of a step before it.
#[derive(Clone, Debug)]
pub(super) struct StreamLoop {
    /// The step to which items go back.
    pub first: usize,
    pub input: usize,
    /// The output from which they go back.
    pub back: OutputPort,
    /// How often an item may go back.
    pub max: u32,
    /// The steps on the ways from the first step to the last, both included.
    pub body: BTreeSet<usize>,
}

/// A step in one round of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepRound {
    pub node: usize,
    pub round: u32,
    pub part: RoundPart,
}

/// A stream that comes in at an input.
#[derive(Clone, Copy)]
pub(super) struct RoundStream {
    /// The step that gives it, in one round.
    pub source: StepRound,
    pub output: &'static str,
    /// The number of the way among those that meet at the input. It stays the same with a higher bound of a loop, so
    /// that answers to calls behind are found again.
    pub way: u64,
}

/// The nodes on the ways from `first` to `last`, both included; none, if there is no way. `sources` are the nodes whose
/// streams a node takes.
pub(super) fn between(
    count: usize,
    first: usize,
    last: usize,
    sources: impl Fn(usize) -> Vec<usize>,
) -> BTreeSet<usize> {
    let sources: Vec<Vec<usize>> = (0..count).map(sources).collect();
    let mut before = BTreeSet::new();
    let mut next = vec![last];
    while let Some(node) = next.pop() {
        if before.insert(node) && node != first {
            next.extend(&sources[node]);
        }
    }
    if !before.contains(&first) {
        return BTreeSet::new();
    }
    let mut behind = BTreeSet::from([first]);
    while let Some(more) = before
        .iter()
        .find(|node| !behind.contains(*node) && sources[**node].iter().any(|source| behind.contains(source)))
    {
        behind.insert(*more);
    }
    behind
}

/// The steps of a section, with the rounds of its loops.
pub(super) struct SectionRounds<'a> {
    nodes: &'a [DataflowNode],
    loops: Vec<StreamLoop>,
    /// The steps, each after those whose streams it takes.
    pub rounds: Vec<StepRound>,
}

impl<'a> SectionRounds<'a> {
    pub fn of(nodes: &'a [DataflowNode], members: &[usize]) -> SectionRounds<'a> {
        let loops = members.iter().filter_map(|node| {
            let again = nodes[*node].again.clone()?;
            let body = between(nodes.len(), *node, again.back.node, |node| sources(nodes, node));
            Some(StreamLoop { first: *node, input: again.input, back: again.back, max: again.max, body })
        });
        let mut unrolled = SectionRounds { nodes, loops: loops.collect(), rounds: Vec::new() };
        let mut left: Vec<StepRound> = members.iter().flat_map(|node| unrolled.rounds_of(*node)).collect();
        while !left.is_empty() {
            let is_ready = |at: &StepRound| {
                let inputs = 0..nodes[at.node].wires.len();
                let mut streams = inputs.flat_map(|input| unrolled.streams(at, input));
                streams.all(|stream| unrolled.rounds.contains(&stream.source))
            };
            let at = left.iter().position(is_ready).expect("an unrolled section has no circle");
            let next = left.remove(at);
            unrolled.rounds.push(next);
        }
        unrolled
    }

    fn rounds_of(&self, node: usize) -> Vec<StepRound> {
        let step = |round| StepRound { node, round, part: RoundPart::Step };
        let Some(around) = self.around(node) else { return vec![step(0)] };
        let bound = StepRound { node, round: around.max + 1, part: RoundPart::Bound };
        let bound = (around.first == node).then_some(bound);
        (0..=around.max).map(step).chain(bound).collect()
    }

    /// The loop in which a node is.
    fn around(&self, node: usize) -> Option<&StreamLoop> {
        self.loops.iter().find(|around| around.body.contains(&node))
    }

    /// The streams that come in at an input: those of each output in the order of their rounds.
    pub fn streams(&self, at: &StepRound, input: usize) -> Vec<RoundStream> {
        let around = self.around(at.node);
        let step = |node, round| StepRound { node, round, part: RoundPart::Step };
        if let Some(StreamLoop { input: back_input, back, .. }) = around.filter(|one| one.first == at.node)
            && at.round > 0
        {
            let back = RoundStream { source: step(back.node, at.round - 1), output: back.output, way: 0 };
            return if input == *back_input { vec![back] } else { Vec::new() };
        }
        let ports = self.nodes[at.node].wires[input].ports().iter();
        let ports: Vec<&OutputPort> =
            ports.filter(|port| self.nodes[port.node].stream.gives_stream()).collect();
        let of_port = |(number, port): (usize, &&OutputPort)| {
            let rounds = match (self.around(port.node), around) {
                (Some(there), Some(here)) if there.first == here.first => at.round..at.round + 1,
                _ if at.round > 0 => 0..0,
                (Some(there), _) => 0..there.max + 1,
                (None, _) => 0..1,
            };
            let ways = (number as u64..).step_by(ports.len());
            let stream =
                |(round, way)| RoundStream { source: step(port.node, round), output: port.output, way };
            rounds.zip(ways).map(stream).collect::<Vec<RoundStream>>()
        };
        ports.iter().enumerate().flat_map(of_port).collect()
    }
}

/// The nodes whose streams a node takes.
fn sources(nodes: &[DataflowNode], node: usize) -> Vec<usize> {
    let ports = nodes[node].wires.iter().flat_map(InputWire::ports);
    ports.map(|port| port.node).filter(|source| nodes[*source].stream.gives_stream()).collect()
}
