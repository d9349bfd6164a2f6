//! The explanation of steps that a stream connects: what has become of their items, and what was said about the faults.

use serde::Serialize;

use crate::dataflow::{DataflowNode, StreamReport};
use crate::printable::PrintableLines;
use crate::step::{Fault, ItemFault, Outcome, StepReport};

use super::{PastRequest, RecordingLog, RecordingRun};

/// The number of items with the same ending that are named; further ones are counted.
pub const ENDINGS_MAX: usize = 5;

/// The explanation of one step of a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamExplanation {
    /// The step's name in the dataflow.
    pub step: String,
    /// The fault of the step as a whole, if it is not that of the first step, which is told above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The counts of its items, and the first faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<StreamReport>,
    /// The logs of the faults, as far as they are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<StreamLog>,
}

/// The log of a fault of a step in a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamLog {
    /// The place of the item in its stream; absent for the step as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    pub text: String,
}

/// The steps that the stream of a node connects; none if it is one step.
pub fn streams(past: &PastRequest, node: &DataflowNode, runs: &[&RecordingRun]) -> Vec<StreamExplanation> {
    let names = node.section.iter().flat_map(|section| &section.names);
    names.map(|name| explanation(past, node, name, runs)).collect()
}

fn explanation(
    past: &PastRequest,
    node: &DataflowNode,
    name: &str,
    runs: &[&RecordingRun],
) -> StreamExplanation {
    let response = past.recording.response.iter();
    let mut reports = response.clone().flat_map(|response| &response.steps);
    let report: Option<&StepReport> = reports.find(|report| &*report.step == name && name != &*node.name);
    let mut streams = response.flat_map(|response| &response.streams);
    let logs = runs.last().into_iter().flat_map(|run| &run.logs).filter(|log| log.step == name);
    let log = |log: &RecordingLog| {
        let text = String::from_utf8_lossy(&past.bytes(log.digest)?).into_owned();
        Some(StreamLog { item: log.item.clone(), text })
    };
    StreamExplanation {
        step: name.to_owned(),
        fault: report.and_then(|report| match &report.outcome {
            Outcome::Failed(fault) => Some(fault.clone()),
            Outcome::Done | Outcome::Skipped { .. } => None,
        }),
        items: streams.find(|stream| stream.step == name).cloned(),
        logs: logs.filter_map(log).collect(),
    }
}

impl StreamExplanation {
    pub fn lines(&self, mut lines: PrintableLines) -> PrintableLines {
        let StreamExplanation { step, fault, items, logs } = self;
        if let Some(StreamReport { done, failed, skipped, .. }) = items {
            lines.push(format_args!("    {step}: {done} items done, {failed} failed, {skipped} skipped"));
        }
        if let Some(Fault { reason, remedy, .. }) = fault {
            lines.push(format_args!("    {step} FAILED: {reason}"));
            lines.push(format_args!("    hint: {remedy}"));
        }
        let faults = items.iter().flat_map(|items| &items.faults).take(ENDINGS_MAX);
        for ItemFault { item, fault: Fault { reason, remedy, .. } } in faults {
            lines.push(format_args!("      item {item} FAILED: {reason}"));
            lines.push(format_args!("      hint: {remedy}"));
        }
        let failed = items.as_ref().map_or(0, |items| items.failed);
        if let Some(more @ 1..) = failed.checked_sub(ENDINGS_MAX as u64) {
            lines.push(format_args!("      and {more} more"));
        }
        for StreamLog { item, text } in logs {
            let item = item.as_ref().map(|item| format!(" of item {item}")).unwrap_or_default();
            lines.push(format_args!("      standard error{item}:"));
            text.lines().for_each(|line| lines.push(format_args!("        {line}")));
        }
        lines
    }
}
