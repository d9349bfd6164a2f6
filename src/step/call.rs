//! The arguments and the result of one run of a step.
//!
//! The accessors of [`Call`] take names and types as the step declared them. An undeclared name or type
//! is a mistake in the step's code and panics; the engine turns the panic into a fault of kind `broken`.

use std::sync::Arc;

use super::{
    CallEnvironment, CancelToken, Digest, ParameterValue, Payload, StepInputs, StepParameters, Value,
    WiredInput,
};

/// The parts of which [`Call::uid`] computes identifiers: the same request through the same dataflow gets
/// the same identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultIdentity {
    /// The id of the request.
    pub request: Digest,
    /// The digest of the dataflow.
    pub dataflow: Digest,
    /// The name of the step in the dataflow.
    pub step: Arc<str>,
    /// The answer to the request: 0 is the final one, 1 the preliminary one of a deadline. Each retry by an
    /// operator adds 2.
    pub edition: u32,
}

impl ResultIdentity {
    /// Whether the answer is the preliminary one of a deadline: what its request still runs may never end.
    ///
    /// ```
    /// use flow::step::{Digest, ResultIdentity};
    ///
    /// let digest = Digest::of(b"digest");
    /// let of = |edition| ResultIdentity { request: digest, dataflow: digest, step: "page".into(), edition };
    /// assert_eq!([0, 1, 2, 3].map(|edition| of(edition).is_of_deadline()), [false, true, false, true]);
    /// ```
    pub fn is_of_deadline(&self) -> bool {
        self.edition % 2 == 1
    }
}

/// One run of a step: its arguments.
pub struct Call<'a> {
    /// The values at the inputs.
    pub inputs: &'a StepInputs,
    /// The parameters: those of the dataflow file, otherwise the defaults.
    pub parameters: &'a StepParameters,
    /// The source of identifiers for results.
    pub identity: &'a ResultIdentity,
    /// The cancellation token, set when nobody waits for the result any more. No result may depend on it.
    pub token: &'a CancelToken,
    /// The records and waits of calls, for steps that make them.
    pub environment: &'a Arc<dyn CallEnvironment>,
}

impl<'a> Call<'a> {
    /// The value at an input that was declared with [`Step::takes`](super::Step::takes).
    ///
    /// # Panics
    /// If the step has no such input, or its type is not `T`.
    pub fn input<T: Payload>(&self, name: &str) -> &'a T {
        self.optional(name).unwrap_or_else(|| panic!("the input {name:?} is not a single value"))
    }

    /// The value at an input that was declared with [`Step::takes_optional`](super::Step::takes_optional).
    ///
    /// # Panics
    /// If the step has no such input, or its type is not `T`.
    pub fn optional<T: Payload>(&self, name: &str) -> Option<&'a T> {
        match self.inputs.get(name) {
            WiredInput::One(value) => Some(typed(name, value)),
            WiredInput::Absent => None,
            WiredInput::Each(_) => panic!("the input {name:?} has a value per item"),
        }
    }

    /// The value at an input that was declared with [`Step::takes`](super::Step::takes), shared: for what outlives
    /// the call, such as the iterator of a stream.
    ///
    /// # Panics
    /// If the step has no such input, or its type is not `T`.
    pub fn shared<T: Payload>(&self, name: &str) -> Arc<T> {
        let WiredInput::One(value) = self.inputs.get(name) else {
            panic!("the input {name:?} is not a single value");
        };
        value.share().unwrap_or_else(|| panic!("the input {name:?} is a {}, not a {}", value.kind(), T::TYPE))
    }

    /// The values of all items, in the order of the items, at an input that was declared with
    /// [`Step::takes_each`](super::Step::takes_each).
    ///
    /// # Panics
    /// If the step has no such input, or its type is not `T`.
    pub fn each<T: Payload>(&self, name: &str) -> Vec<&'a T> {
        match self.inputs.get(name) {
            WiredInput::Each(values) => values.iter().map(|value| typed(name, value)).collect(),
            WiredInput::One(_) | WiredInput::Absent => panic!("the input {name:?} has no value per item"),
        }
    }

    /// The value of a parameter that was declared with [`Parameter::number`](super::Parameter::number), in
    /// the parameter's unit.
    ///
    /// # Panics
    /// If the step has no such parameter.
    pub fn number(&self, name: &str) -> f64 {
        match self.setting(name) {
            ParameterValue::Number(number) => *number,
            other => panic!("the parameter {name:?} is {other:?}, not a number"),
        }
    }

    /// The values of a parameter that was declared with [`Parameter::numbers`](super::Parameter::numbers), in
    /// the parameter's unit.
    ///
    /// # Panics
    /// If the step has no such parameter.
    pub fn numbers(&self, name: &str) -> &'a [f64] {
        match self.setting(name) {
            ParameterValue::Numbers(numbers) => numbers,
            other => panic!("the parameter {name:?} is {other:?}, not a list of numbers"),
        }
    }

    /// The value of a parameter that was declared with [`Parameter::text`](super::Parameter::text).
    ///
    /// # Panics
    /// If the step has no such parameter.
    pub fn text(&self, name: &str) -> &'a str {
        match self.setting(name) {
            ParameterValue::Text(text) => text,
            other => panic!("the parameter {name:?} is {other:?}, not a text"),
        }
    }

    /// The values of a parameter that was declared with [`Parameter::texts`](super::Parameter::texts).
    ///
    /// # Panics
    /// If the step has no such parameter.
    pub fn texts(&self, name: &str) -> &'a [String] {
        match self.setting(name) {
            ParameterValue::Texts(texts) => texts,
            other => panic!("the parameter {name:?} is {other:?}, not a list of texts"),
        }
    }

    /// The value of a parameter that was declared with [`Parameter::flag`](super::Parameter::flag).
    ///
    /// # Panics
    /// If the step has no such parameter.
    pub fn flag(&self, name: &str) -> bool {
        match self.setting(name) {
            ParameterValue::Flag(flag) => *flag,
            other => panic!("the parameter {name:?} is {other:?}, not true or false"),
        }
    }

    /// The value of a parameter that was declared with [`Parameter::json`](super::Parameter::json).
    ///
    /// # Panics
    /// If the step has no such parameter.
    pub fn json(&self, name: &str) -> &'a serde_json::Value {
        match self.setting(name) {
            ParameterValue::Json(json) => json,
            other => panic!("the parameter {name:?} is {other:?}, not a map or a list"),
        }
    }

    /// The DICOM UID of the step's result number `output`. The same request, dataflow, step, edition and
    /// number give the same UID. A step that calls this must be declared with
    /// [`Step::identifies`](super::Step::identifies).
    pub fn uid(&self, output: u64) -> String {
        let ResultIdentity { request, dataflow, step, edition } = self.identity;
        let (number, edition) = (output.to_le_bytes(), edition.to_le_bytes());
        let parts: [&[u8]; 4] = [request.as_bytes(), dataflow.as_bytes(), step.as_bytes(), &number];
        // Edition 0 adds no part: its identifiers stay as they were before there were editions.
        let fifth = (self.identity.edition > 0).then_some(edition.as_slice());
        Digest::of_parts(parts.into_iter().chain(fifth)).uid()
    }

    fn setting(&self, name: &str) -> &'a ParameterValue {
        self.parameters.get(name).unwrap_or_else(|| panic!("the step has no parameter {name:?}"))
    }
}

fn typed<'a, T: Payload>(name: &str, value: &'a Value) -> &'a T {
    value.get().unwrap_or_else(|| panic!("the input {name:?} is a {}, not a {}", value.kind(), T::TYPE))
}

/// The values that a step gives, by name of the output.
///
/// ```
/// use flow::step::{ResponseFile, ResponseFiles, StepOutputs};
///
/// let report = ResponseFiles(vec![ResponseFile::new("report.txt", "text/plain", b"no findings".to_vec())]);
/// let outputs = StepOutputs::one("files", report);
/// assert_eq!(outputs.get("files").map(|value| value.kind()), Some("files"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct StepOutputs(Vec<(&'static str, Value)>);

impl StepOutputs {
    /// The outputs of a step with one output.
    pub fn one<T: Payload>(name: &'static str, data: T) -> StepOutputs {
        StepOutputs::default().with(name, data)
    }

    /// Adds the value of the output `name`.
    #[must_use]
    pub fn with<T: Payload>(mut self, name: &'static str, data: T) -> StepOutputs {
        self.0.push((name, Value::new(data)));
        self
    }

    /// Adds the value of the output `name`.
    pub fn push(&mut self, name: &'static str, value: Value) {
        self.0.push((name, value));
    }

    /// The value of the output `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(output, _)| *output == name).map(|(_, value)| value)
    }

    /// All values with the names of their outputs, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}
