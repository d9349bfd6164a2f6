//! Faults: why a step could not do its work. A fault is data and becomes a part of the response.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The reason why a step could not do its work, for the person who gets the response.
///
/// ```
/// use flow::step::{Fault, FaultKind};
///
/// let fault = Fault::new("slice 12 of 275 is missing", "Send the study again with all its slices.");
/// assert_eq!(fault.kind, FaultKind::Data);
/// assert_eq!(fault.to_string(), "slice 12 of 275 is missing");
/// ```
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// The kind, which decides about a retry. In JSON, `data` is left out.
    #[serde(default, skip_serializing_if = "FaultKind::is_of_data")]
    pub kind: FaultKind,
    /// The reason, a lowercase fragment: "slice 12 of 275 is missing between 31.0 and 33.0 mm".
    pub reason: String,
    /// The remedy, for the reader of the response: "Send the study again with all its slices."
    pub remedy: String,
    /// Whose words the reason and the remedy are. In JSON, `flow` is left out.
    #[serde(default, skip_serializing_if = "FaultOrigin::is_flow")]
    pub origin: FaultOrigin,
    /// All that was said about it, for the operator: not a part of the response.
    #[serde(skip)]
    pub log: FaultLog,
    /// The shortest wait before another run, if a service says it: not a part of the response.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Whether a service was not called at all, as it is left alone for a while: then the run is no attempt. Not a part of
    /// the response.
    #[serde(skip)]
    pub held_back: bool,
}

/// Two faults with the same reason and remedy are the same, whatever their logs and whoever worded them.
impl PartialEq for Fault {
    fn eq(&self, other: &Fault) -> bool {
        (self.kind, &self.reason, &self.remedy) == (other.kind, &other.reason, &other.remedy)
    }
}

impl Eq for Fault {}

/// The author of a fault's words. Words of a program may name a patient, and are shown to those only who may see that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultOrigin {
    /// A step in this process. What a peer or a program said stands in its reason in quotation marks or after `: `.
    #[default]
    Flow,
    /// A program that a step runs.
    Program,
}

/// All that a program said before it failed. It is kept in the store beside the recorded run.
#[derive(Clone, Default)]
pub struct FaultLog(pub Option<Arc<[u8]>>);

impl fmt::Debug for FaultLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.as_ref().map_or(0, |log| log.len()))
    }
}

/// The kind of a fault. The key `retry` of a dataflow file lists kinds that are worth another run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A fault in the data. The same data would fail again, so there is no retry.
    #[default]
    Data,
    /// A temporary fault, for example a busy service.
    Transient,
    /// A run that took longer than its `timeout`, or a request longer than its `deadline`.
    TimedOut,
    /// A run of a request that was cancelled.
    Cancelled,
    /// A mistake in the step: its code panicked, or a program that it runs is not installed.
    Broken,
    /// A disk that could not be written or read.
    Storage,
}

impl Fault {
    /// A fault in the data, with reason and remedy.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault::of(FaultKind::Data, reason, remedy)
    }

    /// A temporary fault, with reason and remedy.
    ///
    /// ```
    /// use flow::step::{Fault, FaultKind};
    ///
    /// let fault = Fault::transient("the service is busy", "Try again later.");
    /// assert_eq!(fault.kind.name(), "transient");
    /// ```
    pub fn transient(reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault::of(FaultKind::Transient, reason, remedy)
    }

    /// A fault of some kind, with reason and remedy.
    pub fn of(kind: FaultKind, reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault {
            kind,
            reason: reason.into(),
            remedy: remedy.into(),
            origin: FaultOrigin::Flow,
            log: FaultLog::default(),
            retry_after: None,
            held_back: false,
        }
    }

    /// The fault as one that a program words.
    pub fn of_program(self) -> Fault {
        Fault { origin: FaultOrigin::Program, ..self }
    }

    /// The fault with all that was said about it.
    pub fn with_log(self, log: impl Into<Arc<[u8]>>) -> Fault {
        let log: Arc<[u8]> = log.into();
        Fault { log: FaultLog((!log.is_empty()).then_some(log)), ..self }
    }

    /// The fault of a run whose request was cancelled.
    pub fn cancelled() -> Fault {
        let remedy = "Run the request again with `flow retry` if its results are wanted after all.";
        Fault::of(FaultKind::Cancelled, "the request was cancelled", remedy)
    }
}

impl FaultOrigin {
    fn is_flow(&self) -> bool {
        *self == FaultOrigin::Flow
    }
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [FaultKind; 6] = [
        FaultKind::Data,
        FaultKind::Transient,
        FaultKind::TimedOut,
        FaultKind::Cancelled,
        FaultKind::Broken,
        FaultKind::Storage,
    ];

    /// The name in responses and dataflow files.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Data => "data",
            FaultKind::Transient => "transient",
            FaultKind::TimedOut => "timed_out",
            FaultKind::Cancelled => "cancelled",
            FaultKind::Broken => "broken",
            FaultKind::Storage => "storage",
        }
    }

    fn is_of_data(&self) -> bool {
        *self == FaultKind::Data
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_by_its_name_and_that_of_data_not_at_all() {
        for kind in FaultKind::ALL {
            let fault = Fault::of(kind, "it rains", "Wait.");
            let json = serde_json::to_value(&fault).unwrap();
            let written = json.get("kind").and_then(|kind| kind.as_str());
            assert_eq!(written, (kind != FaultKind::Data).then_some(kind.name()));
            assert_eq!(serde_json::from_value::<Fault>(json).unwrap(), fault);
        }
    }
}
