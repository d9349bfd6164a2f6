//! Streams: outputs of a step that are many items, of a number nobody knows before the last one is made.
//!
//! Items travel in [`ItemBatch`]es, whose type is known to the kernels only: a [`StreamKernel`] is the function of a
//! step, compiled for the types of its items and called once per batch. The functions of [`Step`](super::Step)
//! that make kernels are in `declare`. Nothing here runs a stream by itself.

mod batch;
mod declare;
mod guard;
mod kernel;
mod kernels;
mod maker;
mod ordinal;
mod tally;

pub use batch::{BatchPlaces, BatchSize, ItemBatch, StreamItem};
pub use guard::GuardFunction;
pub use kernel::{KernelFactory, KernelRun, MakerFunction, StreamFunction, StreamKernel};
pub use maker::{ItemMaker, MadeItems};
pub use ordinal::ItemOrdinal;
pub use tally::{ItemFault, ItemTally};
