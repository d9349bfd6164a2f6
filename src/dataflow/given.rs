//! The sources that every dataflow has: the request, its items, and the outcomes of the work.

use super::{Phase, Wire};
use crate::step::{Item, Outcomes, Payload, Request};

/// A source that a need can name besides steps.
pub(super) struct Given {
    pub name: &'static str,
    pub kind: &'static str,
    pub phases: &'static [Phase],
    pub wire: Wire,
}

pub(super) static GIVEN: [Given; 3] = [
    Given {
        name: "request",
        kind: Request::TYPE,
        phases: &[Phase::Work, Phase::Failure],
        wire: Wire::Request,
    },
    Given { name: "request.items", kind: Item::TYPE, phases: &[Phase::Work], wire: Wire::Items },
    Given { name: "outcomes", kind: Outcomes::TYPE, phases: &[Phase::Failure], wire: Wire::Outcomes },
];
