//! Steps of a stream that say `on: LABEL` by themselves: their batches are worked on by other processes than the stream.
//!
//! Where the stream runs, such a batch is asked about like a call: several are under way at once, and their results go on
//! in the order of the items. Items and batches are treated by themselves, so that the results do not depend on the
//! places.

use std::sync::Arc;

use crate::step::{
    BatchSize, Call, CallEnvironment, CallFault, CallFunction, CancelToken, Fault, InputTake, OutputCount,
    PlacedBatch, ResultIdentity, StepDeclaration, StreamFunction, Value, WiredInput,
};

use super::Dataflow;
use super::input_source::{FormReader, InputSource};
use super::node::{DataflowNode, MemberSource, SectionMember, StreamRole};
use super::perform::{broken, guarded};

/// The size of batches of a step that takes items one by one, if the dataflow file does not say another: so large that
/// the way costs little, and so small that all processes have some.
const ITEMS: BatchSize = BatchSize { items: 64, bytes: 1 << 20 };

/// Whether batches of a step can be worked on without the rest of the stream: it gives one item for each.
pub(super) fn is_by_item(role: StreamRole, step: &StepDeclaration) -> bool {
    let takes = step.inputs.first().is_some_and(|input| input.take == InputTake::One);
    let gives = matches!(step.outputs.as_slice(), [output] if output.count == OutputCount::One);
    role == StreamRole::Items && takes && gives && !step.joins
}

/// The function that has other processes work on the batches of a member; `None` if it runs where the stream runs.
pub(super) fn asks_elsewhere(
    index: usize,
    member: &SectionMember,
    environment: &Arc<dyn CallEnvironment>,
) -> Option<CallFunction> {
    let node = &member.node;
    // The items come in at the first input: that has been checked.
    member.sources.first().filter(|source| matches!(source, MemberSource::Streams(_)))?;
    let label = node.label().filter(|label| environment.is_elsewhere(label.as_str()))?.clone();
    let first = node.step.declaration.inputs.first()?.name;
    Some(Arc::new(move |items, call, attempt| {
        let inputs = call.inputs.clone().replaced(first, WiredInput::Each(items.to_vec()));
        let batch = PlacedBatch { label: label.as_str(), member: index, inputs: &inputs, attempt };
        call.environment.answer_elsewhere(&batch, call.token)
    }))
}

/// The size of the batches of a member that go to other processes.
pub(super) fn size(node: &DataflowNode) -> BatchSize {
    let usual = if node.step.declaration.batches { BatchSize::TAKEN } else { ITEMS };
    node.batch.unwrap_or(usual)
}

impl DataflowNode {
    /// The member of a section with this index.
    fn member(&self, index: usize) -> Option<&SectionMember> {
        self.section.as_ref()?.members.get(index)
    }

    /// The step of the member of a section with this index.
    pub fn member_step(&self, index: usize) -> Option<&DataflowNode> {
        self.member(index).map(|member| &member.node)
    }

    /// The source of an input of a member of a section, for a process that is sent a batch of it.
    pub fn batch_source(&self, dataflow: &Dataflow, member: usize, input: usize) -> Option<InputSource> {
        match self.member(member)?.sources.get(input)? {
            MemberSource::Absent => None,
            MemberSource::Border(index) => self.input_source(dataflow, *index),
            MemberSource::Streams(members) => {
                let (before, kind) = (
                    self.member(*members.first()?)?,
                    self.member(member)?.node.step.declaration.inputs[input].kind,
                );
                let outputs = &before.node.step.declaration.outputs;
                let output = outputs.iter().find(|output| output.kind == kind)?;
                Some(InputSource::Form(output.read))
            }
        }
    }

    /// The function that reads the results of a member of a section from their form.
    pub fn result_form(&self, member: usize) -> Option<FormReader> {
        Some(self.member(member)?.node.step.declaration.outputs.first()?.read)
    }

    /// Works on a batch of a member of a section: gives a result for each item, in order.
    ///
    /// # Errors
    /// The fault of the whole attempt.
    pub fn answer_batch(
        &self,
        batch: &PlacedBatch,
        identity: &ResultIdentity,
        token: &CancelToken,
        environment: &Arc<dyn CallEnvironment>,
    ) -> Result<Vec<Result<Value, Fault>>, CallFault> {
        let unknown = || CallFault::from(broken("a batch came for a step that does not take one"));
        let node = self.member_step(batch.member).ok_or_else(unknown)?;
        let declaration = &node.step.declaration;
        let (input, output) = match (declaration.inputs.first(), declaration.outputs.first()) {
            (Some(input), Some(output)) if is_by_item(node.stream, declaration) => (input.name, output.name),
            _ => return Err(unknown()),
        };
        let WiredInput::Each(items) = batch.inputs.get(input) else { return Err(unknown()) };
        let identity = ResultIdentity { step: Arc::clone(&node.name), ..identity.clone() };
        if let StreamFunction::Calls(ask) | StreamFunction::Batches(_, ask) = node.step.stream() {
            let inputs = batch.inputs.clone().replaced(input, WiredInput::Absent);
            let parameters = &node.parameters;
            let call = Call { inputs: &inputs, parameters, identity: &identity, token, environment };
            return guarded(|| ask(items, &call, batch.attempt))
                .unwrap_or_else(|panic| Err(broken(&panic).into()));
        }
        let each = |item: &Value| {
            token.check()?;
            let inputs = batch.inputs.clone().replaced(input, WiredInput::One(item.clone()));
            let outputs = node.perform(&identity, &inputs, token, environment)?;
            outputs.get(output).cloned().ok_or_else(|| broken("it gave no result"))
        };
        Ok(items.iter().map(each).collect())
    }
}
