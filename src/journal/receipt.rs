//! The proof that a request was accepted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::step::Request;

use super::error::DatabaseError;
use super::history::RequestHistory;

/// A request that is recorded on the disk. Only the journal makes receipts, so whoever has one may answer
/// success to the sender, or start work.
#[derive(Clone, Debug)]
pub struct Receipt {
    number: Option<i64>,
    request: Arc<Request>,
    standing: RequestStanding,
    /// Whether the log says that the request has begun.
    has_begun: bool,
    delivered: Arc<BTreeMap<String, Vec<serde_json::Value>>>,
}

/// Whether the request was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestStanding {
    New,
    /// The same request is in work: its response answers this one, too.
    InWork,
    /// The same request has been answered before.
    Answered,
}

impl Receipt {
    pub(super) fn new(number: i64, request: Arc<Request>, standing: RequestStanding) -> Receipt {
        Receipt { number: Some(number), request, standing, has_begun: false, delivered: Arc::default() }
    }

    /// The same receipt, of a request whose beginning is recorded together with its acceptance.
    pub(super) fn begun(self) -> Receipt {
        Receipt { has_begun: true, ..self }
    }

    /// The receipt of a request that an earlier process accepted.
    ///
    /// # Errors
    /// If the history does not say that.
    pub fn again(history: &RequestHistory) -> Result<Receipt, DatabaseError> {
        let request = history.request()?.0.clone();
        let request = Arc::new(Request { edition: history.rejected(), ..request });
        let delivered = Arc::new(history.delivered());
        let (number, standing) = (Some(history.row.number), RequestStanding::InWork);
        Ok(Receipt { number, request, standing, has_begun: false, delivered })
    }

    /// A receipt of a request that is not recorded, for benchmarks and tests that are not about the disk. It
    /// fits a journal that records nothing.
    pub fn unrecorded(request: Arc<Request>) -> Receipt {
        let standing = RequestStanding::New;
        Receipt { number: None, request, standing, has_begun: false, delivered: Arc::default() }
    }

    /// The number of the request's row; `None` in a journal that records nothing.
    pub fn number(&self) -> Option<i64> {
        self.number
    }

    pub fn request(&self) -> &Arc<Request> {
        &self.request
    }

    /// The answers of this destination to earlier processes: see [`RequestHistory::delivered`].
    pub fn delivered(&self, destination: &str) -> &[serde_json::Value] {
        self.delivered.get(destination).map_or(&[], Vec::as_slice)
    }

    pub fn standing(&self) -> RequestStanding {
        self.standing
    }

    /// Whether it is recorded already that the request has begun: see [`RequestBegin`](super::RequestBegin).
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }
}
