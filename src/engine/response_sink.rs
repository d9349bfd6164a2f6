//! The interface through which responses leave the engine.

use crate::step::Digest;

use super::pending_delivery::PendingDelivery;

/// A receiver of responses.
pub trait ResponseSink: Sync {
    /// Takes a response and delivers it. Called on one of four threads that serve all responses, so a slow
    /// delivery must continue on a thread of its own after this has returned.
    ///
    /// The engine calls this once per request with the final response. If the dataflow's deadline has passed,
    /// an earlier call brings an interim response: its verdict is `Unfinished`, and the final one supersedes
    /// it. The two calls never overlap. After a restart, the response may be one that an earlier process has
    /// delivered in part.
    fn deliver(&self, pending_delivery: PendingDelivery);

    /// Whether the sink makes a final response durable itself before it settles it, and takes it again after a crash
    /// without harm. Then it gets responses without waiting for their records in the journal, which follow.
    fn keeps_responses(&self) -> bool {
        false
    }

    /// Begins the next delivery attempt of a request's response at once, if one is waiting.
    fn expedite(&self, _request: Digest) {}

    /// Waits until every response is delivered, or has no attempt left before the next start.
    fn drain(&self) {}
}
