//! What operators may ask for about one request.

/// Operator requests about one request. A running flow carries them out at once, a stopped one when it
/// starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorRequest {
    /// The request ends with an error response.
    Cancel,
    /// Failed steps run again, and a response that is not delivered yet is delivered.
    Retry,
    /// The request is not removed, however old it is.
    Keep,
    /// The request is removed under the retention limits again, like others.
    Release,
}

impl OperatorRequest {
    const ALL: [OperatorRequest; 4] =
        [OperatorRequest::Cancel, OperatorRequest::Retry, OperatorRequest::Keep, OperatorRequest::Release];

    pub fn name(self) -> &'static str {
        match self {
            OperatorRequest::Cancel => "cancel",
            OperatorRequest::Retry => "retry",
            OperatorRequest::Keep => "keep",
            OperatorRequest::Release => "release",
        }
    }

    pub(super) fn named(name: &str) -> Option<OperatorRequest> {
        OperatorRequest::ALL.into_iter().find(|operator_request| operator_request.name() == name)
    }
}
