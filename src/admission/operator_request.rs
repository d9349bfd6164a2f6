//! Operator requests about one request, recorded by another process than the one that runs it.

use std::fmt;

use crate::journal::{JournalError, JournalReader, OperatorRequest, RequestRow, RequestState};

/// The reason why an operator request is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// The operator request would have no effect.
    #[error("{0}")]
    Pointless(PointlessReason),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The reason why an operator request would have no effect. Its text fits after the request's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointlessReason {
    /// The request is being removed.
    Removed,
    /// The request is answered, and cannot be cancelled.
    CancelAnswered,
    /// The response is on its way, and the request cannot be cancelled.
    CancelResponded,
    /// There is no response yet that could be tried or made again.
    UnderWay,
    /// The request is answered, and cannot be hurried.
    HurryAnswered,
    /// The response is on its way, and the request cannot be hurried.
    HurryResponded,
    /// The request has begun, and cannot be hurried.
    HurryBegun,
    /// An operator has hurried it before.
    HurryUrgent,
}

impl PointlessReason {
    /// All reasons.
    pub const ALL: [PointlessReason; 8] = [
        PointlessReason::Removed,
        PointlessReason::CancelAnswered,
        PointlessReason::CancelResponded,
        PointlessReason::UnderWay,
        PointlessReason::HurryAnswered,
        PointlessReason::HurryResponded,
        PointlessReason::HurryBegun,
        PointlessReason::HurryUrgent,
    ];

    /// The code, by which a program tells the reasons apart.
    pub fn code(self) -> &'static str {
        match self {
            PointlessReason::Removed => "removed",
            PointlessReason::CancelAnswered => "cancel_answered",
            PointlessReason::CancelResponded => "cancel_responded",
            PointlessReason::UnderWay => "under_way",
            PointlessReason::HurryAnswered => "hurry_answered",
            PointlessReason::HurryResponded => "hurry_responded",
            PointlessReason::HurryBegun => "hurry_begun",
            PointlessReason::HurryUrgent => "hurry_urgent",
        }
    }
}

impl fmt::Display for PointlessReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PointlessReason::Removed => "is being removed",
            PointlessReason::CancelAnswered => "is answered: there is nothing to cancel",
            PointlessReason::CancelResponded => {
                "has its response, which is on its way: there is nothing to cancel"
            }
            PointlessReason::UnderWay => "is still under way",
            PointlessReason::HurryAnswered => "is answered: there is nothing to hurry",
            PointlessReason::HurryResponded => "has its response: a retry delivers it at once",
            PointlessReason::HurryBegun => "has begun: there is nothing to hurry",
            PointlessReason::HurryUrgent => "is urgent already, as an operator asked",
        })
    }
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
fn begun_or_urgent(
    reader: &JournalReader,
    row: &RequestRow,
) -> Result<Option<PointlessReason>, JournalError> {
    let history = reader.history(row.number)?;
    let is_noted = reader.unseen(row.number)?.contains(&OperatorRequest::Hurry);
    Ok(match (history.has_begun(), history.is_hurried() || is_noted) {
        (true, _) => Some(PointlessReason::HurryBegun),
        (false, true) => Some(PointlessReason::HurryUrgent),
        (false, false) => None,
    })
}

fn pointless(operator_request: OperatorRequest, state: RequestState) -> Option<PointlessReason> {
    match (operator_request, state) {
        (_, RequestState::Removed) => Some(PointlessReason::Removed),
        (OperatorRequest::Cancel, RequestState::Answered) => Some(PointlessReason::CancelAnswered),
        (OperatorRequest::Cancel, RequestState::Responded | RequestState::Undelivered) => {
            Some(PointlessReason::CancelResponded)
        }
        (OperatorRequest::Retry | OperatorRequest::Replay, RequestState::Accepted) => {
            Some(PointlessReason::UnderWay)
        }
        (OperatorRequest::Hurry, RequestState::Answered) => Some(PointlessReason::HurryAnswered),
        (OperatorRequest::Hurry, RequestState::Responded | RequestState::Undelivered) => {
            Some(PointlessReason::HurryResponded)
        }
        _ => None,
    }
}
