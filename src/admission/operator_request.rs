//! Wishes of an operator about one request, noted beside the process that runs it.

use crate::journal::{JournalError, JournalReader, OperatorRequest, RequestRow, RequestState};

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
pub fn note_wish(
    reader: &JournalReader,
    row: &RequestRow,
    operator_request: OperatorRequest,
) -> Result<(), WishError> {
    match pointless(operator_request, row.state) {
        Some(why) => Err(WishError::Pointless(why)),
        None => Ok(reader.operator_request(operator_request, row.number)?),
    }
}

fn pointless(operator_request: OperatorRequest, state: RequestState) -> Option<&'static str> {
    match (operator_request, state) {
        (_, RequestState::Removed) => Some("is being removed"),
        (OperatorRequest::Cancel, RequestState::Answered) => Some("is answered: there is nothing to cancel"),
        (OperatorRequest::Cancel, RequestState::Responded | RequestState::Undelivered) => {
            Some("has its response, which is on its way: there is nothing to cancel")
        }
        (OperatorRequest::Retry, RequestState::Accepted) => Some("is still under way"),
        _ => None,
    }
}
