//! The run of a section: its steps work on the batches of its streams.
//!
//! [`run`] pulls: a batch goes through all steps before the next one is made, so that the memory in use is a few
//! batches, whatever the length of the stream. Calls are under way meanwhile; their answers go on in the order of
//! the items. Where streams meet, items are held until all that was made before them has arrived, and then go on in
//! their order: after [`WAVE`] batches, and at the end. So which items share a batch does not depend on time.
//! [`evaluate`] is the plain meaning: each step takes its whole stream before the next step begins. Both give the
//! same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::step::{BatchSize, Call, Fault, ItemBatch, StepOutputs, WiredInput};

use super::node::{MemberSource, StreamConsumer, StreamRole, StreamSection};
use super::section_account::{SectionAccount, SectionPlan};
use super::section_end::close;
use super::section_member::{GivenBatch, MemberRun, has_threads};
use super::section_pool::CallPool;

/// The batches that are made before those which were held where streams meet go on.
const WAVE: usize = 64;

/// Runs the section batch by batch.
///
/// # Errors
/// If the run is given up.
pub(super) fn run(section: &StreamSection, call: &Call) -> Result<StepOutputs, Fault> {
    let mut members = members(section, call);
    let mut pools: BTreeMap<usize, Arc<CallPool>> = BTreeMap::new();
    for (run, member) in members.iter_mut().zip(&section.members) {
        if has_threads(&member.node) {
            let pool = || Arc::new(CallPool::new(&member.node.name, member.node.max));
            run.call_on(pools.entry(member.written).or_insert_with(pool));
        }
    }
    let mut run = SectionRun { section, call, members, has_meeting: has_meeting(section), made: 0 };
    for index in 0..section.members.len() {
        let given = run.members[index].begin(call);
        run.pass(index, given)?;
    }
    run.drain()?;
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
        for (before, stream) in section.members.iter().zip(&streams) {
            for consumer in before.consumers.iter().filter(|consumer| consumer.member == index) {
                for (_, batch) in stream.iter().filter(|(output, _)| *output == consumer.output) {
                    given.extend(member.take(consumer, batch.clone(), call));
                    given.extend(std::iter::from_fn(|| member.next(whole, call)));
                }
            }
        }
        given.extend(member.release(call));
        given.extend(std::iter::from_fn(|| member.next(whole, call)));
        given.extend(member.flush(call));
        given.extend(std::iter::from_fn(|| member.next(whole, call)));
        member.end(call);
        streams.push(given);
    }
    call.token.check()?;
    Ok(close(section, members, call))
}

/// A section under way, batch by batch.
struct SectionRun<'a, 'c> {
    section: &'a StreamSection,
    call: &'a Call<'c>,
    members: Vec<MemberRun<'a>>,
    /// Whether streams meet somewhere.
    has_meeting: bool,
    /// The batches that were made of single values since the last wave.
    made: usize,
}

impl SectionRun<'_, '_> {
    /// Passes on what a member gave, and what it goes on to make.
    fn pass(&mut self, index: usize, given: Vec<GivenBatch>) -> Result<(), Fault> {
        for (output, batch) in given {
            self.spread(index, output, batch)?;
        }
        let makes = self.section.members[index].node.stream == StreamRole::Makes;
        while let Some((output, batch)) = self.members[index].next(BatchSize::TRAVELLING, self.call) {
            self.call.token.check()?;
            self.spread(index, output, batch)?;
            if makes && self.has_meeting {
                self.made += 1;
                if self.made >= WAVE {
                    self.drain()?;
                    self.made = 0;
                }
            }
        }
        self.call.token.check()
    }

    /// Lets all that is held or under way go on. Each member comes after those whose streams it takes.
    fn drain(&mut self) -> Result<(), Fault> {
        for index in 0..self.members.len() {
            if self.section.members[index].node.stream == StreamRole::Makes {
                continue;
            }
            let given = self.members[index].release(self.call);
            self.pass(index, given)?;
            let given = self.members[index].flush(self.call);
            self.pass(index, given)?;
            while let Some((output, batch)) = self.members[index].await_answers(self.call) {
                self.call.token.check()?;
                self.spread(index, output, batch)?;
            }
        }
        self.call.token.check()
    }

    /// Brings a batch to all that take it. The last of them gets it as it is.
    fn spread(&mut self, index: usize, output: &'static str, batch: ItemBatch) -> Result<(), Fault> {
        let section = self.section;
        let is_taker = |consumer: &&StreamConsumer| consumer.output == output;
        let mut takers = section.members[index].consumers.iter().filter(is_taker).peekable();
        let mut batch = Some(batch).filter(|batch| !batch.is_empty());
        while let Some(consumer) = takers.next() {
            let its = if takers.peek().is_some() { batch.clone() } else { batch.take() };
            let Some(its) = its else { break };
            let given = self.members[consumer.member].take(consumer, its, self.call);
            self.pass(consumer.member, given)?;
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
    let skips = plan.map(|plan| plan.skips.clone()).expect("a section runs with its plan");
    let made = || section.members.iter().filter(|member| member.node.stream == StreamRole::Makes);
    let several = made().count() > 1 && has_meeting(section);
    let origin = |written: usize| {
        let number = made().position(|member| member.written == written)?;
        several.then_some(number as u64)
    };
    let members = section.members.iter().zip(skips);
    members
        .map(|(member, skip)| MemberRun::new(member, skip, call, &section.border, origin(member.written)))
        .collect()
}
