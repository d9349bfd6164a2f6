//! The checks of loops: items that go back to a step before.

use std::collections::BTreeSet;

use super::StreamRole;
use super::stream_roles::StreamCheck;
use super::unroll::between;
use super::wiring::AgainLink;
use crate::yaml::ProblemCollector;

/// The most steps that a loop has in all its rounds together.
const ROUND_STEPS_MAX: usize = 300;

impl StreamCheck<'_> {
    /// Checks each loop by itself, and that no two share a step.
    pub(super) fn check_loops(&self, order: &[usize], collector: &mut ProblemCollector) {
        let mut bodies: Vec<(usize, BTreeSet<usize>)> = Vec::new();
        for node in order {
            let Some(again) = self.wiring.again(*node) else { continue };
            let body = self.check_loop(*node, again, collector);
            if let Some((other, _)) = bodies.iter().find(|(_, other)| !other.is_disjoint(&body)) {
                let (name, other) = (self.plan.name(*node), self.plan.name(*other));
                let message = format!("the loops of \"{other}\" and \"{name}\" share a step");
                let hint = "a loop is done when its items have left it; let one begin behind the other";
                collector.add(again.place, message).hint(hint.to_owned());
            }
            bodies.push((*node, body));
        }
    }

    fn check_loop(
        &self,
        node: usize,
        again: &AgainLink,
        collector: &mut ProblemCollector,
    ) -> BTreeSet<usize> {
        let (name, back) = (self.plan.name(node), again.edge.back.node);
        let takes_stream =
            self.wiring.links(node).get(again.edge.input).is_some_and(|link| self.brings_stream(link));
        if self.roles[node] != StreamRole::Items || !takes_stream {
            let message =
                format!("\"{name}\" takes no items of a stream at this input, so that none can come back");
            collector.add(again.place, message);
            return BTreeSet::new();
        }
        let body = between(self.roles.len(), node, back, |node| self.stream_sources(node));
        if body.is_empty() || !self.roles[back].gives_stream() {
            let message = format!(
                "what \"{}\" gives does not come from \"{name}\", so that nothing goes round",
                self.plan.name(back)
            );
            let hint = "items come back from a step behind; from a step before, write them under \"needs\"";
            collector.add(again.place, message).hint(hint.to_owned());
        }
        let joins =
            |node: &&usize| self.plan.declaration(**node).is_some_and(|declaration| declaration.joins);
        if let Some(join) = body.iter().find(joins) {
            let message = format!(
                "\"{}\" joins streams and cannot be in the loop of \"{name}\"",
                self.plan.name(*join)
            );
            let hint = "join before the loop begins, or behind it";
            collector.add(again.place, message).hint(hint.to_owned());
        }
        if body.len() * (again.edge.max as usize + 1) > ROUND_STEPS_MAX {
            let message = format!(
                "the loop of \"{name}\" has {} steps, which are too many for {} rounds",
                body.len(),
                again.edge.max
            );
            collector.add(again.place, message);
        }
        body
    }
}
