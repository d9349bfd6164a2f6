//! Operator requests about one request, recorded by another process than the one that runs it.

use crate::journal::{JournalError, JournalReader, OperatorRequest, RequestRow, RequestState};

/// The reason why an operator request is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// The operator request would have no effect; the text says why and fits after the request's name.
    #[error("{0}")]
    Pointless(&'static str),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Records an operator request in the journal, and who has made it. A [`super::Service`] on the same state folder carries it out
/// within a second; without one, the next one that starts does.
///
/// # Errors
/// If the operator request would have no effect in the request's present state, or cannot be recorded.
pub fn note_wish(
    reader: &JournalReader,
    row: &RequestRow,
    operator_request: OperatorRequest,
    who: &str,
) -> Result<(), WishError> {
    let pointless = match (operator_request, row.state) {
        (OperatorRequest::Hurry, RequestState::Accepted) => begun_or_urgent(reader, row)?,
        _ => pointless(operator_request, row.state),
    };
    match pointless {
        Some(why) => Err(WishError::Pointless(why)),
        None => Ok(reader.operator_request(operator_request, row.number, who)?),
    }
}

/// The reason why a request that has no response cannot begin earlier.
fn begun_or_urgent(reader: &JournalReader, row: &RequestRow) -> Result<Option<&'static str>, JournalError> {
    let history = reader.history(row.number)?;
    let is_noted = reader.unseen(row.number)?.contains(&OperatorRequest::Hurry);
    Ok(match (history.has_begun(), history.is_hurried() || is_noted) {
        (true, _) => Some("has begun: there is nothing to hurry"),
        (false, true) => Some("is urgent already, as an operator asked"),
        (false, false) => None,
    })
}

fn pointless(operator_request: OperatorRequest, state: RequestState) -> Option<&'static str> {
    match (operator_request, state) {
        (_, RequestState::Removed) => Some("is being removed"),
        (OperatorRequest::Cancel, RequestState::Answered) => Some("is answered: there is nothing to cancel"),
        (OperatorRequest::Cancel, RequestState::Responded | RequestState::Undelivered) => {
            Some("has its response, which is on its way: there is nothing to cancel")
        }
        (OperatorRequest::Retry | OperatorRequest::Replay, RequestState::Accepted) => {
            Some("is still under way")
        }
        (OperatorRequest::Hurry, RequestState::Answered) => Some("is answered: there is nothing to hurry"),
        (OperatorRequest::Hurry, RequestState::Responded | RequestState::Undelivered) => {
            Some("has its response: a retry delivers it at once")
        }
        _ => None,
    }
}
