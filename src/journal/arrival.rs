//! A request on its way into the journal.

use std::sync::Arc;

use crate::step::{Digest, Request};

/// A request as it is brought to the journal.
pub struct RequestArrival {
    pub request: Arc<Request>,
    /// The dataflow that is to run it.
    pub dataflow: String,
    pub version: Digest,
    /// The digest of the program that is to run it.
    pub program: Digest,
    /// Texts by which a person may call the request, beside its number, name, id and subject.
    pub lookup_texts: Vec<String>,
}
