//! How a step ended, and the report of it that reaches the response.

use serde::{Deserialize, Serialize};

use super::{Fault, Payload};

/// How a step ended for one epoch, or for one of its items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    Done,
    Failed(Fault),
    Skipped { because: Reason },
}

/// Why a step did not run, or its result does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// `enabled: false` in the dataflow file.
    SwitchedOff,
    /// Its `when` does not hold for this request.
    Condition { condition: String },
    /// It needs, directly or through others, this step, which was not to run. Nobody is at fault.
    NeedSkipped { step: String },
    /// It needs, directly or through others, this step, which failed.
    NeedFailed { step: String },
    /// With `on_failure: stop`, nothing counts that stands behind this step, which failed.
    Stopped { step: String },
    /// The deadline has passed, and it has not ended.
    NotFinished,
}

/// One line of a request's account: what became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The step's name in the dataflow.
    pub step: String,
    /// For a step that runs per item: how the item is called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of every step of an epoch, in the order of the dataflow: the input of the steps
/// that make an error response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes(pub Vec<Report>);

impl Outcomes {
    /// The steps that failed themselves, with their faults.
    pub fn faults(&self) -> impl Iterator<Item = (&Report, &Fault)> {
        self.0.iter().filter_map(|report| match &report.outcome {
            Outcome::Failed(fault) => Some((report, fault)),
            Outcome::Done | Outcome::Skipped { .. } => None,
        })
    }
}

impl Payload for Outcomes {
    const TYPE: &'static str = "outcomes";
}
