//! A step and its declaration, which is enough to check a dataflow file before anything runs.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::stream::{ChainFactory, StreamFunction};
use super::value::PathOf;
use super::{Call, Digest, Fault, Parameter, Payload, SettingsCheck, StepOutputs, Value};

/// The way in which an input takes the values that are wired to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputTake {
    /// One value. If the wired value exists once per item, the step runs once per item.
    One,
    /// One value as with `One`, but the step also runs without it.
    Optional,
    /// The values of all items together: the step runs once, after the last of them.
    Each,
}

/// A declared input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputDeclaration {
    /// The name, as a dataflow file writes it under `needs`.
    pub name: &'static str,
    /// The type of the value: its [`Payload::TYPE`].
    pub kind: &'static str,
    /// One value, an optional value, or the values of all items.
    pub take: InputTake,
}

/// The number of values that one run gives at an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputCount {
    /// One value.
    One,
    /// A stream: none, one or many.
    Many,
}

/// A declared output.
#[derive(Clone, Debug)]
pub struct OutputDeclaration {
    /// The name, as a dataflow file writes it after the point in `STEP.OUTPUT`.
    pub name: &'static str,
    /// The type of the value: its [`Payload::TYPE`].
    pub kind: &'static str,
    /// The function that reads a value back from its form on disk.
    pub read: fn(&[u8], PathOf) -> io::Result<Value>,
    /// One value, or a stream.
    pub count: OutputCount,
}

/// The declaration of a step: everything about it but its function.
#[derive(Clone, Debug)]
pub struct StepDeclaration {
    /// The name in a dataflow file, for example `find-lungs`.
    pub name: &'static str,
    /// The version. It must be raised whenever the step gives other results for the same inputs.
    pub version: u32,
    /// The digest of the code, for a step whose code can change without a new version: that of a program.
    pub code: Option<Digest>,
    /// A description in one sentence.
    pub about: &'static str,
    /// The inputs, in the order of their declaration.
    pub inputs: Vec<InputDeclaration>,
    /// The outputs, in the order of their declaration.
    pub outputs: Vec<OutputDeclaration>,
    /// The parameters that a dataflow file can set.
    pub parameters: Vec<Parameter>,
    /// The function that says what is wrong with their values together.
    pub settings_check: Option<SettingsCheck>,
    /// Whether the step takes microseconds and needs no thread of the pool.
    pub cheap: bool,
    /// Whether making the outputs again is faster than keeping them. After a restart, such a step runs again.
    pub recomputed: bool,
    /// Whether the results carry identifiers of [`Call::uid`], and so depend on the request and the dataflow.
    pub identifies: bool,
    /// Whether the step takes items in batches, so that a dataflow file can set their size.
    pub batches: bool,
    /// Whether the step joins the streams at its first two inputs.
    pub joins: bool,
    /// Whether the step calls something outside of flow, for example a service. Its answers are recorded before
    /// anything uses them.
    pub calls: bool,
}

impl StepDeclaration {
    /// Whether an item's value chooses the output at which it goes on.
    pub fn routes(&self) -> bool {
        self.outputs.len() > 1 && self.outputs.iter().all(|output| output.count == OutputCount::Many)
    }
}

type StepFunction = dyn Fn(&Call) -> Result<StepOutputs, Fault> + Send + Sync;

/// A pure function with its declaration.
///
/// ```
/// use flow::step::{Fault, ResponseFile, ResponseFiles, StepOutputs, Request, Step};
///
/// let step = Step::new("name-request", 1, "Writes the name of the request.")
///     .takes::<Request>("request")
///     .gives::<ResponseFiles>("files")
///     .cheap()
///     .runs(|call| {
///         let request = call.input::<Request>("request");
///         if request.name.is_empty() {
///             return Err(Fault::new("the request has no name", "Give it one."));
///         }
///         let text = request.name.clone().into_bytes();
///         Ok(StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new("name.txt", "text/plain", text)])))
///     });
/// assert_eq!(step.declaration.inputs[0].kind, "request");
/// ```
#[derive(Clone)]
pub struct Step {
    /// Everything about the step but its function.
    pub declaration: StepDeclaration,
    run: Arc<StepFunction>,
    stream: StreamFunction,
    chain: Option<ChainFactory>,
}

impl Step {
    /// A step without inputs, outputs, parameters and function. [`Step::runs`] sets the function; without it,
    /// each run is a fault.
    #[must_use]
    pub fn new(name: &'static str, version: u32, about: &'static str) -> Step {
        Step {
            declaration: StepDeclaration {
                name,
                version,
                code: None,
                about,
                inputs: Vec::new(),
                outputs: Vec::new(),
                parameters: Vec::new(),
                settings_check: None,
                cheap: false,
                recomputed: false,
                identifies: false,
                batches: false,
                joins: false,
                calls: false,
            },
            run: Arc::new(|_| Err(no_function())),
            stream: StreamFunction::None,
            chain: None,
        }
    }

    /// Declares an input that takes one value.
    #[must_use]
    pub fn takes<T: Payload>(self, name: &'static str) -> Step {
        self.input::<T>(name, InputTake::One)
    }

    /// Declares an input that takes one value or none.
    #[must_use]
    pub fn takes_optional<T: Payload>(self, name: &'static str) -> Step {
        self.input::<T>(name, InputTake::Optional)
    }

    /// Declares an input that takes the values of all items.
    #[must_use]
    pub fn takes_each<T: Payload>(self, name: &'static str) -> Step {
        self.input::<T>(name, InputTake::Each)
    }

    /// Declares an output.
    #[must_use]
    pub fn gives<T: Payload>(mut self, name: &'static str) -> Step {
        let (kind, read, count) = (T::TYPE, Value::read::<T>, OutputCount::One);
        self.declaration.outputs.push(OutputDeclaration { name, kind, read, count });
        self
    }

    /// Declares a parameter.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Step {
        self.declaration.parameters.push(parameter);
        self
    }

    /// Has the values of its parameters checked together; `check` says what is wrong, in a sentence without its end.
    #[must_use]
    pub fn settings_checked(mut self, check: SettingsCheck) -> Step {
        self.declaration.settings_check = Some(check);
        self
    }

    /// Declares that the step takes microseconds: it runs on the worker thread, without the pool.
    #[must_use]
    pub fn cheap(mut self) -> Step {
        self.declaration.cheap = true;
        self
    }

    /// Declares that the outputs are larger than the inputs and quickly made again, so that they are not kept.
    #[must_use]
    pub fn recomputed(mut self) -> Step {
        self.declaration.recomputed = true;
        self
    }

    /// Declares that the step calls [`Call::uid`].
    #[must_use]
    pub fn identifies(mut self) -> Step {
        self.declaration.identifies = true;
        self
    }

    /// Sets the function of the step. It must be pure: no clock, random numbers, environment or network.
    #[must_use]
    pub fn runs(mut self, run: impl Fn(&Call) -> Result<StepOutputs, Fault> + Send + Sync + 'static) -> Step {
        self.run = Arc::new(run);
        self
    }

    /// Runs the function. The caller has to catch panics.
    ///
    /// # Errors
    /// The fault that the function returns.
    pub fn call(&self, call: &Call) -> Result<StepOutputs, Fault> {
        (self.run)(call)
    }

    /// Sets the function for streams.
    pub(crate) fn streams(mut self, stream: StreamFunction) -> Step {
        self.stream = stream;
        self
    }

    /// Lets the items of a stream go from this step to others with the same factory without coming back in between.
    pub(crate) fn chains(mut self, chain: ChainFactory) -> Step {
        self.chain = Some(chain);
        self
    }

    /// What makes chains of this step and others, if it can be in one.
    pub fn chain(&self) -> Option<&ChainFactory> {
        self.chain.as_ref()
    }

    /// The function for streams.
    pub fn stream(&self) -> &StreamFunction {
        &self.stream
    }

    fn input<T: Payload>(mut self, name: &'static str, take: InputTake) -> Step {
        self.declaration.inputs.push(InputDeclaration { name, kind: T::TYPE, take });
        self
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({} {})", self.declaration.name, self.declaration.version)
    }
}

/// The fault of a step that is called with a single value, and has a function for streams alone, or none yet.
fn no_function() -> Fault {
    let remedy = "Run it in a dataflow, behind a step that makes a stream. Whoever writes a step in Rust for single values, \
                  too, gives it a function with `Step::runs`.";
    Fault::new("the step works on the items of a stream, and not on a single value", remedy)
}
