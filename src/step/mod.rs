//! Steps and the values that they exchange; nothing here runs a step by itself.
//!
//! A [`Step`] is a pure function with a [`StepDeclaration`]: name, version, typed inputs, outputs and
//! parameters. The function gets a [`Call`] and returns [`StepOutputs`] or a [`Fault`]. A [`StepTable`] has the
//! steps that a dataflow file can name; a built-in step is one file that ends in `inventory::submit!`.
//! A step can also take and give streams of items: see [`Step::runs_many`] and [`Step::runs_each`].
//!
//! ```
//! use flow::step::{Call, Digest, Fault, ResultIdentity, StepInputs, StepOutputs, Parameter, StepParameters};
//! use flow::step::{Payload, Step, CancelToken, UnrecordedCalls, Value, WiredInput};
//!
//! // A type that steps exchange.
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Title(String);
//!
//! impl Payload for Title {
//!     const TYPE: &'static str = "title";
//! }
//!
//! let step = Step::new("shorten", 1, "Keeps the beginning of a title.")
//!     .takes::<Title>("title")
//!     .parameter(Parameter::number("length", 5.0, 1.0, 100.0, "letters"))
//!     .gives::<Title>("short")
//!     .runs(|call| {
//!         let title = call.input::<Title>("title");
//!         let short = title.0.chars().take(call.number("length") as usize);
//!         Ok(StepOutputs::one("short", Title(short.collect())))
//!     });
//!
//! // The engine makes such a call for each run; a test can make one, too.
//! let title = Value::new(Title("Chest, axial".to_owned()));
//! let call = Call {
//!     inputs: &StepInputs::default().with("title", WiredInput::One(title)),
//!     parameters: &StepParameters::defaults(&step.declaration.parameters),
//!     identity: &ResultIdentity {
//!         request: Digest::of(b"request"),
//!         dataflow: Digest::of(b"dataflow"),
//!         step: "short-title".into(),
//!         edition: 0,
//!     },
//!     token: &CancelToken::default(),
//!     environment: &UnrecordedCalls::shared(),
//! };
//! let outputs = step.call(&call)?;
//! let short = outputs.get("short").and_then(|value| value.get::<Title>());
//! assert_eq!(short.map(|title| title.0.as_str()), Some("Chest"));
//! # Ok::<(), Fault>(())
//! ```

mod array;
mod attribute;
mod call;
mod declaration;
mod digest;
mod fault;
mod file;
mod inputs;
mod interned;
mod item;
mod octets;
mod outcome;
mod parameter;
mod plain_value;
mod request;
mod reservation;
pub mod shared_bytes;
mod stream;
mod table;
mod token;
mod value;

pub use array::{ArrayElement, ArrayForm, ArrayValue, ArrayView};
pub use attribute::{AttributeDeclaration, AttributeKind, AttributeValues};
pub use call::{Call, ResultIdentity, StepOutputs};
pub use declaration::{InputDeclaration, InputTake, OutputCount, OutputDeclaration, Step, StepDeclaration};
pub use digest::{Digest, Digester};
pub use fault::{Fault, FaultKind, FaultLog, FaultOrigin};
pub use file::{Artifact, ResponseFile, ResponseFiles};
pub use inputs::{StepInputs, WiredInput};
pub use interned::interned;
pub use item::{Item, ItemContent, ItemPlace};
pub use outcome::{Outcome, OutcomeReason, StepOutcomes, StepReport};
pub use parameter::{JsonCheck, Parameter, ParameterKind, ParameterValue, SettingsCheck, StepParameters};
pub use plain_value::{JsonValue, NumberValue, TextValue};
pub use request::Request;
pub use reservation::{StepReservation, StepReservations};
pub use stream::{
    BatchPlaces, BatchSize, CallAnswers, CallAttempt, CallBatch, CallEnvironment, CallFault, CallFunction,
    CallLimits, ChainFactory, ChainLink, ChainRun, GuardFunction, ItemBatch, ItemFault, ItemMaker,
    ItemOrdinal, ItemTally, JoinRule, KernelFactory, KernelRun, MadeItems, MakerFunction, PlacedBatch,
    QuestionKey, RateLimit, StreamChain, StreamFunction, StreamItem, StreamKernel, UnmatchedItem,
    UnrecordedCalls, WaitingItems,
};
pub use table::{BuiltIn, BuiltInAttributes, StepTable};
pub use token::{CancelToken, PlaceWait};
pub use value::{PathOf, Payload, Value};
