//! Chains of a section: steps of one program, each directly behind the one before.
//!
//! A chain takes the place of the kernels of its steps while a stream is pulled through them. What becomes of each item
//! is counted at its step as ever, and the plain meaning of a section knows no chains.

use std::sync::Arc;

use crate::step::{BatchSize, Call, ChainLink, ChainRun, ItemBatch, ItemTally, StreamChain};

use super::node::{MemberSource, RoundPart, SectionMember, StreamConsumer, StreamRole, StreamSection};
use super::section_member::{GivenBatch, MemberRun};
use super::section_parts::guard;

/// The chains of a section, each at the place of its first member.
pub(super) struct SectionChains(Vec<Option<MemberChain>>);

struct MemberChain {
    /// The members, in their order.
    members: Vec<usize>,
    chain: Box<dyn StreamChain>,
}

impl SectionChains {
    /// The chains of members whose steps can be in one.
    pub fn among(section: &StreamSection, runs: &[MemberRun]) -> SectionChains {
        let next: Vec<Option<usize>> = (0..runs.len()).map(|index| follower(section, runs, index)).collect();
        let follows = |index: usize| next.contains(&Some(index));
        let chain = |first: usize| {
            if follows(first) {
                return None;
            }
            let members: Vec<usize> = std::iter::successors(Some(first), |index| next[*index]).collect();
            let factory = section.members[first].node.step.chain().filter(|_| members.len() > 1)?;
            let links = members.iter().map(|index| {
                let node = &section.members[*index].node;
                ChainLink { step: node.step.declaration.name, size: node.batch.unwrap_or(BatchSize::TAKEN) }
            });
            let chain = factory(&links.collect::<Vec<ChainLink>>());
            Some(MemberChain { members, chain })
        };
        SectionChains((0..runs.len()).map(chain).collect())
    }

    /// Takes a batch at the first member of a chain. Gives what its last member makes of it, with the index of that; or
    /// the batch, if it does not go into a chain.
    pub fn take(
        &mut self,
        at: &StreamConsumer,
        batch: ItemBatch,
        runs: &mut [MemberRun],
        call: &Call,
    ) -> Result<(usize, Vec<GivenBatch>), ItemBatch> {
        match &mut self.0[at.member] {
            Some(chain) => Ok(chain.work(runs, call, |chain, run| chain.take(batch, run))),
            None => Err(batch),
        }
    }

    /// Gives what the members of the chain that begins here keep back, with the index of the last one.
    pub fn flush(
        &mut self,
        first: usize,
        runs: &mut [MemberRun],
        call: &Call,
    ) -> Option<(usize, Vec<GivenBatch>)> {
        let chain = self.0[first].as_mut()?;
        Some(chain.work(runs, call, |chain, run| chain.flush(run)))
    }
}

impl MemberChain {
    fn work(
        &mut self,
        runs: &mut [MemberRun],
        call: &Call,
        work: impl FnOnce(&mut dyn StreamChain, &mut ChainRun),
    ) -> (usize, Vec<GivenBatch>) {
        let last = *self.members.last().expect("a chain has members");
        let output = runs[last].member.node.step.declaration.outputs[0].name;
        let mut tallies: Vec<ItemTally> =
            self.members.iter().map(|index| std::mem::take(&mut runs[*index].tally)).collect();
        let mut given = Vec::new();
        let calls = self.members.iter().map(|index| {
            let MemberRun { member, inputs, identity, .. } = &runs[*index];
            let parameters = &member.node.parameters;
            Call { inputs, parameters, identity, token: call.token, environment: call.environment }
        });
        let mut run = ChainRun {
            calls: &calls.collect::<Vec<Call>>(),
            guard,
            tallies: &mut tallies,
            give: &mut |batch| given.push((output, batch)),
        };
        work(&mut *self.chain, &mut run);
        self.members.iter().zip(tallies).for_each(|(index, tally)| runs[*index].tally = tally);
        (last, given)
    }
}

/// The member that alone takes what this one gives, directly and with a step that the same factory chains.
fn follower(section: &StreamSection, runs: &[MemberRun], index: usize) -> Option<usize> {
    let [StreamConsumer { member: next, input: 0, way: None, .. }] = *section.members[index].consumers else {
        return None;
    };
    let factory = |index: usize| {
        let member = &section.members[index];
        member.node.step.chain().filter(|_| runs[index].has_kernel() && can_chain(member))
    };
    let (factory, of_next) = (factory(index)?, factory(next)?);
    Arc::ptr_eq(factory, of_next).then_some(next)
}

/// Whether the member takes the items of one other, and nothing holds them back.
fn can_chain(member: &SectionMember) -> bool {
    let takes_one =
        matches!(member.sources.first(), Some(MemberSource::Streams(members)) if members.len() == 1);
    let others = member.sources.iter().skip(1);
    let takes_first = !others.into_iter().any(|source| matches!(source, MemberSource::Streams(_)));
    member.node.stream == StreamRole::Items && member.part == RoundPart::Step && takes_one && takes_first
}
