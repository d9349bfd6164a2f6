//! How to receive over HTTP.

use std::net::TcpListener;
use std::sync::Arc;

use crate::dicom::wire::caller::KnownCaller;
use crate::tls;

/// How to receive over HTTP. How large an instance may be and how long a peer may be silent is the same as
/// over DIMSE ([`crate::dicom::ReceiveSettings`]); a caller is known here by its address alone, so those with an AE title
/// do not count.
#[derive(Clone, Debug)]
pub struct WebSettings {
    pub listener: Arc<TcpListener>,
    /// Identity for encrypted connections; with it, no others are taken.
    pub tls: Option<tls::TlsServer>,
    /// Clients that may connect, by address; if the list is empty, every client may.
    pub callers: Vec<KnownCaller>,
    /// Path before `/studies`: `/dicom-web`.
    pub base_path: String,
    /// 64; what comes beyond them is closed.
    pub connections_max: usize,
    /// Most requests whose instances are received at the same time: 8. Further ones are answered "try later".
    pub requests_max: usize,
    /// 10 000 in one request.
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
