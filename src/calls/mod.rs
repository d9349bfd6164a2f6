//! Calls to services over HTTP: the step `call-http`, and the circuits that keep callers away from a service that is
//! down. The only folder that names the HTTP client.

mod call_http;
mod circuit;
mod client;
mod download;
mod open_circuits;

pub use client::note_circuits_in;
pub use download::{DownloadEnd, FileDownload};
pub use open_circuits::{OpenCircuit, open_circuits};
