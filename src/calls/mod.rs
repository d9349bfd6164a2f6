//! Calls to services over HTTP: the step `call-http`, the circuits that keep callers away from a service that is down,
//! downloads, answers as they come, and buckets of object stores. The only folder that names the HTTP client.

#[cfg(feature = "books")]
mod bucket;
#[cfg(feature = "books")]
mod bucket_place;
mod call_http;
mod circuit;
mod client;
mod download;
mod event_stream;
#[cfg(feature = "books")]
mod object_transport;
mod open_circuits;

#[cfg(feature = "books")]
pub use bucket::{BucketFile, BucketLimits, ObjectBucket};
#[cfg(feature = "books")]
pub use bucket_place::{BucketKey, BucketPlace, check_endpoint, is_bucket};
pub use client::{ServicePost, check_address, note_circuits_in};
pub use download::{DownloadEnd, FileDownload};
#[cfg(any(test, fuzzing))]
pub use event_stream::data_of_events;
pub use event_stream::{EventProgress, StreamedAnswer};
pub use open_circuits::{OpenCircuit, open_circuits};
