//! Wishes of an operator about one request, noted beside the process that runs it.

use crate::journal::{JournalError, Reader, Row, State, Wish};

/// Why a wish is not noted.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// A wish that cannot come true: the text fits after the name of the request.
    #[error("{0}")]
    Pointless(&'static str),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Notes a wish in the journal. A [`super::Service`] on the same state sees to it within a second; without
/// one, the next that starts.
///
/// # Errors
/// If it cannot come true as the request stands, or cannot be noted.
pub fn note_wish(reader: &Reader, row: &Row, wish: Wish) -> Result<(), WishError> {
    match pointless(wish, row.state) {
        Some(why) => Err(WishError::Pointless(why)),
        None => Ok(reader.wish(wish, row.number)?),
    }
}

fn pointless(wish: Wish, state: State) -> Option<&'static str> {
    match (wish, state) {
        (_, State::Removed) => Some("is being removed"),
        (Wish::Cancel, State::Answered) => Some("is answered: there is nothing to cancel"),
        (Wish::Cancel, State::Responded | State::Undelivered) => {
            Some("has its response, which is on its way: there is nothing to cancel")
        }
        (Wish::Retry, State::Accepted) => Some("is still under way"),
        _ => None,
    }
}
