//! The sample of streams and calls, `flow run tally`: jobs, the services that they ask, and the true total.
//!
//! A job asks a search service or goes straight to the second of two other services. What a service answers is a
//! function of the job alone, so that a plain sequential program knows the total, whatever fails on the way.

mod answers;
pub(crate) mod http;
mod jobs;
mod search;
mod services;

pub use jobs::{SampleJobs, TallyTruth};
pub use services::{SampleServices, ServiceCounts, ServiceTroubles};
