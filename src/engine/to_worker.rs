//! A channel that brings all data to one worker and moves whole containers. Timely's `Exchange` moves records
//! one by one and allocates a buffer of 8 KiB for each.

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
