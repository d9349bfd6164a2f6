//! Outcomes: how a step ended, and the report of it in the response.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fault, Payload};

/// The outcome of a step for a request, or for one of the request's items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// The step gave its outputs.
    Done,
    /// The step could not do its work.
    Failed(Fault),
    /// The step did not run, or its result does not count.
    Skipped {
        /// The reason.
        because: OutcomeReason,
    },
}

/// The reason why a step did not run, or why its result does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum OutcomeReason {
    /// The dataflow file says `enabled: false`.
    SwitchedOff,
    /// The condition under `when` does not hold for the request.
    Condition {
        /// The condition in words.
        condition: String,
    },
    /// A step that was skipped is needed, directly or through other steps. Nothing failed.
    NeedSkipped {
        /// The skipped step.
        step: String,
    },
    /// A step that failed is needed, directly or through other steps.
    NeedFailed {
        /// The failed step.
        step: String,
    },
    /// An earlier step failed, and the dataflow file says `on_failure: stop`.
    Stopped {
        /// The failed step.
        step: String,
    },
    /// The deadline has passed before the step ended.
    NotFinished,
}

impl OutcomeReason {
    /// The reason for which a step does not run if it needs `step`, which was skipped for this one.
    #[must_use]
    pub fn for_users_of(&self, step: &str) -> OutcomeReason {
        match self {
            OutcomeReason::NeedFailed { .. } | OutcomeReason::NeedSkipped { .. } => self.clone(),
            OutcomeReason::Stopped { step } => OutcomeReason::NeedFailed { step: step.clone() },
            OutcomeReason::SwitchedOff | OutcomeReason::Condition { .. } | OutcomeReason::NotFinished => {
                OutcomeReason::NeedSkipped { step: step.into() }
            }
        }
    }
}

/// The report of one step, or of one step for one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepReport {
    /// The name of the step in the dataflow.
    pub step: Arc<str>,
    /// The name of the item, for a step that runs once per item.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<String>,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The reports of all steps of a request, in the order of the dataflow: the input of the steps that make
/// an error response.
///
/// ```
/// use flow::step::{Fault, Outcome, StepOutcomes, StepReport};
///
/// let report = |step: &str, outcome| StepReport { step: step.into(), item: None, outcome };
/// let missing = Fault::new("a slice is missing", "Send the study again.");
/// let outcomes = StepOutcomes(vec![
///     report("headers", Outcome::Done),
///     report("series", Outcome::Failed(missing)),
/// ]);
/// let failed: Vec<&str> = outcomes.faults().map(|(report, _)| &*report.step).collect();
/// assert_eq!(failed, ["series"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcomes(pub Vec<StepReport>);

impl StepOutcomes {
    /// The reports of failed steps, with their faults. Skipped steps are not among them.
    pub fn faults(&self) -> impl Iterator<Item = (&StepReport, &Fault)> {
        self.0.iter().filter_map(|report| match &report.outcome {
            Outcome::Failed(fault) => Some((report, fault)),
            Outcome::Done | Outcome::Skipped { .. } => None,
        })
    }
}

impl Payload for StepOutcomes {
    const TYPE: &'static str = "outcomes";
}
