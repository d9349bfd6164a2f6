//! Kernels: what is called once per batch.

use std::sync::Arc;

use crate::step::{Call, Fault, Value};

use super::batch::{BatchSize, ItemBatch};
use super::calls::CallFunction;
use super::guard::GuardFunction;
use super::maker::ItemMaker;
use super::tally::ItemTally;

/// The function that a step has for streams, besides the one for single values.
#[derive(Clone)]
pub enum StreamFunction {
    /// No function: the step is called for each item as for a single value.
    None,
    /// A kernel that takes the items of the step's first input.
    Items(KernelFactory),
    /// A kernel that takes the items of the step's first input in batches, and the same function for batches that
    /// several threads work on.
    Batches(KernelFactory, CallFunction),
    /// A kernel that takes all items of the step's first input, and has one result at the end.
    Fold(KernelFactory),
    /// A kernel that takes the items of the step's first two inputs, of which each is a stream.
    Joins(KernelFactory),
    /// A function that makes many items of one call.
    Makes(MakerFunction),
    /// A function that calls a service about a batch of items of the step's first input.
    Calls(CallFunction),
}

/// Makes a kernel for one request. The size is that of the batches that the step is to take.
pub type KernelFactory = Arc<dyn Fn(BatchSize) -> Box<dyn StreamKernel> + Send + Sync>;

/// Begins to make items.
pub type MakerFunction = Arc<dyn Fn(&Call) -> Result<Box<dyn ItemMaker>, Fault> + Send + Sync>;

/// The surroundings of a kernel while it takes a batch.
pub struct KernelRun<'a, 'c> {
    /// The inputs of the step besides the stream, and its parameters.
    pub call: &'a Call<'c>,
    /// Guards the step's own code: a panic is the fault of an item.
    pub guard: GuardFunction,
    /// The fate of the items.
    pub tally: &'a mut ItemTally,
    /// Takes what the step gives at one of its outputs, by the output's index.
    pub give: &'a mut dyn FnMut(usize, ItemBatch),
}

/// The function of a step, compiled for its types, for the items of one request.
pub trait StreamKernel: Send {
    /// Takes a batch. Batches come in the order of their items.
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun);

    /// Gives one more batch of what is still to be made of the items so far, about as much as fits into `size`; nothing
    /// if there is nothing left. A kernel that makes many items of one does so here and not in
    /// [`StreamKernel::take`], so that they go on before the next ones are made.
    fn next(&mut self, size: BatchSize, run: &mut KernelRun) {
        let _ = (size, run);
    }

    /// Gives what is kept back until a batch is full. More may follow.
    fn flush(&mut self, run: &mut KernelRun) {
        let _ = run;
    }

    /// Takes a batch of the second stream, if the step joins two.
    fn take_right(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        let _ = (batch, run);
    }

    /// Takes the end of the second stream.
    fn end_right(&mut self, run: &mut KernelRun) {
        let _ = run;
    }

    /// Takes the end of the stream, after a last [`StreamKernel::flush`]. A kernel that folds gives its result.
    fn end(&mut self, run: &mut KernelRun) -> Option<Value> {
        let _ = run;
        None
    }
}
