//! The parts of which a call of a step in a section is made, and the guard around it.

use crate::step::{Call, Fault, ResultIdentity, StepInputs, Value, WiredInput};

use super::node::{MemberSource, SectionMember};
use super::perform::{broken, guarded};

/// What a call of a member is made of.
pub(super) struct CallParts<'a> {
    pub member: &'a SectionMember,
    pub inputs: &'a StepInputs,
    pub identity: &'a ResultIdentity,
}

impl CallParts<'_> {
    /// Makes the call, with an item at the input that takes the stream, for a function.
    pub fn with<R>(&self, call: &Call, item: Option<Value>, run: impl FnOnce(&Call) -> R) -> R {
        let parameters = &self.member.node.parameters;
        let with_item = item.and_then(|value| {
            let is_stream = |source: &MemberSource| matches!(source, MemberSource::Streams(_));
            let input = self.member.sources.iter().position(is_stream)?;
            let name = self.member.node.step.declaration.inputs[input].name;
            Some(self.inputs.clone().replaced(name, WiredInput::One(value)))
        });
        let inputs = with_item.as_ref().unwrap_or(self.inputs);
        run(&Call {
            inputs,
            parameters,
            identity: self.identity,
            token: call.token,
            environment: call.environment,
        })
    }
}

pub(super) fn guard(work: &mut dyn FnMut()) -> Result<(), Fault> {
    guarded(work).map_err(|panic| broken(&panic))
}
