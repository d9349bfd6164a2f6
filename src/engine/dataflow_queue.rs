//! The requests of one dataflow that wait for a lane.

use std::collections::VecDeque;

use crate::dataflow::RequestPriority;

use super::pending_request::PendingRequest;

/// The requests of one dataflow, and its idle lanes.
#[derive(Default)]
pub struct DataflowQueue {
    /// The idle lanes, used in turn so that each gets its share. There is one lane more than requests may be
    /// in work, for requests that are only to be answered, as cancelled ones.
    pub idle: VecDeque<usize>,
    /// Requests that only get an error response.
    pub ended: VecDeque<PendingRequest>,
    /// The others, by priority.
    pub waiting: [VecDeque<PendingRequest>; RequestPriority::ALL.len()],
}

impl DataflowQueue {
    pub fn all(&self) -> impl Iterator<Item = &PendingRequest> {
        self.ended.iter().chain(self.waiting.iter().flatten())
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut PendingRequest> {
        self.ended.iter_mut().chain(self.waiting.iter_mut().flatten())
    }
}
