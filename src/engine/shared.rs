//! What the workers of one process share about a dataflow.

use std::sync::Arc;

use super::budget::Budget;
use super::clock::Clock;
use super::job::Work;
use super::pool::{Pool, Seat};

pub struct Shared {
    pub work: Arc<Work>,
    pub budget: Budget,
    /// One pool for all dataflows; each has a class for each node, and a last one for the error
    /// responses that deadlines make.
    pub pool: Arc<Pool>,
    /// The class of this dataflow's first node.
    pub class_first: usize,
    pub clock: Arc<Clock>,
}

impl Shared {
    /// Runs a job of a node on a thread of the pool.
    pub fn submit(&self, node: usize, lane: usize, job: impl FnOnce(&Seat) + Send + 'static) {
        self.pool.submit(self.class_first + node, lane, job);
    }

    /// Ends the threads of all dataflows, when there is nothing more to do for them.
    pub fn end(&self) {
        self.pool.end();
        self.clock.end();
    }
}
