//! Ways that are off: steps that do not run, where streams meet again further on.
//!
//! The items of the other ways go on without those that would come on these, and the response says how many these are. A
//! way that meets no other ends where it is switched off, and has no entry. A stream that several steps take has none
//! either, if all of its items come to the same place on a way that runs.

use std::collections::BTreeMap;

use crate::step::{OutcomeReason, StepReservation};

use super::node::{RoundPart, SectionMember, StreamConsumer, StreamRole, StreamSection};

/// The items of an output that do not come to a step, as one on their way does not run.
pub(super) struct OffWay {
    output: &'static str,
    /// The names of the first step on the way that does not run, and of the one to which it would lead.
    names: [String; 2],
    items: u64,
}

impl OffWay {
    /// The ways that are off behind a member that begins some, as the plan says which members are.
    pub fn behind(section: &StreamSection, index: usize, skips: &[Option<OutcomeReason>]) -> Vec<OffWay> {
        let member = &section.members[index];
        let begins = member.node.stream == StreamRole::Makes || member.node.step.declaration.routes();
        if !begins || skips[index].is_some() || skips.iter().all(Option::is_none) {
            return Vec::new();
        }
        let plan = WayPlan { members: &section.members, skips };
        let mut ways: Vec<OffWay> = Vec::new();
        for output in &member.node.step.declaration.outputs {
            for (off, place) in plan.meetings(index, output.name) {
                let names = [off, place.member].map(|member| section.members[member].node.name.to_string());
                let is_known = ways.iter().any(|way| way.output == output.name && way.names == names);
                if !is_known && !plan.all_come(index, output.name, place) {
                    ways.push(OffWay { output: output.name, names, items: 0 });
                }
            }
        }
        ways
    }

    /// Counts items that the step gives at an output.
    pub fn count(&mut self, output: &str, items: usize) {
        if self.output == output {
            self.items += items as u64;
        }
    }

    /// What the response says about the ways behind a step, from their counts in each round of a loop.
    pub fn reservations<'a>(rounds: impl Iterator<Item = &'a OffWay>) -> Vec<StepReservation> {
        let mut ways: BTreeMap<(&str, &[String; 2]), u64> = BTreeMap::new();
        rounds.for_each(|way| *ways.entry((way.output, &way.names)).or_default() += way.items);
        let counted = ways.into_iter().filter(|(_, items)| *items > 0);
        let reservation = |((output, [off, place]), items): ((&str, &[String; 2]), u64)| {
            let text = format!(
                "items of \"{output}\" that do not come to \"{place}\" by way of \"{off}\", which does not run: {items}; \
                 the results are without them"
            );
            StepReservation { code: "way_off".to_owned(), text }
        };
        counted.map(reservation).collect()
    }
}

/// The members of a section, with the decision about each.
struct WayPlan<'a> {
    members: &'a [SectionMember],
    skips: &'a [Option<OutcomeReason>],
}

impl<'a> WayPlan<'a> {
    fn runs(&self, index: usize) -> bool {
        self.skips[index].is_none()
    }

    fn takers(&self, index: usize, output: &str) -> impl Iterator<Item = &'a StreamConsumer> {
        self.members[index].consumers.iter().filter(move |consumer| consumer.output == output)
    }

    /// The places at which steps that run would take items of an output behind one that does not, each after that one. The
    /// ways end at routes that run: these count what they give themselves.
    fn meetings(&self, index: usize, output: &str) -> Vec<(usize, &'a StreamConsumer)> {
        let mut places = Vec::new();
        // The members that the items reach, with the first before them that does not run. A member comes after those that
        // it needs, so the first entry has been reached on all its ways.
        let mut reached: BTreeMap<usize, Option<usize>> = BTreeMap::new();
        self.takers(index, output).for_each(|taker| _ = reached.insert(taker.member, None));
        while let Some((member, off)) = reached.pop_first() {
            let off = off.or(Some(member).filter(|_| !self.runs(member)));
            if off.is_none() && self.members[member].node.step.declaration.routes() {
                continue;
            }
            for taker in &self.members[member].consumers {
                match off {
                    Some(off) if self.runs(taker.member) => places.push((off, taker)),
                    _ => _ = reached.entry(taker.member).or_insert(off),
                }
            }
        }
        places
    }

    /// Whether all items of an output come to a place, or fail before, on ways that run. Behind a route, all of its outputs
    /// have to lead there, as nobody knows which an item takes.
    fn all_come(&self, index: usize, output: &str, place: &StreamConsumer) -> bool {
        let mut come = vec![false; place.member];
        let leads = |come: &[bool], taker: &StreamConsumer| {
            let is_place = (taker.member, taker.input) == (place.member, place.input);
            is_place || self.runs(taker.member) && come.get(taker.member).is_some_and(|come| *come)
        };
        for before in (index + 1..place.member).rev() {
            let member = &self.members[before];
            let declaration = &member.node.step.declaration;
            let output_leads = |output: &str| self.takers(before, output).any(|taker| leads(&come, taker));
            let mut outputs = declaration.outputs.iter().map(|output| output_leads(output.name));
            come[before] = match declaration.routes() {
                _ if member.part == RoundPart::Bound => true,
                true => outputs.all(|leads| leads),
                false => outputs.any(|leads| leads),
            };
        }
        self.takers(index, output).any(|taker| leads(&come, taker))
    }
}
