//! What the workers of one process share.

use std::sync::Arc;

use super::budget::Budget;
use super::job::Work;
use super::pool::Pool;

pub struct Shared {
    pub work: Arc<Work>,
    pub budget: Budget,
    pub pool: Pool,
}
