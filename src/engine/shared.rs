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
    /// The pool of all dataflows. Each dataflow has a class of jobs for each node, and one more for the
    /// interim responses of deadlines.
    pub pool: Arc<ThreadPool>,
    /// The class of this dataflow's first node.
    pub class_first: usize,
    pub timer: Arc<TimerThread>,
    /// The limit on requests of this dataflow that are waiting, in work or in delivery.
    pub slots: RequestSlots,
}

impl ProcessShared {
    /// Runs a job of a node on a thread of the pool.
    pub fn submit(&self, node: usize, lane: usize, job: impl FnOnce(&JobThread) + Send + 'static) {
        self.pool.submit(self.class_first + node, lane, job);
    }
}
