//! A channel that brings everything to one worker: containers travel whole, as they are.
//!
//! Timely's `Exchange` distributes records one by one, and takes a buffer of 8 KiB for each.

use timely::communication::Push;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{Message, Stamp};

/// The pact of a channel to the worker with this index.
pub fn to_worker(index: usize) -> DistributorPact<impl FnOnce(usize) -> WorkerTarget> {
    DistributorPact(move |_| WorkerTarget(index))
}

/// The index of the worker that gets everything.
pub struct WorkerTarget(usize);

impl<C: Default> Distributor<C> for WorkerTarget {
    fn partition<T: Clone, P: Push<Message<T, C>>>(
        &mut self,
        container: &mut C,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        Message::push_at(container, stamp.clone(), &mut pushers[self.0]);
    }

    fn flush<T: Clone, P: Push<Message<T, C>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}
