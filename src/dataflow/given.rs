//! The sources that every dataflow has: the request, its items, and the outcomes of the work.

use super::{InputWire, NodePhase};
use crate::step::{Item, Payload, Request, StepOutcomes};

/// A source that a need can name besides steps.
pub(super) struct BuiltInOutput {
    pub name: &'static str,
    pub kind: &'static str,
    pub phases: &'static [NodePhase],
    pub wire: InputWire,
}

pub(super) static GIVEN: [BuiltInOutput; 3] = [
    BuiltInOutput {
        name: "request",
        kind: Request::TYPE,
        phases: &[NodePhase::Work, NodePhase::Failure],
        wire: InputWire::Request,
    },
    BuiltInOutput {
        name: "request.items",
        kind: Item::TYPE,
        phases: &[NodePhase::Work],
        wire: InputWire::Items,
    },
    BuiltInOutput {
        name: "outcomes",
        kind: StepOutcomes::TYPE,
        phases: &[NodePhase::Failure],
        wire: InputWire::Outcomes,
    },
];
