//! Chains: steps of a stream of which each takes what the one before gives, so that items need not come back in between.
//!
//! A program of steps gets its items through a pipe. Where the next step is one of the same program, it can go on with
//! what it gave. Which steps follow each other is known where the stream runs; how far their items go at once, and what
//! becomes of them otherwise, is known to the program's own code. The results are those of the steps one by one.

use std::sync::Arc;

use crate::step::Call;

use super::batch::{BatchSize, ItemBatch};
use super::guard::GuardFunction;
use super::kernel::KernelRun;
use super::tally::ItemTally;

/// A step in a chain.
#[derive(Clone, Copy)]
pub struct ChainLink {
    /// The name of the step. It takes the items at its first input, and gives one for each.
    pub step: &'static str,
    /// The size of the batches that it takes.
    pub size: BatchSize,
}

/// Makes a chain of steps for one request. All steps that have the same factory can be put into one chain.
pub type ChainFactory = Arc<dyn Fn(&[ChainLink]) -> Box<dyn StreamChain> + Send + Sync>;

/// The surroundings of a chain while it works.
pub struct ChainRun<'a, 'c> {
    /// The inputs of each step besides the stream, and its parameters.
    pub calls: &'a [Call<'c>],
    /// Guards a step's own code: a panic is the fault of an item.
    pub guard: GuardFunction,
    /// The fate of the items in each step.
    pub tallies: &'a mut [ItemTally],
    /// Takes what the last step gives.
    pub give: &'a mut dyn FnMut(ItemBatch),
}

impl<'c> ChainRun<'_, 'c> {
    /// The surroundings of one step alone, by its index.
    pub fn of<'b>(&'b mut self, link: usize, give: &'b mut dyn FnMut(usize, ItemBatch)) -> KernelRun<'b, 'c> {
        KernelRun { call: &self.calls[link], guard: self.guard, tally: &mut self.tallies[link], give }
    }
}

/// Steps one after the other, for the items of one request.
pub trait StreamChain: Send {
    /// Takes a batch of the first step's items. Batches come in the order of their items.
    fn take(&mut self, batch: ItemBatch, run: &mut ChainRun);

    /// Gives what each step keeps back until a batch is full. More may follow.
    fn flush(&mut self, run: &mut ChainRun);
}
