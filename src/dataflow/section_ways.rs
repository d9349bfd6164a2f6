//! Ways that are off: steps that do not run, where streams meet again further on.
//!
//! The items of the other ways go on without those that would come on these, and the response says how many these are. A
//! way that meets no other ends where it is switched off, and has no entry. A stream that several steps take has none
//! either, if all of its items come to the same place on a way that runs. If only some do, the routes on that way count
//! those that leave it.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The ways that are off, for each member those that it counts, as the plan says which members run.
    pub fn of_section(section: &StreamSection, skips: &[Option<OutcomeReason>]) -> Vec<Vec<OffWay>> {
        let mut counted: Vec<Vec<OffWay>> = section.members.iter().map(|_| Vec::new()).collect();
        if skips.iter().all(Option::is_none) {
            return counted;
        }
        let plan = WayPlan { members: &section.members, skips };
        let mut reaches: BTreeMap<(usize, usize), PlaceReach> = BTreeMap::new();
        for OffMeeting { from, off, place } in plan.all_meetings() {
            let names = [off, place.0].map(|member| section.members[member].node.name.to_string());
            let reach = reaches.entry(place).or_insert_with(|| plan.reach(place));
            for (at, output) in plan.leaks(from, reach) {
                let way = OffWay { output, names: names.clone(), items: 0 };
                if counted[at].iter().all(|other| !other.is_same(&way)) {
                    counted[at].push(way);
                }
            }
        }
        counted
    }

    fn is_same(&self, other: &OffWay) -> bool {
        (self.output, &self.names) == (other.output, &other.names)
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

/// An output of a member.
type MemberOutput = (usize, &'static str);

/// An input of a member.
type MemberInput = (usize, usize);

/// A way from an output to a place, on which a member does not run.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct OffMeeting {
    from: MemberOutput,
    /// The first member on the way that does not run.
    off: usize,
    place: MemberInput,
}

/// The members from which items come to a place on ways that run.
struct PlaceReach {
    place: MemberInput,
    /// Whether all items of a member come there, or fail before. Of a route, all of its outputs have to lead there, as
    /// nobody knows which an item takes.
    all: Vec<bool>,
    /// Whether a way leads there.
    some: Vec<bool>,
    /// Whether a way leads there, or to the bound of a loop.
    some_or_fail: Vec<bool>,
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

    fn routes(&self, index: usize) -> bool {
        self.members[index].node.step.declaration.routes()
    }

    fn takers(&self, (index, output): MemberOutput) -> impl Iterator<Item = &'a StreamConsumer> {
        self.members[index].consumers.iter().filter(move |consumer| consumer.output == output)
    }

    fn outputs(&self, index: usize) -> impl Iterator<Item = MemberOutput> {
        let outputs = &self.members[index].node.step.declaration.outputs;
        outputs.iter().map(move |output| (index, output.name))
    }

    /// The ways that are off behind members that make items or choose their ways.
    fn all_meetings(&self) -> BTreeSet<OffMeeting> {
        let begins = |index: &usize| {
            self.runs(*index)
                && (self.members[*index].node.stream == StreamRole::Makes || self.routes(*index))
        };
        let outputs = (0..self.members.len()).filter(begins).flat_map(|index| self.outputs(index));
        outputs.flat_map(|from| self.meetings(from)).collect()
    }

    /// The places at which steps that run would take items of an output behind one that does not, each after that one. The
    /// ways end at routes that run: these count what they give themselves.
    fn meetings(&self, from: MemberOutput) -> Vec<OffMeeting> {
        let mut places = Vec::new();
        // The members that the items reach, with the first before them that does not run. A member comes after those that
        // it needs, so the first entry has been reached on all its ways.
        let mut reached: BTreeMap<usize, Option<usize>> = BTreeMap::new();
        self.takers(from).for_each(|taker| _ = reached.insert(taker.member, None));
        while let Some((member, off)) = reached.pop_first() {
            let off = off.or(Some(member).filter(|_| !self.runs(member)));
            if off.is_none() && self.routes(member) {
                continue;
            }
            for taker in &self.members[member].consumers {
                match off {
                    Some(off) if self.runs(taker.member) => {
                        places.push(OffMeeting { from, off, place: (taker.member, taker.input) });
                    }
                    _ => _ = reached.entry(taker.member).or_insert(off),
                }
            }
        }
        places
    }

    /// The members from which items come to a place.
    fn reach(&self, place: MemberInput) -> PlaceReach {
        let none = vec![false; self.members.len()];
        let mut reach = PlaceReach { place, all: none.clone(), some: none.clone(), some_or_fail: none };
        for before in (0..place.0).rev() {
            if self.members[before].part == RoundPart::Bound {
                (reach.all[before], reach.some_or_fail[before]) = (true, true);
                continue;
            }
            let mut outputs = self.outputs(before).map(|from| self.leads(from, &reach, &reach.all));
            let all =
                if self.routes(before) { outputs.all(|leads| leads) } else { outputs.any(|leads| leads) };
            let some = |leading: &[bool]| self.outputs(before).any(|from| self.leads(from, &reach, leading));
            let (some, some_or_fail) = (some(&reach.some), some(&reach.some_or_fail));
            (reach.all[before], reach.some[before], reach.some_or_fail[before]) = (all, some, some_or_fail);
        }
        reach
    }

    /// Whether the items of an output come to the place, where `leading` says from which members they do.
    fn leads(&self, from: MemberOutput, reach: &PlaceReach, leading: &[bool]) -> bool {
        self.takers(from).any(|taker| {
            (taker.member, taker.input) == reach.place || self.runs(taker.member) && leading[taker.member]
        })
    }

    /// The outputs at which items leave all ways that run from an output to a place: the output itself, if there are none,
    /// or outputs of the routes on one of them.
    fn leaks(&self, from: MemberOutput, reach: &PlaceReach) -> Vec<MemberOutput> {
        if !self.leads(from, reach, &reach.some) && !self.leads(from, reach, &reach.all) {
            return vec![from];
        }
        let (mut seen, mut next, mut leaks) = (BTreeSet::new(), vec![from], Vec::new());
        while let Some(from) = next.pop() {
            if !seen.insert(from) || self.leads(from, reach, &reach.all) {
                continue;
            }
            let mut takers = self.takers(from).filter(|taker| self.runs(taker.member));
            match takers.find(|taker| reach.some_or_fail[taker.member]) {
                None => leaks.push(from),
                Some(taker) if self.routes(taker.member) => next.extend(self.outputs(taker.member)),
                Some(taker) => {
                    let mut outputs = self.outputs(taker.member);
                    next.extend(outputs.find(|from| self.leads(*from, reach, &reach.some_or_fail)));
                }
            }
        }
        leaks
    }
}
