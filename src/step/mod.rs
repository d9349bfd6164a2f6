//! What a step is, without anything that runs it.
//!
//! A [`Step`] is a pure function with a [`Declaration`]: a name, a version, typed inputs, outputs
//! and parameters. It is given a [`Call`] and returns [`Outputs`] or a [`Fault`]. Which steps exist
//! stands in a [`Table`]; a built-in step is one file that ends in `inventory::submit!`.

mod call;
mod declaration;
mod digest;
mod fault;
mod file;
mod item;
mod octets;
mod outcome;
mod parameter;
mod request;
pub mod shared_bytes;
mod table;
mod token;
mod value;

pub use call::{Call, Identity, Inputs, Outputs, Wired};
pub use declaration::{Declaration, Input, Output, Step, Take};
pub use digest::{Digest, Digester};
pub use fault::{Fault, FaultKind};
pub use file::{Artifact, File, Files};
pub use item::{Item, ItemContent, ItemPlace};
pub use outcome::{Outcome, Outcomes, Reason, Report};
pub use parameter::{Kind, Parameter, Parameters, Setting};
pub use request::Request;
pub use table::{BuiltIn, Table};
pub use token::Token;
pub use value::{PathOf, Payload, Value};
