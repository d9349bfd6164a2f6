//! Counts of the items of streams, in the response.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::ItemFault;

/// The counts of one step of a stream. A million items are three numbers, and the first faults by item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamReport {
    /// The name of the step in the dataflow.
    pub step: String,
    /// Items with which the step did its work; of a step that makes a stream, items that it made.
    pub done: u64,
    /// Items with which it could not, or that it could not make.
    pub failed: u64,
    /// Items that did not reach the step, because they had failed in one before. Behind a step that makes many
    /// items of one they are not counted any more.
    pub skipped: u64,
    /// Further attempts of calls, one for each item in them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retried: u64,
    /// The faults of the first failed items, at most 20, in the order of the stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<ItemFault>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
