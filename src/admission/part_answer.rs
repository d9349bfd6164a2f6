//! The answer of a destination to one part of a response.

use std::collections::BTreeMap;

/// The answer of a destination to one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartAnswer {
    /// The name of the part.
    pub part: String,
    /// The meaning of the answer.
    pub outcome: PartOutcome,
    /// The answer in words: `stored`, or what the destination says besides.
    pub text: String,
    /// More that is to be recorded of the part, by name: a DICOM destination says `sop_class_uid`.
    pub details: BTreeMap<String, String>,
}

/// The meaning of an answer for the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOutcome {
    /// The part is there.
    Stored,
    /// The part is there, but not quite as it was sent; the text says why.
    Warned,
    /// The part was taken, and is to be verified.
    Taken,
    /// The part was refused, and would be again: it is not sent again.
    Refused,
    /// The part was refused for now: it is sent again.
    Deferred,
    /// The connection broke while the part was being sent, perhaps because of that part: it is sent alone,
    /// after all others.
    Unanswered,
}

/// The text of a part of which nothing is to be said but that it is there.
pub(super) const STORED: &str = "stored";

impl PartAnswer {
    /// The answer that a part is there.
    pub fn stored(part: &str) -> PartAnswer {
        PartAnswer::new(part, PartOutcome::Stored, STORED)
    }

    /// An answer without details.
    pub fn new(part: &str, outcome: PartOutcome, text: impl Into<String>) -> PartAnswer {
        PartAnswer { part: part.to_owned(), outcome, text: text.into(), details: BTreeMap::new() }
    }
}
