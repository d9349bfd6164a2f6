//! Requests that an earlier process accepted and did not answer, until they are taken up.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::journal::RequestRow;

/// The requests of earlier processes that are not resumed yet. Each is resumed once.
#[derive(Default)]
pub struct LeftRequests(Mutex<BTreeSet<i64>>);

impl LeftRequests {
    /// Adds requests of earlier processes.
    pub(super) fn add(&self, unanswered: &[RequestRow]) {
        let mut left = self.0.lock().expect("nothing panics while it holds the numbers");
        left.extend(unanswered.iter().map(|row| row.number));
    }

    /// Whether the request with this number is left; from then on it is not.
    pub(super) fn take(&self, number: i64) -> bool {
        self.0.lock().expect("nothing panics while it holds the numbers").remove(&number)
    }
}
