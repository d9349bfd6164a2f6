//! Events in the delivery of responses, for people and for records.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::DeliveryRecord;
use crate::dataflow::Response;
use crate::step::Request;

/// An event in the delivery of a response.
#[derive(Debug)]
pub enum OutboxEvent<'a> {
    /// The response, or what became of it, could not be written at a local destination; with `wait` it is
    /// tried again after that.
    NotWritten { request: &'a Request, error: &'a str, wait: Option<Duration> },
    /// A destination does not have all files yet; it is tried again after a while.
    Delayed { request: &'a Request, delivery: &'a DeliveryRecord, wait: Duration },
    /// A destination has answered for all files, or nothing more is done for them, for good or for now.
    Forwarded { request: &'a Request, delivery: &'a DeliveryRecord },
    /// All is done for this request: what it came with is no longer needed.
    /// `place` is where a person finds the response on this machine, `deliveries` are those to remote
    /// destinations.
    Answered {
        request: &'a Request,
        response: &'a Response,
        place: Option<&'a Path>,
        deliveries: &'a [DeliveryRecord],
    },
}

/// An observer of the outbox's events. Many threads call it.
pub type OutboxObserver = Arc<dyn Fn(&OutboxEvent) + Send + Sync>;
