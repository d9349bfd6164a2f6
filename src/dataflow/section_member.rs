//! One step of a section at work: its inputs, its kernel, and the tally of its items.

use std::sync::Arc;

use crate::step::{
    BatchPlaces, BatchSize, Call, Fault, FaultKind, ItemBatch, ItemOrdinal, ItemTally, KernelRun,
    OutcomeReason, ResultIdentity, StepInputs, StreamFunction, StreamKernel, Value, WiredInput,
};

use super::node::{DataflowNode, MemberSource, RoundPart, SectionMember, StreamConsumer, StreamRole};
use super::perform::broken;
use super::placed_batches;
use super::section_calls::CallWork;
use super::section_expansion::{ExpansionOrigin, ItemExpansion};
use super::section_lane::CallLane;
use super::section_parts::{CallParts, guard};
use super::section_pool::CallPool;
use super::section_ways::OffWay;

/// A batch, with the name of the output that gives it.
pub(super) type GivenBatch = (&'static str, ItemBatch);

/// A step of a section during a run.
pub(super) struct MemberRun<'a> {
    pub member: &'a SectionMember,
    /// Why it does not run.
    pub skip: Option<OutcomeReason>,
    /// The single values at its inputs; those that take a stream are absent.
    pub inputs: StepInputs,
    pub identity: ResultIdentity,
    pub tally: ItemTally,
    /// The result of a fold, from the end of the stream on.
    pub sum: Option<Value>,
    /// For a step that gathers, the values so far at each of its inputs.
    pub gathered: Vec<Vec<Value>>,
    /// What was held at each input where streams meet.
    held: Vec<Option<ItemBatch>>,
    /// Whether the left items of a join wait until all of them are there: a part of them is made before the right stream
    /// has ended.
    pub holds_left: bool,
    /// The ways behind the step that are off, if it begins some.
    pub ways_off: Vec<OffWay>,
    /// The ordinal above all that the step makes of single values.
    root: ItemOrdinal,
    work: MemberWork,
}

/// The input of the right stream of a join.
const RIGHT: usize = 1;

/// What a step does with a batch.
enum MemberWork {
    /// It is skipped, or has the items gathered.
    Nothing,
    Gather,
    /// Runs the step for each item, as for a single value.
    Runs,
    Kernel(Box<dyn StreamKernel>),
    Makes(ItemExpansion),
    Calls(CallLane),
    /// Items that went round too often.
    Fails,
}

impl<'a> MemberRun<'a> {
    pub fn new(
        index: usize,
        member: &'a SectionMember,
        skip: Option<OutcomeReason>,
        call: &Call,
        border: &[&str],
        origin: Option<u64>,
    ) -> Self {
        let mut inputs = StepInputs::default();
        for (input, source) in member.node.step.declaration.inputs.iter().zip(&member.sources) {
            inputs.push(
                input.name,
                match source {
                    MemberSource::Border(index) => call.inputs.get(border[*index]).clone(),
                    MemberSource::Absent | MemberSource::Streams(_) => WiredInput::Absent,
                },
            );
        }
        let identity = ResultIdentity { step: Arc::clone(&member.node.name), ..call.identity.clone() };
        let work =
            if skip.is_some() { MemberWork::Nothing } else { work(index, member, &inputs, &identity, call) };
        let of_inputs = member.sources.len();
        MemberRun {
            member,
            skip,
            inputs,
            identity,
            tally: ItemTally::default(),
            sum: None,
            gathered: vec![Vec::new(); of_inputs],
            held: vec![None; of_inputs],
            holds_left: false,
            ways_off: Vec::new(),
            root: origin.map_or(ItemOrdinal::default(), |number| ItemOrdinal::default().child(number)),
            work,
        }
    }

    /// Counts what the step gives at an output whose way is off.
    pub fn count_off(&mut self, output: &str, batch: &ItemBatch) {
        self.ways_off.iter_mut().for_each(|way| way.count(output, batch.len()));
    }

    /// Whether the step has its items worked on by a kernel, on this thread.
    pub fn has_kernel(&self) -> bool {
        matches!(self.work, MemberWork::Kernel(_))
    }

    /// Has calls made by the threads of a pool, if it makes any.
    pub fn call_on(&mut self, pool: impl FnOnce() -> Arc<CallPool>) {
        if let MemberWork::Calls(lane) = &mut self.work {
            lane.call_on(pool());
        }
    }

    /// Begins to make a stream, if the step makes one of single values. Gives what it has made at once.
    pub fn begin(&mut self, call: &Call) -> Vec<GivenBatch> {
        if self.member.node.stream != StreamRole::Makes {
            return Vec::new();
        }
        match &mut self.work {
            MemberWork::Makes(expansion) => {
                expansion.push(ExpansionOrigin::Root(self.root), None);
                Vec::new()
            }
            MemberWork::Kernel(_) => {
                // A stream of one item.
                let first = self.member.node.step.declaration.inputs.first();
                let Some(WiredInput::One(value)) = first.map(|input| self.inputs.get(input.name)) else {
                    return Vec::new();
                };
                let items = vec![value.clone()];
                let mut given =
                    self.work_on(0, ItemBatch::of_values(BatchPlaces::Run(self.root, 0), items), call);
                given.extend(self.flush(call));
                given
            }
            MemberWork::Runs => {
                self.tally.fail_whole(broken("it declares a stream and has no function that makes one"));
                Vec::new()
            }
            MemberWork::Nothing | MemberWork::Gather | MemberWork::Calls(_) | MemberWork::Fails => Vec::new(),
        }
    }

    /// Takes a batch at an input. Gives what is made of it at once; [`MemberRun::next`] gives the rest.
    pub fn take(&mut self, at: &StreamConsumer, batch: ItemBatch, call: &Call) -> Vec<GivenBatch> {
        let Some(way) = at.way else { return self.work_on(at.input, batch, call) };
        let (held, batch) = (&mut self.held[at.input], batch.below(way));
        *held = Some(match held.take() {
            Some(held) => held.append(batch),
            None => batch,
        });
        Vec::new()
    }

    /// Takes what was held, in the order of the items: all that was made before them has arrived.
    pub fn release(&mut self, call: &Call) -> Vec<GivenBatch> {
        (0..self.held.len()).flat_map(|input| self.release_input(input, call)).collect()
    }

    fn release_input(&mut self, input: usize, call: &Call) -> Vec<GivenBatch> {
        let held = self.held[input].take();
        held.map(|batch| self.work_on(input, batch.arranged(), call)).unwrap_or_default()
    }

    /// The members that give the right stream, if the step joins two.
    pub fn right_sources(&self) -> Option<&'a [usize]> {
        match self.member.sources.get(RIGHT) {
            Some(MemberSource::Streams(members)) if self.joins() => Some(members),
            _ => None,
        }
    }

    /// Whether a batch is one of the right stream of a join.
    pub fn is_right(&self, at: &StreamConsumer) -> bool {
        self.joins() && at.input == RIGHT
    }

    /// Takes the end of the right stream. [`MemberRun::next`] gives what is made of the left one.
    pub fn end_right(&mut self, call: &Call) -> Vec<GivenBatch> {
        let mut given = if self.holds_left { self.release(call) } else { self.release_input(RIGHT, call) };
        given.extend(self.with_kernel(call, |kernel, run| kernel.end_right(run)));
        given
    }

    fn joins(&self) -> bool {
        self.member.node.step.declaration.joins
    }

    fn work_on(&mut self, input: usize, batch: ItemBatch, call: &Call) -> Vec<GivenBatch> {
        let is_right = self.joins() && input == RIGHT;
        match &mut self.work {
            MemberWork::Nothing => Vec::new(),
            MemberWork::Gather => {
                self.tally.done += batch.len() as u64;
                self.gathered[input].extend(batch.into_values().1);
                Vec::new()
            }
            MemberWork::Runs => self.run_each(input, batch, call),
            MemberWork::Kernel(_) if is_right => {
                self.with_kernel(call, |kernel, run| kernel.take_right(batch, run))
            }
            MemberWork::Kernel(_) => self.with_kernel(call, |kernel, run| kernel.take(batch, run)),
            MemberWork::Makes(expansion) => {
                let (places, values) = batch.into_values();
                for (index, value) in values.into_iter().enumerate() {
                    expansion.push(ExpansionOrigin::Item(places.get(index)), Some(value));
                }
                Vec::new()
            }
            MemberWork::Calls(lane) => {
                lane.take(batch);
                Vec::new()
            }
            MemberWork::Fails => {
                let max = self.member.round.saturating_sub(1);
                let fault = Fault::of(
                    FaultKind::Transient,
                    format!("it has come back {max} times and would come back once more"),
                    "Raise \"max\" under \"again\" of the step in the dataflow file, let flow read it again (SIGHUP, or a new \
                     start), and run the request again with `flow retry`.",
                );
                (0..batch.len()).for_each(|index| self.tally.fail(batch.places().get(index), fault.clone()));
                Vec::new()
            }
        }
    }

    /// The next items of those that are being made, about as many as fit into `size`; or the next answers, if they
    /// are there or there are too many calls under way.
    pub fn next(&mut self, size: BatchSize, call: &Call) -> Option<GivenBatch> {
        let output = self.member.node.step.declaration.outputs.first()?.name;
        let parts = CallParts { member: self.member, inputs: &self.inputs, identity: &self.identity };
        let made = match &mut self.work {
            MemberWork::Makes(expansion) => expansion.next(size, &parts, call, &mut self.tally),
            MemberWork::Calls(lane) => lane.next(call.token, &mut self.tally),
            MemberWork::Kernel(_) => {
                return self.with_kernel(call, |kernel, run| kernel.next(size, run)).pop();
            }
            _ => None,
        };
        made.map(|made| (output, made))
    }

    /// The next answers to the calls under way, waiting for them; `None` if there are none.
    pub fn await_answers(&mut self, call: &Call) -> Option<GivenBatch> {
        let output = self.member.node.step.declaration.outputs.first()?.name;
        let MemberWork::Calls(lane) = &mut self.work else { return None };
        lane.wait(call.token, &mut self.tally).map(|made| (output, made))
    }

    /// Gives what is kept back until a batch is full, and begins calls that wait for that.
    pub fn flush(&mut self, call: &Call) -> Vec<GivenBatch> {
        match &mut self.work {
            MemberWork::Kernel(_) => self.with_kernel(call, |kernel, run| kernel.flush(run)),
            MemberWork::Calls(lane) => {
                lane.flush();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Takes the end of the streams.
    pub fn end(&mut self, call: &Call) {
        let mut sum = None;
        if matches!(self.work, MemberWork::Kernel(_)) {
            self.with_kernel(call, |kernel, run| sum = kernel.end(run));
        }
        self.sum = sum;
    }

    fn with_kernel(
        &mut self,
        call: &Call,
        run: impl FnOnce(&mut dyn StreamKernel, &mut KernelRun),
    ) -> Vec<GivenBatch> {
        let outputs = &self.member.node.step.declaration.outputs;
        let mut given = Vec::new();
        let mut give = |output: usize, batch| given.push((outputs[output].name, batch));
        let parts = CallParts { member: self.member, inputs: &self.inputs, identity: &self.identity };
        if let MemberWork::Kernel(kernel) = &mut self.work {
            parts.with(call, None, |call| {
                run(&mut **kernel, &mut KernelRun { call, guard, tally: &mut self.tally, give: &mut give });
            });
        }
        given
    }

    fn run_each(&mut self, input: usize, batch: ItemBatch, call: &Call) -> Vec<GivenBatch> {
        let node = &self.member.node;
        let outputs = &node.step.declaration.outputs;
        let name = node.step.declaration.inputs[input].name;
        let mut given: Vec<Vec<Value>> = outputs.iter().map(|_| Vec::with_capacity(batch.len())).collect();
        let mut kept = Vec::with_capacity(batch.len());
        let (places, values) = batch.into_values();
        for (index, value) in values.into_iter().enumerate() {
            let inputs = self.inputs.clone().replaced(name, WiredInput::One(value));
            match node.perform(&self.identity, &inputs, call.token, call.environment) {
                Ok(results) => {
                    let given = outputs.iter().zip(&mut given);
                    given.for_each(|(output, given)| given.extend(results.get(output.name).cloned()));
                    kept.push(places.get(index));
                }
                Err(fault) => self.tally.fail(places.get(index), fault),
            }
        }
        self.tally.done += kept.len() as u64;
        let batch = |values| ItemBatch::of_values(BatchPlaces::Each(kept.clone()), values);
        outputs.iter().zip(given).map(|(output, values)| (output.name, batch(values))).collect()
    }
}

/// The function of a step for streams.
fn work(
    index: usize,
    member: &SectionMember,
    inputs: &StepInputs,
    identity: &ResultIdentity,
    call: &Call,
) -> MemberWork {
    let node = &member.node;
    let size = node.batch.unwrap_or(BatchSize::TAKEN);
    let calls = |ask, size| {
        MemberWork::Calls(CallLane::new(CallWork::new(ask, member, inputs, identity, call), size))
    };
    if member.part == RoundPart::Step
        && let Some(ask) = placed_batches::asks_elsewhere(index, member, call.environment)
    {
        return calls(ask, placed_batches::size(node));
    }
    match (node.step.stream(), node.stream) {
        _ if member.part == RoundPart::Bound => MemberWork::Fails,
        (StreamFunction::Fold(kernel), StreamRole::Ends) if takes_first(member) => {
            MemberWork::Kernel(kernel(size))
        }
        (_, StreamRole::Ends) => MemberWork::Gather,
        (StreamFunction::Joins(kernel), _) => MemberWork::Kernel(kernel(size)),
        (StreamFunction::Items(kernel), _) if takes_first(member) => MemberWork::Kernel(kernel(size)),
        (StreamFunction::Batches(kernel, _), _) if takes_first(member) && !has_threads(node) => {
            MemberWork::Kernel(kernel(size))
        }
        (StreamFunction::Calls(ask) | StreamFunction::Batches(_, ask), StreamRole::Items)
            if takes_first(member) =>
        {
            calls(Arc::clone(ask), size)
        }
        (StreamFunction::Makes(make), _) => MemberWork::Makes(ItemExpansion::new(make)),
        _ => MemberWork::Runs,
    }
}

/// Whether threads of its own work on the batches of a step.
fn has_threads(node: &DataflowNode) -> bool {
    let declaration = &node.step.declaration;
    declaration.calls || declaration.batches && node.max.is_some()
}

/// Whether the stream, if there is one, comes in at the first input and no other, for which the kernel is made.
fn takes_first(member: &SectionMember) -> bool {
    let others = member.sources.iter().skip(1);
    !others.into_iter().any(|source| matches!(source, MemberSource::Streams(_)))
}
