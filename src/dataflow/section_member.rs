//! One step of a section at work: its inputs, its kernel, and the tally of its items.

use std::collections::VecDeque;

use crate::step::{
    BatchPlaces, BatchSize, Call, Fault, ItemBatch, ItemMaker, ItemOrdinal, ItemTally, KernelRun, MadeItems,
    MakerFunction, OutcomeReason, ResultIdentity, StepInputs, StreamFunction, StreamKernel, Value,
    WiredInput,
};

use super::node::{MemberSource, SectionMember, StreamRole};
use super::perform::{broken, guarded};

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
    work: MemberWork,
}

/// What a step does with a batch.
enum MemberWork {
    /// It is skipped, or has the items gathered.
    Nothing,
    Gather,
    /// Calls the step for each item, as for a single value.
    Calls,
    Kernel(Box<dyn StreamKernel>),
    Makes(MakerFunction, ItemExpansion),
}

/// What many items are made of.
#[derive(Clone, Copy)]
enum ExpansionOrigin {
    /// Single values: the items are the stream.
    Root,
    /// An item of a stream.
    Item(ItemOrdinal),
}

/// Items of which many are being made.
#[derive(Default)]
struct ItemExpansion {
    waiting: VecDeque<(ExpansionOrigin, Option<Value>)>,
    current: Option<ExpandingItem>,
}

struct ExpandingItem {
    origin: ExpansionOrigin,
    maker: Box<dyn ItemMaker>,
    /// The first fault of what is made of an item.
    fault: Option<Fault>,
}

impl<'a> MemberRun<'a> {
    pub fn new(member: &'a SectionMember, skip: Option<OutcomeReason>, call: &Call, border: &[&str]) -> Self {
        let mut inputs = StepInputs::default();
        for (input, source) in member.node.step.declaration.inputs.iter().zip(&member.sources) {
            inputs.push(
                input.name,
                match source {
                    MemberSource::Border(index) => call.inputs.get(border[*index]).clone(),
                    MemberSource::Absent | MemberSource::Stream(_) => WiredInput::Absent,
                },
            );
        }
        let identity = ResultIdentity { step: member.node.name.clone(), ..call.identity.clone() };
        let gathered = member.sources.iter().map(|_| Vec::new()).collect();
        let work = if skip.is_some() { MemberWork::Nothing } else { work(member) };
        MemberRun { member, skip, inputs, identity, tally: ItemTally::default(), sum: None, gathered, work }
    }

    /// Begins to make a stream, if the step makes one of single values. Gives what it has made at once.
    pub fn begin(&mut self, call: &Call) -> Vec<GivenBatch> {
        if self.member.node.stream != StreamRole::Makes {
            return Vec::new();
        }
        match &mut self.work {
            MemberWork::Makes(_, expansion) => {
                expansion.waiting.push_back((ExpansionOrigin::Root, None));
                Vec::new()
            }
            MemberWork::Kernel(_) => {
                // A stream of one item.
                let first = self.member.node.step.declaration.inputs.first();
                let Some(WiredInput::One(value)) = first.map(|input| self.inputs.get(input.name)) else {
                    return Vec::new();
                };
                let items = vec![value.clone()];
                self.take(0, ItemBatch::of_values(BatchPlaces::Run(ItemOrdinal::default(), 0), items), call)
            }
            MemberWork::Calls => {
                self.tally.fail_whole(broken("it declares a stream and has no function that makes one"));
                Vec::new()
            }
            MemberWork::Nothing | MemberWork::Gather => Vec::new(),
        }
    }

    /// Takes a batch at an input. Gives what is made of it at once; [`MemberRun::next`] gives the rest.
    pub fn take(&mut self, input: usize, batch: ItemBatch, call: &Call) -> Vec<GivenBatch> {
        match &mut self.work {
            MemberWork::Nothing => Vec::new(),
            MemberWork::Gather => {
                self.tally.done += batch.len() as u64;
                self.gathered[input].extend(batch.into_values().1);
                Vec::new()
            }
            MemberWork::Calls => self.call_each(input, batch, call),
            MemberWork::Kernel(_) => self.with_kernel(call, |kernel, run| kernel.take(batch, run)),
            MemberWork::Makes(_, expansion) => {
                let (places, values) = batch.into_values();
                let values = values.into_iter().enumerate();
                let origin = |index| ExpansionOrigin::Item(places.get(index));
                expansion.waiting.extend(values.map(|(index, value)| (origin(index), Some(value))));
                Vec::new()
            }
        }
    }

    /// The next items of those that are being made, about as many as fit into `size`.
    pub fn next(&mut self, size: BatchSize, call: &Call) -> Option<GivenBatch> {
        let output = self.member.node.step.declaration.outputs.first()?.name;
        let input = self.member.sources.iter().position(|source| matches!(source, MemberSource::Stream(_)));
        let input = input.map(|index| self.member.node.step.declaration.inputs[index].name);
        let parts = CallParts { member: self.member, inputs: &self.inputs, identity: &self.identity };
        let MemberWork::Makes(make, expansion) = &mut self.work else { return None };
        let mut made: Option<ItemBatch> = None;
        while made.as_ref().is_none_or(|made| made.len() < size.items / 2) {
            let Some(current) = &mut expansion.current else {
                let Some((origin, item)) = expansion.waiting.pop_front() else { break };
                match parts.with(call, input.zip(item), |call| guarded(|| make(call))) {
                    Ok(Ok(maker)) => {
                        expansion.current = Some(ExpandingItem { origin, maker, fault: None });
                    }
                    Ok(Err(fault)) => origin.fail(&mut self.tally, fault),
                    Err(panic) => origin.fail(&mut self.tally, broken(&panic)),
                }
                continue;
            };
            match current.maker.next(size, current.origin.place(), guard) {
                Ok(Some(MadeItems { batch, faults })) => {
                    current.note(&mut self.tally, batch.len(), faults);
                    made = Some(match made {
                        Some(made) => made.append(batch),
                        None => batch,
                    });
                }
                ended => {
                    current.close(&mut self.tally, ended.err());
                    expansion.current = None;
                }
            }
        }
        made.map(|made| (output, made))
    }

    /// Takes the end of the streams. Gives what the step had still to give.
    pub fn end(&mut self, call: &Call) -> Vec<GivenBatch> {
        let mut sum = None;
        let given = match &self.work {
            MemberWork::Kernel(_) => self.with_kernel(call, |kernel, run| sum = kernel.end(run)),
            _ => Vec::new(),
        };
        self.sum = sum;
        given
    }

    fn with_kernel(
        &mut self,
        call: &Call,
        run: impl FnOnce(&mut dyn StreamKernel, &mut KernelRun),
    ) -> Vec<GivenBatch> {
        let output = self.member.node.step.declaration.outputs.first().map_or("", |output| output.name);
        let mut given = Vec::new();
        let mut give = |batch| given.push((output, batch));
        let parts = CallParts { member: self.member, inputs: &self.inputs, identity: &self.identity };
        if let MemberWork::Kernel(kernel) = &mut self.work {
            parts.with(call, None, |call| {
                run(&mut **kernel, &mut KernelRun { call, guard, tally: &mut self.tally, give: &mut give });
            });
        }
        given
    }

    fn call_each(&mut self, input: usize, batch: ItemBatch, call: &Call) -> Vec<GivenBatch> {
        let node = &self.member.node;
        let outputs = &node.step.declaration.outputs;
        let name = node.step.declaration.inputs[input].name;
        let mut given: Vec<Vec<Value>> = outputs.iter().map(|_| Vec::with_capacity(batch.len())).collect();
        let mut kept = Vec::with_capacity(batch.len());
        let (places, values) = batch.into_values();
        for (index, value) in values.into_iter().enumerate() {
            let inputs = self.inputs.clone().replaced(name, WiredInput::One(value));
            match node.perform(&self.identity, &inputs, call.token) {
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
fn work(member: &SectionMember) -> MemberWork {
    let node = &member.node;
    let size = node.batch.unwrap_or(BatchSize::TAKEN);
    match (node.step.stream(), node.stream) {
        (StreamFunction::Fold(kernel), StreamRole::Ends) if takes_first(member) => {
            MemberWork::Kernel(kernel(size))
        }
        (_, StreamRole::Ends) => MemberWork::Gather,
        (StreamFunction::Items(kernel), _) if takes_first(member) => MemberWork::Kernel(kernel(size)),
        (StreamFunction::Makes(make), _) => MemberWork::Makes(make.clone(), ItemExpansion::default()),
        _ => MemberWork::Calls,
    }
}

/// Whether the stream, if there is one, comes in at the first input and no other, for which the kernel is made.
fn takes_first(member: &SectionMember) -> bool {
    let others = member.sources.iter().skip(1);
    !others.into_iter().any(|source| matches!(source, MemberSource::Stream(_)))
}

impl ExpansionOrigin {
    fn place(self) -> ItemOrdinal {
        match self {
            ExpansionOrigin::Root => ItemOrdinal::default(),
            ExpansionOrigin::Item(place) => place,
        }
    }

    /// Counts a fault of all that would have been made.
    fn fail(self, tally: &mut ItemTally, fault: Fault) {
        match self {
            ExpansionOrigin::Root => tally.fail_whole(fault),
            ExpansionOrigin::Item(place) => tally.fail(place, fault),
        }
    }
}

impl ExpandingItem {
    /// Counts items that were made. Of a stream they are counted themselves; of an item it is that one.
    fn note(&mut self, tally: &mut ItemTally, made: usize, faults: Vec<(ItemOrdinal, Fault)>) {
        match self.origin {
            ExpansionOrigin::Root => {
                tally.done += made as u64;
                faults.into_iter().for_each(|(place, fault)| tally.fail(place, fault));
            }
            ExpansionOrigin::Item(_) => {
                let first = faults.into_iter().next().map(|(_, fault)| fault);
                self.fault = self.fault.take().or(first);
            }
        }
    }

    /// Counts the end; with a fault, if nothing more could be made.
    fn close(&mut self, tally: &mut ItemTally, fault: Option<Fault>) {
        match (self.origin, self.fault.take().or(fault)) {
            (origin, Some(fault)) => origin.fail(tally, fault),
            (ExpansionOrigin::Item(_), None) => tally.done += 1,
            (ExpansionOrigin::Root, None) => {}
        }
    }
}

/// What a call of a member is made of.
struct CallParts<'a> {
    member: &'a SectionMember,
    inputs: &'a StepInputs,
    identity: &'a ResultIdentity,
}

impl CallParts<'_> {
    /// Makes the call, with an item at an input, for a function.
    fn with<R>(&self, call: &Call, item: Option<(&'static str, Value)>, run: impl FnOnce(&Call) -> R) -> R {
        let parameters = &self.member.node.parameters;
        let with_item = item.map(|(name, value)| self.inputs.clone().replaced(name, WiredInput::One(value)));
        let inputs = with_item.as_ref().unwrap_or(self.inputs);
        run(&Call { inputs, parameters, identity: self.identity, token: call.token })
    }
}

fn guard(work: &mut dyn FnMut()) -> Result<(), Fault> {
    guarded(work).map_err(|panic| broken(&panic))
}
