//! Calls to services over HTTP: the step `call-http`, and the circuits that keep callers away from a service that is
//! down. The only folder that names the HTTP client.

mod call_http;
mod circuit;
mod client;

pub use client::ServicePost;
