//! Streams: outputs of a step that are many items, of a number nobody knows before the last one is made.
//!
//! Items travel in [`ItemBatch`]es, whose type is known to the kernels only: a [`StreamKernel`] is the function of a
//! step, compiled for the types of its items and called once per batch. The functions of [`Step`](super::Step)
//! that make kernels are in `declare`. A step that calls a service about items has a [`CallFunction`] in place of a
//! kernel. Nothing here runs a stream by itself.

mod attempt;
mod batch;
mod calls;
mod chain;
mod declare;
mod environment;
mod guard;
mod join;
mod kernel;
mod kernels;
mod maker;
mod ordinal;
mod rate;
mod route;
mod tally;
mod waiting_items;

pub use attempt::{CallAttempt, CallFault};
pub use batch::{BatchPlaces, BatchSize, ItemBatch, StreamItem};
pub use calls::{CallAnswers, CallFunction};
pub use chain::{ChainFactory, ChainLink, ChainRun, StreamChain};
pub use environment::{CallBatch, CallEnvironment, CallLimits, PlacedBatch, QuestionKey, UnrecordedCalls};
pub use guard::GuardFunction;
pub use join::{JoinRule, UnmatchedItem};
pub use kernel::{KernelFactory, KernelRun, MakerFunction, StreamFunction, StreamKernel};
pub use maker::{ItemMaker, MadeItems};
pub use ordinal::ItemOrdinal;
pub use rate::RateLimit;
pub use tally::{ItemFault, ItemTally};
pub use waiting_items::WaitingItems;
