//! Events of deliveries, for people and for records.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::DeliveryRecord;
use crate::dataflow::Response;
use crate::step::Request;

/// An event in the delivery of a response.
#[derive(Debug)]
pub enum OutboxEvent<'a> {
    /// The response, or its `delivery.json`, could not be written at a local destination. With `wait` it is
    /// tried again after that time.
    NotWritten { request: &'a Request, error: &'a str, wait: Option<Duration> },
    /// A destination does not have all files yet. The next attempt follows after this time.
    Delayed { request: &'a Request, delivery: &'a DeliveryRecord, wait: Duration },
    /// The delivery to a destination has ended: all files are answered, or no further attempt is made for
    /// now.
    Forwarded { request: &'a Request, delivery: &'a DeliveryRecord },
    /// The response is delivered to all destinations. `place` is its folder on this machine, `deliveries` are
    /// those to remote destinations.
    Answered {
        request: &'a Request,
        response: &'a Response,
        place: Option<&'a Path>,
        deliveries: &'a [DeliveryRecord],
    },
}

/// An observer of the outbox's events. Many threads call it.
pub type OutboxObserver = Arc<dyn Fn(&OutboxEvent) + Send + Sync>;
