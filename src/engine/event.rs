//! Events of the engine, as one stream that progress lines and benchmarks read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::dataflow::{Dataflow, Response};
use crate::step::{Fault, Request};

/// One thing that has happened to a request. Events of one request come in their order, those of
/// several requests in any.
#[derive(Clone, Debug)]
pub enum EngineEvent<'a> {
    /// A request has taken a lane of its dataflow.
    Accepted {
        /// The request.
        request: &'a Request,
        /// The dataflow that runs it.
        dataflow: &'a Dataflow,
    },
    /// A step begins its work for a request, for the first time or for another of its items.
    Started {
        /// The request.
        request: &'a Request,
        /// The name of the step in the dataflow.
        step: &'a str,
    },
    /// A step has ended its work: its results were computed, or recalled from the journal.
    Ended {
        /// The request.
        request: &'a Request,
        /// The name of the step in the dataflow.
        step: &'a str,
        /// The time since the step's `Started` event.
        took: Duration,
        /// Whether it ended with a fault; a timeout and a cancellation count as faults.
        failed: bool,
    },
    /// A step that failed will be run again, after a wait.
    Retrying {
        /// The request.
        request: &'a Request,
        /// The name of the step in the dataflow.
        step: &'a str,
        /// The fault with which it failed.
        fault: &'a Fault,
        /// The time until the next attempt.
        delay: Duration,
    },
    /// The deadline has passed, and a response that says so has been delivered. The final response follows.
    Overdue {
        /// The request.
        request: &'a Request,
        /// The interim response.
        response: &'a Response,
    },
    /// The final response has been delivered.
    Answered {
        /// The request.
        request: &'a Request,
        /// The final response.
        response: &'a Response,
    },
    /// The final response could not be delivered. Its files stay in the store.
    Undelivered {
        /// The request.
        request: &'a Request,
        /// The final response.
        response: &'a Response,
    },
}

/// An observer of the engine's events. Many threads call it, the workers' among them, so it must not
/// block. A panic in it is logged and changes nothing.
pub trait EventObserver: Send + Sync {
    /// Takes an event, at the moment it happens.
    fn observe(&self, event: &EngineEvent);
}

/// Passes an event to an observer. A panic of the observer is caught and logged.
pub(super) fn tell(observer: &dyn EventObserver, event: &EngineEvent) {
    if catch_unwind(AssertUnwindSafe(|| observer.observe(event))).is_err() {
        tracing::error!("an observer panicked");
    }
}

/// An observer that ignores all events.
pub struct NullObserver;

impl EventObserver for NullObserver {
    fn observe(&self, _: &EngineEvent) {}
}
