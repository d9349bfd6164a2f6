//! Events that no record of the journal has: what is under way at the moment.

use crate::step::Digest;

/// An event of the engine or of a delivery. Times are milliseconds of Unix time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerNotice {
    /// A run of a step has begun.
    Started { request: Digest, step: String },
    /// A run of a step has ended.
    Ended { request: Digest, step: String },
    /// A step that failed is run again at a time.
    RetryAt { request: Digest, step: String, at_ms: i64 },
    /// A delivery is tried again at a time.
    NextTry { request: Digest, destination: String, at_ms: i64 },
}

impl LedgerNotice {
    /// The id of the request.
    pub(super) fn request(&self) -> Digest {
        match self {
            LedgerNotice::Started { request, .. }
            | LedgerNotice::Ended { request, .. }
            | LedgerNotice::RetryAt { request, .. }
            | LedgerNotice::NextTry { request, .. } => *request,
        }
    }
}
