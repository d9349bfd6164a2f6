//! The run of a section: its steps work on the batches of its streams.
//!
//! [`run`] pulls: a batch goes through all steps before the next one is made, so that the memory in use is a few
//! batches, whatever the length of the stream. [`evaluate`] is the plain meaning: each step takes its whole stream
//! before the next step begins. Both give the same.

use crate::step::{BatchSize, Call, Fault, ItemBatch, StepOutputs, WiredInput};

use super::node::{StreamConsumer, StreamSection};
use super::section_account::{SectionAccount, SectionPlan};
use super::section_end::close;
use super::section_member::{GivenBatch, MemberRun};

/// Runs the section batch by batch.
///
/// # Errors
/// If the run is given up.
pub(super) fn run(section: &StreamSection, call: &Call) -> Result<StepOutputs, Fault> {
    let mut run = SectionRun { section, call, members: members(section, call) };
    for index in 0..section.members.len() {
        let given = run.members[index].begin(call);
        run.pass(index, given)?;
    }
    for index in 0..section.members.len() {
        let given = run.members[index].end(call);
        run.pass(index, given)?;
    }
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
                    given.extend(member.take(consumer.input, batch.clone(), call));
                    given.extend(std::iter::from_fn(|| member.next(whole, call)));
                }
            }
        }
        given.extend(member.end(call));
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
}

impl SectionRun<'_, '_> {
    /// Passes on what a member gave, and what it goes on to make.
    fn pass(&mut self, index: usize, given: Vec<GivenBatch>) -> Result<(), Fault> {
        for (output, batch) in given {
            self.spread(index, output, batch)?;
        }
        while let Some((output, batch)) = self.members[index].next(BatchSize::TRAVELLING, self.call) {
            self.call.token.check()?;
            self.spread(index, output, batch)?;
        }
        Ok(())
    }

    /// Brings a batch to all that take it. The last of them gets it as it is.
    fn spread(&mut self, index: usize, output: &'static str, batch: ItemBatch) -> Result<(), Fault> {
        let section = self.section;
        let is_taker = |consumer: &&StreamConsumer| consumer.output == output;
        let mut takers = section.members[index].consumers.iter().filter(is_taker).peekable();
        let mut batch = Some(batch).filter(|batch| !batch.is_empty());
        while let Some(StreamConsumer { member, input, .. }) = takers.next() {
            let its = if takers.peek().is_some() { batch.clone() } else { batch.take() };
            let Some(its) = its else { break };
            let given = self.members[*member].take(*input, its, self.call);
            self.pass(*member, given)?;
        }
        Ok(())
    }
}

fn members<'a>(section: &'a StreamSection, call: &Call) -> Vec<MemberRun<'a>> {
    let plan = match call.inputs.get(SectionAccount::PLAN) {
        WiredInput::One(value) => value.get::<SectionPlan>(),
        WiredInput::Absent | WiredInput::Each(_) => None,
    };
    let skips = plan.map(|plan| plan.skips.clone()).expect("a section runs with its plan");
    let members = section.members.iter().zip(skips);
    members.map(|(member, skip)| MemberRun::new(member, skip, call, &section.border)).collect()
}
