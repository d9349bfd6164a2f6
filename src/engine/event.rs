//! Events of the engine, as one stream that progress lines and benchmarks read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::dataflow::{Dataflow, Response};
use crate::step::{Fault, Request};

#[derive(Clone, Debug)]
pub enum EngineEvent<'a> {
    /// A request has taken a lane of its dataflow.
    Accepted { request: &'a Request, dataflow: &'a Dataflow },
    /// A step begins its work for a request, for the first time or for another of its items.
    Started { request: &'a Request, step: &'a str },
    /// A step has ended its work.
    Ended { request: &'a Request, step: &'a str, took: Duration, failed: bool },
    /// A step that failed will be run again, after a wait.
    Retrying { request: &'a Request, step: &'a str, fault: &'a Fault, delay: Duration },
    /// The deadline has passed, and a response that says so has been delivered. Another one comes.
    Overdue { request: &'a Request, response: &'a Response },
    /// The response has been delivered.
    Answered { request: &'a Request, response: &'a Response },
    /// The response could not be delivered. Its files stay in the store.
    Undelivered { request: &'a Request, response: &'a Response },
}

/// An observer of the engine's events. Many threads call it, the workers' among them, so it must not
/// block. A panic in it is logged and changes nothing.
pub trait EventObserver: Send + Sync {
    fn observe(&self, event: &EngineEvent);
}

/// Tells an observer, whatever it does.
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
