//! A step and what it declares: enough to check the wiring before anything runs.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::value::PathOf;
use super::{Call, Fault, Outputs, Parameter, Payload, Value};

/// How an input takes what is wired to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// One value. Wired to something that exists per item, the step runs once per item.
    One,
    /// As `One`, but the step also runs without it.
    Optional,
    /// The values of all items together: the step waits for the whole request.
    Each,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub name: &'static str,
    pub kind: &'static str,
    pub take: Take,
}

#[derive(Clone, Debug)]
pub struct Output {
    pub name: &'static str,
    pub kind: &'static str,
    /// Reads a value back from its form on disk.
    pub read: fn(&[u8], PathOf) -> io::Result<Value>,
}

/// What a step says of itself.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// How a dataflow file names it, for example `find-lungs`.
    pub name: &'static str,
    /// Raised whenever the step gives other results for the same inputs.
    pub version: u32,
    /// One sentence.
    pub about: &'static str,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    pub parameters: Vec<Parameter>,
    /// Runs in microseconds: not worth a pool thread.
    pub cheap: bool,
    /// Makes its outputs again in less time than they take to keep: after a restart it may run again.
    pub recomputed: bool,
    /// Its results carry identifiers made with [`Call::uid`], and so depend on whose results they are.
    pub identifies: bool,
}

type Run = dyn Fn(&Call) -> Result<Outputs, Fault> + Send + Sync;

/// A pure function with its declaration.
#[derive(Clone)]
pub struct Step {
    pub declaration: Declaration,
    run: Arc<Run>,
}

impl Step {
    /// Begins a step; [`Step::runs`] gives it its function.
    pub fn new(name: &'static str, version: u32, about: &'static str) -> Step {
        Step {
            declaration: Declaration {
                name,
                version,
                about,
                inputs: Vec::new(),
                outputs: Vec::new(),
                parameters: Vec::new(),
                cheap: false,
                recomputed: false,
                identifies: false,
            },
            run: Arc::new(|_| Err(Fault::new("the step has no function", "Give it one with `Step::runs`."))),
        }
    }

    pub fn takes<T: Payload>(self, name: &'static str) -> Step {
        self.input::<T>(name, Take::One)
    }

    pub fn takes_optional<T: Payload>(self, name: &'static str) -> Step {
        self.input::<T>(name, Take::Optional)
    }

    pub fn takes_each<T: Payload>(self, name: &'static str) -> Step {
        self.input::<T>(name, Take::Each)
    }

    pub fn gives<T: Payload>(mut self, name: &'static str) -> Step {
        self.declaration.outputs.push(Output { name, kind: T::TYPE, read: Value::read::<T> });
        self
    }

    pub fn parameter(mut self, parameter: Parameter) -> Step {
        self.declaration.parameters.push(parameter);
        self
    }

    pub fn cheap(mut self) -> Step {
        self.declaration.cheap = true;
        self
    }

    /// For a step whose outputs are larger than what it is given, and quickly made again.
    pub fn recomputed(mut self) -> Step {
        self.declaration.recomputed = true;
        self
    }

    /// For a step that calls [`Call::uid`].
    pub fn identifies(mut self) -> Step {
        self.declaration.identifies = true;
        self
    }

    pub fn runs(mut self, run: impl Fn(&Call) -> Result<Outputs, Fault> + Send + Sync + 'static) -> Step {
        self.run = Arc::new(run);
        self
    }

    /// Runs the function as it is: a panic in it is the caller's to catch.
    pub fn call(&self, call: &Call) -> Result<Outputs, Fault> {
        (self.run)(call)
    }

    fn input<T: Payload>(mut self, name: &'static str, take: Take) -> Step {
        self.declaration.inputs.push(Input { name, kind: T::TYPE, take });
        self
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({} {})", self.declaration.name, self.declaration.version)
    }
}
