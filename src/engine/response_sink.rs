//! The seam where responses leave the engine.

use crate::step::Digest;

use super::pending_delivery::PendingDelivery;

/// Where responses go.
pub trait ResponseSink: Sync {
    /// Takes a response, on one of several threads, and sees to its delivery. What takes long goes on
    /// elsewhere after this has returned: these threads are for all responses.
    ///
    /// The engine calls this once per request with the final response. If the dataflow's deadline has
    /// passed, an earlier call brings an interim response: its verdict is `Unfinished`, and the final one
    /// supersedes it. The two calls never overlap. After a restart, the response may be one that an
    /// earlier process has delivered in part.
    fn deliver(&self, pending_delivery: PendingDelivery);

    /// Tries at once to deliver the response to a request that waits for its next try.
    fn expedite(&self, _request: Digest) {}

    /// Waits until every response is delivered, or is not tried again before a later start.
    fn drain(&self) {}
}
