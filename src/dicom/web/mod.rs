//! DICOMweb, both sides (PS3.18); the only place that speaks HTTP.
//!
//! The server provides STOW-RS: `POST {base}/studies` and `POST {base}/studies/{uid}`. The client uses
//! STOW-RS, QIDO-RS and WADO-RS.
//!
//! HTTP/1.1 only, on both sides, by hyper. Objects of hundreds of megabytes gain nothing from streams that
//! share a connection, and other people's limits on those streams have lost instances before. Async code ends
//! at the network: one thread holds all connections, and the disk is written by a few others.

mod answer;
mod ask_error;
mod body_intake;
mod client;
mod find;
mod job;
mod media_type;
pub mod multipart;
mod node;
mod order;
mod pace;
mod pull;
mod quick_ack;
mod retrieve;
mod server;
mod service;
mod store;
mod store_response;

use std::net::TcpListener;
use std::sync::Arc;

use crate::dicom::wire::caller::KnownCaller;
use crate::tls;

pub use ask_error::{WebServiceCause, WebServiceError};
pub use find::{WebLevel, WebMatch, WebQuery, counter, find};
pub use media_type::MediaType;
pub use node::{AuthorizationValue, WebNode, WebNodeError};
pub(in crate::dicom) use pull::{PullResult, fetch};
pub use retrieve::retrieve;
pub(in crate::dicom) use server::WebServer;
pub use store::store;
#[cfg(any(test, fuzzing))]
pub(in crate::dicom) use {
    body_intake::{BodyChunk, BodyIntake},
    order::BodyForm,
};

/// Settings for receiving over HTTP. The limits on the size of an instance and on a peer's silence are those
/// of DIMSE ([`super::ReceiveSettings`]). HTTP callers have no AE title, so only callers given by address
/// alone are accepted.
#[derive(Clone, Debug)]
pub struct WebSettings {
    pub listener: Arc<TcpListener>,
    /// With it, only encrypted connections are taken.
    pub tls: Option<tls::TlsServer>,
    /// Clients that may connect, by address; if the list is empty, every client may.
    pub callers: Vec<KnownCaller>,
    /// Path before `/studies`: `/dicom-web`.
    pub base_path: String,
    /// Most open connections: 64. Further ones are closed.
    pub connections_max: usize,
    /// Most requests whose instances are received at the same time: 8. Further ones are answered "try later".
    pub requests_max: usize,
    /// Most parts in one request: 10 000.
    pub parts_max: usize,
}

pub(in crate::dicom) const CONNECTIONS_MAX: usize = 64;
pub(in crate::dicom) const REQUESTS_MAX: usize = 8;
pub(in crate::dicom) const PARTS_MAX: usize = 10_000;

impl WebSettings {
    pub fn new(listener: TcpListener) -> WebSettings {
        WebSettings {
            listener: Arc::new(listener),
            tls: None,
            callers: Vec::new(),
            base_path: "/dicom-web".to_owned(),
            connections_max: CONNECTIONS_MAX,
            requests_max: REQUESTS_MAX,
            parts_max: PARTS_MAX,
        }
    }
}
