//! State about one dataflow that the workers of one process share.

use std::sync::Arc;

use super::budget::MemoryBudget;
use super::job::RunEnvironment;
use super::pool::{JobThread, ThreadPool};
use super::slots::RequestSlots;
use super::timer::TimerThread;

pub struct ProcessShared {
    pub work: Arc<RunEnvironment>,
    pub budget: MemoryBudget,
    /// One pool for all dataflows; each has a class for each node, and a last one for the error
    /// responses that deadlines make.
    pub pool: Arc<ThreadPool>,
    /// The class of this dataflow's first node.
    pub class_first: usize,
    pub timer: Arc<TimerThread>,
    /// Its requests that are waiting, in work or in delivery.
    pub slots: RequestSlots,
}

impl ProcessShared {
    /// Runs a job of a node on a thread of the pool.
    pub fn submit(&self, node: usize, lane: usize, job: impl FnOnce(&JobThread) + Send + 'static) {
        self.pool.submit(self.class_first + node, lane, job);
    }
}
