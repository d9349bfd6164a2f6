//! Ways that are off: steps that do not run, behind a route, where streams meet again further on.
//!
//! The items of the other ways go on without those that the route sends there, and the response says how many these are.

use crate::step::{OutcomeReason, StepReservation};

use super::node::{StreamConsumer, StreamSection};

/// An output of a route whose items no step takes, though others of the same route go on.
pub(super) struct OffWay {
    output: &'static str,
    /// The name of the step that would take them.
    step: String,
    items: u64,
}

impl OffWay {
    /// The ways that are off behind a member, as the plan says which members are.
    pub fn behind(section: &StreamSection, index: usize, skips: &[Option<OutcomeReason>]) -> Vec<OffWay> {
        let member = &section.members[index];
        if skips[index].is_some() || !member.node.step.declaration.routes() {
            return Vec::new();
        }
        let way = |output: &'static str| {
            let takers: Vec<&StreamConsumer> =
                member.consumers.iter().filter(|consumer| consumer.output == output).collect();
            let is_off = takers.iter().all(|taker| skips[taker.member].is_some());
            let meets = takers.iter().any(|taker| goes_on(section, taker.member, skips));
            let first = takers.first().filter(|_| is_off && meets)?;
            let step = section.members[first.member].node.name.to_string();
            Some(OffWay { output, step, items: 0 })
        };
        member.node.step.declaration.outputs.iter().filter_map(|output| way(output.name)).collect()
    }

    /// Counts items that the route gives at an output.
    pub fn count(&mut self, output: &str, items: usize) {
        if self.output == output {
            self.items += items as u64;
        }
    }

    /// What the response says about the way, from its counts in each round of a loop.
    pub fn reservation(rounds: &[&OffWay]) -> Option<StepReservation> {
        let items: u64 = rounds.iter().map(|way| way.items).sum();
        let OffWay { output, step, .. } = rounds.first().filter(|_| items > 0)?;
        let text = format!(
            "items that went to \"{output}\" and no further, as \"{step}\" does not run: {items}; the results are without \
             them"
        );
        Some(StepReservation { code: "way_off".to_owned(), text })
    }
}

/// Whether a step that runs takes streams which pass a member that does not.
fn goes_on(section: &StreamSection, index: usize, skips: &[Option<OutcomeReason>]) -> bool {
    let mut takers = section.members[index].consumers.iter().map(|consumer| consumer.member);
    takers.any(|taker| skips[taker].is_none() || goes_on(section, taker, skips))
}
