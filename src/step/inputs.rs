//! The values at the inputs of a step.

use super::{Digest, Value};

/// The values at a step's inputs, by name of the input.
#[derive(Clone, Debug, Default)]
pub struct StepInputs(Vec<(&'static str, WiredInput)>);

/// The value or values at one input.
#[derive(Clone, Debug)]
pub enum WiredInput {
    /// One value.
    One(Value),
    /// One value per item, in the order of the items.
    Each(Vec<Value>),
    /// No value: an optional input that is not wired, or whose source was skipped.
    Absent,
}

impl StepInputs {
    /// Adds the value at the input `name`.
    #[must_use]
    pub fn with(mut self, name: &'static str, wired: WiredInput) -> StepInputs {
        self.push(name, wired);
        self
    }

    /// The inputs with another value at the input `name`.
    #[must_use]
    pub fn replaced(mut self, name: &str, wired: WiredInput) -> StepInputs {
        if let Some((_, value)) = self.0.iter_mut().find(|(input, _)| *input == name) {
            *value = wired;
        }
        self
    }

    /// Adds the value at the input `name`.
    pub fn push(&mut self, name: &'static str, wired: WiredInput) {
        self.0.push((name, wired));
    }

    /// The values in the order of the inputs.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &WiredInput)> {
        self.0.iter().map(|(name, wired)| (*name, wired))
    }

    /// The digest of the value at each input. Where there is one value per item, one digest covers all.
    pub fn digests(&self) -> Vec<(&'static str, Digest)> {
        self.0.iter().map(|(name, wired)| (*name, wired.digest())).collect()
    }

    /// The value at the input `name`.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn get(&self, name: &str) -> &WiredInput {
        let found = self.0.iter().find(|(input, _)| *input == name);
        &found.unwrap_or_else(|| panic!("the step has no input {name:?}")).1
    }
}

impl WiredInput {
    fn digest(&self) -> Digest {
        let parts = |kind: &'static [u8], values: &[Value]| {
            let digests: Vec<Digest> = values.iter().map(Value::digest).collect();
            let digests = digests.iter().map(|digest| digest.as_bytes().as_slice());
            Digest::of_parts(std::iter::once(kind).chain(digests))
        };
        match self {
            WiredInput::One(value) => value.digest(),
            WiredInput::Each(values) => parts(b"each", values),
            WiredInput::Absent => parts(b"absent", &[]),
        }
    }
}
