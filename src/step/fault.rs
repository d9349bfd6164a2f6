//! A step that could not do its work. A fault is data: it flows to the response.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a step could not do its work, in words for the person who gets the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What is not written out is the data's.
    #[serde(default, skip_serializing_if = "FaultKind::is_of_data")]
    pub kind: FaultKind,
    /// What is wrong, a lowercase fragment: "slice 12 of 275 is missing between 31.0 and 33.0 mm".
    pub reason: String,
    /// What the reader can do: "Send the study again with all its slices."
    pub remedy: String,
}

/// What is at fault. `retry` in a dataflow file goes by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The data: the same data will be at fault again.
    #[default]
    Data,
    /// Something that may be otherwise the next time: a service that is busy.
    Transient,
    /// The time: the step had not ended after its `timeout`, or the request by its `deadline`.
    TimedOut,
    /// Nobody: the request was cancelled.
    Cancelled,
    /// The step itself: its code panicked, or a program that it runs is not installed.
    Broken,
    /// A disk that did not keep what was written, or did not give it back.
    Storage,
}

impl Fault {
    /// A fault in the data.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault::of(FaultKind::Data, reason, remedy)
    }

    /// A fault that may be gone when the step runs once more.
    pub fn transient(reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault::of(FaultKind::Transient, reason, remedy)
    }

    pub fn of(kind: FaultKind, reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { kind, reason: reason.into(), remedy: remedy.into() }
    }

    pub fn cancelled() -> Fault {
        let remedy = "Send the request again if its results are wanted after all.";
        Fault::of(FaultKind::Cancelled, "the request was cancelled", remedy)
    }
}

impl FaultKind {
    pub const ALL: [FaultKind; 6] = [
        FaultKind::Data,
        FaultKind::Transient,
        FaultKind::TimedOut,
        FaultKind::Cancelled,
        FaultKind::Broken,
        FaultKind::Storage,
    ];

    /// As it is written in responses and in dataflow files.
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
