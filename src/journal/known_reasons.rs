//! The reasons of faults that are counted apart. There is a bound, because peers have a say in them.

use std::collections::BTreeSet;

/// The reasons that are counted apart, with their kinds.
#[derive(Debug, Default)]
pub struct KnownReasons(BTreeSet<(String, String)>);

/// The reason under which all others are counted.
pub const OTHER_REASONS: &str = "other reasons";

impl KnownReasons {
    /// The most reasons.
    pub const MAX: usize = 200;

    /// The reason under which a reason is counted: itself, if it is known or there is room.
    pub fn counted(&mut self, kind: &str, reason: String) -> String {
        let key = (kind.to_owned(), reason);
        if self.0.len() >= KnownReasons::MAX && !self.0.contains(&key) {
            return OTHER_REASONS.to_owned();
        }
        let reason = key.1.clone();
        self.0.insert(key);
        reason
    }
}

impl FromIterator<(String, String)> for KnownReasons {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(reasons: I) -> KnownReasons {
        KnownReasons(reasons.into_iter().collect())
    }
}
