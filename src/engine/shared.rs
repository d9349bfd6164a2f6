//! What the workers of one process share.

use std::sync::Arc;

use super::budget::Budget;
use super::clock::Clock;
use super::job::Work;
use super::pool::Pool;

pub struct Shared {
    pub work: Arc<Work>,
    pub budget: Budget,
    /// A class for each node, and a last one for the error responses that deadlines make.
    pub pool: Pool,
    pub clock: Clock,
}

impl Shared {
    /// Ends the threads, when there is nothing more to do for them.
    pub fn end(&self) {
        self.pool.end();
        self.clock.end();
    }
}
