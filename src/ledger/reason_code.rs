//! Codes of the reasons for which destinations do not take responses, for pages in other languages.
//!
//! The views hold reasons in general words ([`crate::journal::general`]), so the reasons of flow are a fixed set. A
//! reason that a destination has worded itself has no code.

/// The codes, with the general words that a reason begins with.
pub const REASON_CODES: [(&str, &str); 23] = [
    ("unresolved", "the host's name is not known"),
    ("unconnected", "no connection"),
    ("silent", "no answer in time"),
    ("unreadable", "an object could not be read"),
    ("closed", "it closed the connection"),
    ("broken", "the association failed"),
    ("rejected", "the association was rejected"),
    ("nothing_taken", "it takes none of the kinds of objects that were to be sent"),
    ("answered", "it answered"),
    ("aborted", "it aborted the association"),
    ("uncommitted", "it has not said yet whether it commits to the objects"),
    ("later", "it wants to be asked again later"),
    ("refused", "it refuses, with status"),
    ("not_understood", "its answer cannot be used"),
    ("sender_unnamed", "the request does not name its sender"),
    ("sender_unknown", "it is not known where the sender"),
    ("missing", "the destination said that it is stored, and does not have it"),
    ("unreported", "the destination did not report on it"),
    ("paused", "it is paused"),
    ("closed_now", "it may not be sent to at this time of the day"),
    ("partial", "it does not take everything"),
    ("out_of_resources", "out of resources"),
    ("cannot_understand", "cannot understand"),
];

/// The code of a reason in general words, if it is one of flow.
pub fn reason_code(reason: &str) -> Option<&'static str> {
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with([' ', '.', ':', ';', ',']);
    let is_it = |beginning: &str| reason.strip_prefix(beginning).is_some_and(is_end);
    REASON_CODES.iter().find(|(_, beginning)| is_it(beginning)).map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_known_by_its_beginning() {
        assert_eq!(reason_code("no connection"), Some("unconnected"));
        assert_eq!(reason_code("no answer in time. … was waited for # s"), Some("silent"));
        assert_eq!(reason_code("no connections are free"), None);
        assert_eq!(reason_code("the archive says no"), None);
        assert_eq!(reason_code(""), None);
    }

    #[test]
    fn no_beginning_hides_another() {
        for (code, beginning) in REASON_CODES {
            assert_eq!(reason_code(beginning), Some(code));
        }
    }
}
