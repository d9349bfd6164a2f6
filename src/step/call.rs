//! What a step is given when it runs, and what it gives back.
//!
//! The accessors take names and types as the step declared them. A name or type that was not
//! declared is a mistake in the step's own code and panics; the caller turns a panic into a fault.

use super::{Digest, Parameters, Payload, Setting, Token, Value};

/// The values at a step's inputs.
#[derive(Clone, Debug, Default)]
pub struct Inputs(Vec<(&'static str, Wired)>);

/// What arrives at one input.
#[derive(Clone, Debug)]
pub enum Wired {
    /// One value.
    One(Value),
    /// One value per item, in the order of the items.
    Each(Vec<Value>),
    /// Nothing: an optional input that is not wired, or whose source was skipped.
    Absent,
}

impl Inputs {
    pub fn with(mut self, name: &'static str, wired: Wired) -> Inputs {
        self.push(name, wired);
        self
    }

    pub fn push(&mut self, name: &'static str, wired: Wired) {
        self.0.push((name, wired));
    }

    /// What is at each input, by its digest: of all values together where there is one per item.
    pub fn digests(&self) -> Vec<(&'static str, Digest)> {
        self.0.iter().map(|(name, wired)| (*name, wired.digest())).collect()
    }

    fn get(&self, name: &str) -> &Wired {
        let found = self.0.iter().find(|(input, _)| *input == name);
        &found.unwrap_or_else(|| panic!("the step has no input {name:?}")).1
    }
}

impl Wired {
    fn digest(&self) -> Digest {
        let parts = |kind: &'static [u8], values: &[Value]| {
            let digests: Vec<Digest> = values.iter().map(Value::digest).collect();
            let digests = digests.iter().map(|digest| digest.as_bytes().as_slice());
            Digest::of_parts(std::iter::once(kind).chain(digests))
        };
        match self {
            Wired::One(value) => value.digest(),
            Wired::Each(values) => parts(b"each", values),
            Wired::Absent => parts(b"absent", &[]),
        }
    }
}

/// What identifiers of generated results are made of, so that the same request through the same
/// dataflow gives the same identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub request: Digest,
    /// The dataflow's digest.
    pub dataflow: Digest,
    /// The step's name in the dataflow.
    pub step: String,
    /// Which answer to the request it is for: 0 the final one, 1 the one that a deadline makes.
    pub edition: u32,
}

/// One run of a step.
pub struct Call<'a> {
    pub inputs: &'a Inputs,
    pub parameters: &'a Parameters,
    pub identity: &'a Identity,
    /// Set when the run is given up. It says nothing of the data: no result may depend on it.
    pub token: &'a Token,
}

impl<'a> Call<'a> {
    pub fn input<T: Payload>(&self, name: &str) -> &'a T {
        self.optional(name).unwrap_or_else(|| panic!("the input {name:?} is not a single value"))
    }

    pub fn optional<T: Payload>(&self, name: &str) -> Option<&'a T> {
        match self.inputs.get(name) {
            Wired::One(value) => Some(typed(name, value)),
            Wired::Absent => None,
            Wired::Each(_) => panic!("the input {name:?} has a value per item"),
        }
    }

    /// The values of all items, in the order of the items.
    pub fn each<T: Payload>(&self, name: &str) -> Vec<&'a T> {
        match self.inputs.get(name) {
            Wired::Each(values) => values.iter().map(|value| typed(name, value)).collect(),
            Wired::One(_) | Wired::Absent => panic!("the input {name:?} has no value per item"),
        }
    }

    pub fn number(&self, name: &str) -> f64 {
        match self.setting(name) {
            Setting::Number(number) => *number,
            other => panic!("the parameter {name:?} is {other:?}, not a number"),
        }
    }

    pub fn numbers(&self, name: &str) -> &'a [f64] {
        match self.setting(name) {
            Setting::Numbers(numbers) => numbers,
            other => panic!("the parameter {name:?} is {other:?}, not a list of numbers"),
        }
    }

    pub fn text(&self, name: &str) -> &'a str {
        match self.setting(name) {
            Setting::Text(text) => text,
            other => panic!("the parameter {name:?} is {other:?}, not a text"),
        }
    }

    pub fn texts(&self, name: &str) -> &'a [String] {
        match self.setting(name) {
            Setting::Texts(texts) => texts,
            other => panic!("the parameter {name:?} is {other:?}, not a list of texts"),
        }
    }

    pub fn flag(&self, name: &str) -> bool {
        match self.setting(name) {
            Setting::Flag(flag) => *flag,
            other => panic!("the parameter {name:?} is {other:?}, not true or false"),
        }
    }

    /// The UID of this step's result number `output`: the same for the same request, dataflow, step
    /// and edition.
    pub fn uid(&self, output: u64) -> String {
        let Identity { request, dataflow, step, edition } = self.identity;
        let (number, edition) = (output.to_le_bytes(), edition.to_le_bytes());
        let parts: [&[u8]; 4] = [request.as_bytes(), dataflow.as_bytes(), step.as_bytes(), &number];
        // The final answer's identifiers are made of four parts alone, as they always were.
        let fifth = (self.identity.edition > 0).then_some(edition.as_slice());
        Digest::of_parts(parts.into_iter().chain(fifth)).uid()
    }

    fn setting(&self, name: &str) -> &'a Setting {
        self.parameters.get(name).unwrap_or_else(|| panic!("the step has no parameter {name:?}"))
    }
}

fn typed<'a, T: Payload>(name: &str, value: &'a Value) -> &'a T {
    value.get().unwrap_or_else(|| panic!("the input {name:?} is a {}, not a {}", value.kind(), T::TYPE))
}

/// What a step gives, by output name.
#[derive(Clone, Debug, Default)]
pub struct Outputs(Vec<(&'static str, Value)>);

impl Outputs {
    pub fn one<T: Payload>(name: &'static str, data: T) -> Outputs {
        Outputs::default().with(name, data)
    }

    pub fn with<T: Payload>(mut self, name: &'static str, data: T) -> Outputs {
        self.0.push((name, Value::new(data)));
        self
    }

    pub fn push(&mut self, name: &'static str, value: Value) {
        self.0.push((name, value));
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(output, _)| *output == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}
