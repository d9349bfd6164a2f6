//! The settings of the HTTP server.

use std::net::TcpListener;
use std::sync::Arc;

use crate::dicom::wire::caller::KnownCaller;
use crate::tls;

/// The settings of the HTTP server. The largest instance and the longest silence of a peer are the same as
/// over DIMSE ([`crate::dicom::ReceiveSettings`]). A caller is recognised by its address alone, so callers
/// with an AE title never match.
#[derive(Clone, Debug)]
pub struct WebSettings {
    pub listener: Arc<TcpListener>,
    /// The identity for TLS; with it, unencrypted connections are refused.
    pub tls: Option<tls::TlsServer>,
    /// Clients that may connect, by address; if the list is empty, every client may.
    pub callers: Vec<KnownCaller>,
    /// Path before `/studies`: `/dicom-web`.
    pub base_path: String,
    /// The most connections: 64. Further ones are closed.
    pub connections_max: usize,
    /// Most requests whose instances are received at the same time: 8. Further ones are answered "try later".
    pub requests_max: usize,
    /// The most parts of one request: 10 000.
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
