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
    /// The request begins before others that wait, as an urgent one.
    Hurry,
    /// Nothing of the request changes: whoever asks runs it again beside it, and this is the record of that.
    Replay,
}

impl OperatorRequest {
    const ALL: [OperatorRequest; 6] = [
        OperatorRequest::Cancel,
        OperatorRequest::Retry,
        OperatorRequest::Keep,
        OperatorRequest::Release,
        OperatorRequest::Hurry,
        OperatorRequest::Replay,
    ];

    pub fn name(self) -> &'static str {
        match self {
            OperatorRequest::Cancel => "cancel",
            OperatorRequest::Retry => "retry",
            OperatorRequest::Keep => "keep",
            OperatorRequest::Release => "release",
            OperatorRequest::Hurry => "hurry",
            OperatorRequest::Replay => "replay",
        }
    }

    /// The operator request with this name.
    pub fn named(name: &str) -> Option<OperatorRequest> {
        OperatorRequest::ALL.into_iter().find(|operator_request| operator_request.name() == name)
    }
}
