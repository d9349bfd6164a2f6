//! Where the values at the inputs of a node come from, for a process that is sent them.

use std::io;

use crate::step::{PathOf, StepOutcomes, Value};

use super::section_account::{SectionAccount, SectionPlan};
use super::{Dataflow, DataflowNode, InputWire};

/// A function that reads a value from its form on disk.
pub type FormReader = fn(&[u8], PathOf) -> io::Result<Value>;

/// The source of the values at an input.
#[derive(Clone, Copy, Debug)]
pub enum InputSource {
    /// The request itself.
    Request,
    /// Items of the request.
    Items,
    /// Values that are read from their form on disk by this function.
    Form(FormReader),
}

impl DataflowNode {
    /// The name of the input with the plan of a section, which stands behind the declared ones.
    pub fn plan_input(&self) -> Option<&'static str> {
        self.section.as_ref().map(|_| SectionAccount::PLAN)
    }

    /// The source of the input with this index; behind the declared ones a section has its plan. `None` for an input
    /// that has no value.
    pub fn input_source(&self, dataflow: &Dataflow, input: usize) -> Option<InputSource> {
        match self.wires.get(input) {
            Some(InputWire::Request) => Some(InputSource::Request),
            Some(InputWire::Items) => Some(InputSource::Items),
            Some(InputWire::Outcomes) => Some(InputSource::Form(Value::read::<StepOutcomes>)),
            Some(InputWire::Port(port)) => {
                let outputs = &dataflow.nodes[port.node].step.declaration.outputs;
                let output = outputs.iter().find(|output| output.name == port.output)?;
                Some(InputSource::Form(output.read))
            }
            Some(InputWire::Absent | InputWire::Merge(_)) => None,
            None => self.section.as_ref().map(|_| InputSource::Form(Value::read::<SectionPlan>)),
        }
    }
}
