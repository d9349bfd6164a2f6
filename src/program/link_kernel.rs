//! The kernels of steps of programs: which items share a message, and what becomes of its answer. They serve a step alone,
//! and in a chain with others.

use crate::step::{BatchPlaces, ItemBatch, KernelRun, StreamKernel};

use super::message::SentItems;
use super::step_answer::StepAnswer;

/// The kernel of a step of a program.
pub trait LinkKernel: Send {
    /// Takes items, and gives those of each message that is due with them.
    fn due(&mut self, batch: ItemBatch) -> Vec<ItemBatch>;

    /// The items that still wait for more of them, if there are any.
    fn rest(&mut self) -> Option<ItemBatch>;

    /// Whether items wait.
    fn is_waiting(&self) -> bool;

    /// The items of a message, as they are sent.
    fn sent(&self, items: &ItemBatch) -> SentItems;

    /// Has the program work on the items of a message with this step alone.
    fn work(&self, items: &ItemBatch, run: &mut KernelRun);

    /// Takes the answer to the items of a message that this step alone has worked on. `false` if it is of no use: then
    /// nothing has been counted.
    fn take_own(&self, answer: LinkAnswer, items: &ItemBatch, run: &mut KernelRun) -> bool;

    /// Takes the same of items that never were here, by their places.
    fn take_results(&self, answer: LinkAnswer, of: LinkPlaces, run: &mut KernelRun) -> bool;
}

/// An answer, and what the program wrote to standard error meanwhile.
pub struct LinkAnswer {
    pub answer: StepAnswer,
    pub log: Vec<u8>,
}

/// The places of items, and their number.
pub struct LinkPlaces {
    pub places: BatchPlaces,
    pub len: usize,
}

impl LinkPlaces {
    pub fn of(items: &ItemBatch) -> LinkPlaces {
        LinkPlaces { places: items.places().clone(), len: items.len() }
    }
}

/// Why a message has items of the type of its step.
pub const OWN_TYPE: &str = "the items of a message are made by its kernel";

/// The kernel of a step alone.
pub struct LoneLink(pub Box<dyn LinkKernel>);

impl StreamKernel for LoneLink {
    fn take(&mut self, batch: ItemBatch, run: &mut KernelRun) {
        self.0.due(batch).iter().for_each(|items| self.0.work(items, run));
    }

    fn flush(&mut self, run: &mut KernelRun) {
        self.0.rest().iter().for_each(|items| self.0.work(items, run));
    }
}
