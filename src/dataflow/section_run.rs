//! The run of a section: its steps work on the batches of its streams.
//!
//! [`run`] pulls: a batch goes through all steps before the next one is made, so that the memory in use is a few
//! batches, whatever the length of the stream. Calls are under way meanwhile; their answers go on in the order of
//! the items. Where streams meet, items are held until all that was made before them has arrived, and then go on in
//! their order: after a [`WAVE`] of items, and when the streams have ended. A maker may give a batch that is not full, so
//! that its items need not wait for slow ones: waves are counted in items and bytes, and which items share a batch that
//! a step takes as a whole does not depend on time.
//! Steps of one program that follow each other directly are a chain, through which a batch goes at once.
//! [`evaluate`] is the plain meaning: each step takes its whole stream before the next step begins. Both give the
//! same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::step::{BatchSize, Call, Fault, ItemBatch, StepOutputs, WiredInput};

use super::node::{MemberSource, SectionMember, StreamConsumer, StreamRole, StreamSection};
use super::section_account::{SectionAccount, SectionPlan};
use super::section_chain::SectionChains;
use super::section_end::close;
use super::section_member::{GivenBatch, MemberRun};
use super::section_pool::CallPool;
use super::section_ways::OffWay;

/// The items that are made of single values before those which are held where streams meet go on: 64 full batches.
const WAVE: BatchSize =
    BatchSize { items: 64 * BatchSize::TRAVELLING.items, bytes: 64 * BatchSize::TRAVELLING.bytes };

/// Runs the section batch by batch.
///
/// # Errors
/// If the run is given up.
pub(super) fn run(section: &StreamSection, call: &Call) -> Result<StepOutputs, Fault> {
    let mut members = members(section, call);
    let mut pools: BTreeMap<usize, Arc<CallPool>> = BTreeMap::new();
    for (run, member) in members.iter_mut().zip(&section.members) {
        let pool = || Arc::new(CallPool::new(&member.node.name, member.node.max));
        run.call_on(|| Arc::clone(pools.entry(member.written).or_insert_with(pool)));
    }
    let ended = vec![StreamEnd::Open; members.len()];
    let chains = SectionChains::among(section, &members);
    let has_meeting = has_meeting(section);
    let mut run = SectionRun { section, call, members, chains, has_meeting, wave: WAVE, ended };
    for index in makers(section) {
        let given = run.members[index].begin(call);
        run.pass(index, given)?;
        run.ended[index] = StreamEnd::Whole;
        run.end_streams()?;
    }
    for index in 0..section.members.len() {
        run.members[index].end(call);
    }
    pools.values().for_each(|pool| pool.join());
    call.token.check()?;
    Ok(close(section, run.members, call))
}

/// Runs the section step by step.
///
/// # Errors
/// If the run is given up.
pub(super) fn evaluate(section: &StreamSection, call: &Call) -> Result<StepOutputs, Fault> {
    let whole = BatchSize { items: usize::MAX, bytes: usize::MAX };
    let mut members = members(section, call);
    let mut streams: Vec<Vec<GivenBatch>> = Vec::new();
    for (index, member) in members.iter_mut().enumerate() {
        let mut given = member.begin(call);
        given.extend(std::iter::from_fn(|| member.next(whole, call)));
        let right_ends_first = member.right_sources().is_some() && !member.holds_left;
        let taken = taken(section, &streams, index).into_iter();
        let (right, others): (Vec<_>, Vec<_>) =
            taken.partition(|(consumer, _)| right_ends_first && member.is_right(consumer));
        for (consumer, batch) in right {
            given.extend(member.take(consumer, batch, call));
        }
        if right_ends_first {
            given.extend(member.end_right(call));
        }
        for (consumer, batch) in others {
            given.extend(member.take(consumer, batch, call));
            given.extend(std::iter::from_fn(|| member.next(whole, call)));
        }
        given.extend(member.release(call));
        if member.right_sources().is_some() && !right_ends_first {
            given.extend(member.end_right(call));
        }
        given.extend(std::iter::from_fn(|| member.next(whole, call)));
        given.extend(member.flush(call));
        given.extend(std::iter::from_fn(|| member.next(whole, call)));
        member.end(call);
        given.iter().for_each(|(output, batch)| member.count_off(output, batch));
        streams.push(given);
    }
    call.token.check()?;
    Ok(close(section, members, call))
}

/// All that a member takes, of members that have ended.
fn taken<'a>(
    section: &'a StreamSection,
    streams: &[Vec<GivenBatch>],
    index: usize,
) -> Vec<(&'a StreamConsumer, ItemBatch)> {
    let mut taken = Vec::new();
    for (before, stream) in section.members.iter().zip(streams) {
        for consumer in before.consumers.iter().filter(|consumer| consumer.member == index) {
            let its = stream.iter().filter(|(output, _)| *output == consumer.output);
            taken.extend(its.map(|(_, batch)| (consumer, batch.clone())));
        }
    }
    taken
}

/// A section under way, batch by batch.
struct SectionRun<'a, 'c> {
    section: &'a StreamSection,
    call: &'a Call<'c>,
    members: Vec<MemberRun<'a>>,
    /// Members that work together.
    chains: SectionChains,
    /// Whether streams meet somewhere.
    has_meeting: bool,
    /// The room that is left in the wave.
    wave: BatchSize,
    /// What has ended, for each member.
    ended: Vec<StreamEnd>,
}

/// The inputs of a member that have ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    Open,
    /// The right stream of a join.
    Right,
    /// All streams, and what the member gives.
    Whole,
}

impl SectionRun<'_, '_> {
    /// Passes on what a member gave, and what it goes on to make.
    fn pass(&mut self, index: usize, given: Vec<GivenBatch>) -> Result<(), Fault> {
        for (output, batch) in given {
            self.spread(index, output, batch)?;
        }
        let is_counted = self.has_meeting && self.section.members[index].node.stream == StreamRole::Makes;
        let mut size = BatchSize::TRAVELLING;
        loop {
            if is_counted {
                size = BatchSize::TRAVELLING.min(self.wave);
            }
            let Some((output, batch)) = self.members[index].next(size, self.call) else { break };
            self.call.token.check()?;
            let bytes = if is_counted { batch.bytes_each() } else { Vec::new() };
            self.spread(index, output, batch)?;
            if is_counted {
                self.count(&bytes)?;
            }
        }
        self.call.token.check()
    }

    /// Counts items that were made, by their bytes. At the end of the wave, what is held goes on.
    fn count(&mut self, bytes: &[usize]) -> Result<(), Fault> {
        self.wave.items = self.wave.items.saturating_sub(bytes.len());
        self.wave.bytes = self.wave.bytes.saturating_sub(bytes.iter().sum());
        if self.wave.items == 0 || self.wave.bytes == 0 {
            self.drain()?;
            self.wave = WAVE;
        }
        Ok(())
    }

    /// Lets all that is held or under way go on. Each member comes after those whose streams it takes.
    fn drain(&mut self) -> Result<(), Fault> {
        for index in 0..self.members.len() {
            if self.section.members[index].node.stream == StreamRole::Makes {
                continue;
            }
            self.drain_member(index)?;
        }
        self.call.token.check()
    }

    fn drain_member(&mut self, index: usize) -> Result<(), Fault> {
        let given = self.members[index].release(self.call);
        self.pass(index, given)?;
        let flushed = self.chains.flush(index, &mut self.members, self.call);
        let (from, given) = flushed.unwrap_or_else(|| (index, self.members[index].flush(self.call)));
        self.pass(from, given)?;
        while let Some((output, batch)) = self.members[index].await_answers(self.call) {
            self.call.token.check()?;
            self.spread(index, output, batch)?;
        }
        Ok(())
    }

    /// Ends the streams that are made of streams which have ended. Each member comes after those whose streams it takes.
    fn end_streams(&mut self) -> Result<(), Fault> {
        for index in 0..self.members.len() {
            let member = &self.section.members[index];
            if self.ended[index] == StreamEnd::Whole || member.node.stream == StreamRole::Makes {
                continue;
            }
            let all = member.sources.iter().all(|source| match source {
                MemberSource::Streams(members) => self.have_ended(members),
                MemberSource::Absent | MemberSource::Border(_) => true,
            });
            let right = self.members[index].right_sources();
            let is_due = right.is_some_and(|right| self.have_ended(right));
            if self.ended[index] == StreamEnd::Open && is_due && (all || !self.members[index].holds_left) {
                let given = self.members[index].end_right(self.call);
                self.ended[index] = StreamEnd::Right;
                self.pass(index, given)?;
            }
            if all {
                self.drain_member(index)?;
                self.ended[index] = StreamEnd::Whole;
            }
        }
        self.call.token.check()
    }

    fn have_ended(&self, members: &[usize]) -> bool {
        members.iter().all(|index| self.ended[*index] == StreamEnd::Whole)
    }

    /// Brings a batch to all that take it. The last of them gets it as it is.
    fn spread(&mut self, index: usize, output: &'static str, batch: ItemBatch) -> Result<(), Fault> {
        let section = self.section;
        self.members[index].count_off(output, &batch);
        let is_taker = |consumer: &&StreamConsumer| consumer.output == output;
        let mut takers = section.members[index].consumers.iter().filter(is_taker).peekable();
        let mut batch = Some(batch).filter(|batch| !batch.is_empty());
        while let Some(consumer) = takers.next() {
            let its = if takers.peek().is_some() { batch.clone() } else { batch.take() };
            let Some(its) = its else { break };
            let chained = self.chains.take(consumer, its, &mut self.members, self.call);
            let (from, given) = chained.unwrap_or_else(|its| {
                (consumer.member, self.members[consumer.member].take(consumer, its, self.call))
            });
            self.pass(from, given)?;
        }
        Ok(())
    }
}

fn has_meeting(section: &StreamSection) -> bool {
    let sources = section.members.iter().flat_map(|member| &member.sources);
    sources.into_iter().any(|source| matches!(source, MemberSource::Streams(members) if members.len() > 1))
}

fn members<'a>(section: &'a StreamSection, call: &Call) -> Vec<MemberRun<'a>> {
    let plan = match call.inputs.get(SectionAccount::PLAN) {
        WiredInput::One(value) => value.get::<SectionPlan>(),
        WiredInput::Absent | WiredInput::Each(_) => None,
    };
    let plan = plan.expect("a section runs with its plan");
    let makers = makers(section);
    let several = makers.len() > 1 && has_meeting(section);
    let origin = |written: usize| {
        let number = makers.iter().position(|maker| section.members[*maker].written == written)?;
        several.then_some(number as u64)
    };
    let ways_off = OffWay::of_section(section, &plan.skips);
    let members = section.members.iter().zip(plan.skips.clone().into_iter().zip(ways_off)).enumerate();
    let run = |(index, (member, (skip, ways_off))): (usize, (&'a SectionMember, (_, Vec<OffWay>)))| {
        let mut run = MemberRun::new(index, member, skip, call, &section.border, origin(member.written));
        run.holds_left = holds_left(section, member, &makers);
        run.ways_off = ways_off;
        run
    };
    members.map(run).collect()
}

/// The members that make streams of single values, in the order in which they begin: those of the right stream of a
/// join before those of the left one, otherwise in the order of the file.
fn makers(section: &StreamSection) -> Vec<usize> {
    let mut left: Vec<usize> = (0..section.members.len())
        .filter(|index| section.members[*index].node.stream == StreamRole::Makes)
        .collect();
    let joins = section.members.iter().filter(|member| member.node.step.declaration.joins);
    let sides: Vec<[BTreeSet<usize>; 2]> =
        joins.map(|member| [0, 1].map(|input| makers_of(section, member, input))).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let waits = |maker: &usize| {
            sides.iter().any(|[of_left, of_right]| {
                let is_first = |other: &usize| of_right.contains(other) && !of_left.contains(other);
                of_left.contains(maker) && !of_right.contains(maker) && left.iter().any(is_first)
            })
        };
        // Where two joins want it differently, the left items of one are held longer.
        let next = left.iter().position(|maker| !waits(maker)).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}

/// Whether a maker of the left stream of a join, in their order, comes before the last one of the right stream or is that.
/// Then all left items wait for the end of both streams, and which of them count as waiting does not depend on time.
fn holds_left(section: &StreamSection, member: &SectionMember, order: &[usize]) -> bool {
    if !member.node.step.declaration.joins {
        return false;
    }
    let [left, right] = [0, 1].map(|input| makers_of(section, member, input));
    let last_right = order.iter().rposition(|maker| right.contains(maker));
    let first_left = order.iter().position(|maker| left.contains(maker));
    last_right.zip(first_left).is_some_and(|(right, left)| left <= right)
}

/// The makers of what comes in at an input of a member.
fn makers_of(section: &StreamSection, member: &SectionMember, input: usize) -> BTreeSet<usize> {
    let sources = |source: &MemberSource| match source {
        MemberSource::Streams(members) => members.clone(),
        MemberSource::Absent | MemberSource::Border(_) => Vec::new(),
    };
    let (mut seen, mut next) = (BTreeSet::new(), sources(&member.sources[input]));
    while let Some(index) = next.pop() {
        if seen.insert(index) {
            next.extend(section.members[index].sources.iter().flat_map(sources));
        }
    }
    seen.retain(|index| section.members[*index].node.stream == StreamRole::Makes);
    seen
}
