//! The explanation of a request: the outcome of each step with its reason, its inputs, and what would
//! change it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::dataflow::{self, Dataflow, DataflowNode, InputWire, NodePhase, OutputPort, RunFrequency};
use crate::printable::PrintableLines;
use crate::step::{Digest, Fault, FaultKind, Outcome, OutcomeReason, StepReport};

use super::explain_streams::{ENDINGS_MAX, StreamExplanation, streams};
use super::{PastRequest, RecordingForm, RecordingRun};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestExplanation {
    pub name: String,
    pub request: Digest,
    pub dataflow: String,
    pub version: Digest,
    /// Absent while the request is in work.
    pub verdict: Option<dataflow::ResponseVerdict>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<dataflow::ResponseReservation>,
    /// The steps in the order of the dataflow.
    pub steps: Vec<StepExplanation>,
}

/// The explanation of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepExplanation {
    /// The step's name in the dataflow.
    pub name: String,
    /// The name of the step's declaration, for example `find-lungs`.
    pub step: String,
    pub version: u32,
    /// The different endings of its runs.
    pub endings: Vec<StepEnding>,
    /// The total time of all runs, in microseconds.
    pub took_us: u64,
    /// The processes of a cluster that ran it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<StepPlace>,
    pub parameters: Vec<String>,
    pub inputs: Vec<ExplainedInput>,
    pub outputs: Vec<ExplainedOutput>,
    /// All that failed runs said, as far as it is kept: the last ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<StepLog>,
    /// The steps that its stream connects, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamExplanation>,
    /// The changes that would give another result, in words.
    pub otherwise: String,
}

/// The runs of a step in one process of a cluster, and what was moved for them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepPlace {
    /// The name of the step, if it is one of those that a stream connects, and its batches are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    pub process: usize,
    /// The number of runs, or of batches.
    pub runs: u64,
    /// The bytes of inputs that were brought there.
    pub taken: u64,
    /// The bytes of outputs that were brought back.
    pub given: u64,
}

/// All that one failed run said on its standard error.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepLog {
    /// The name of the item, for a step that runs per item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepEnding {
    pub runs: usize,
    /// The name of the item with this ending, if other items ended differently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedInput {
    pub name: String,
    /// The source of the input, in the notation of the dataflow file.
    pub from: String,
    /// The digest of the value; absent if there is one value per item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedOutput {
    pub name: String,
    pub digest: Digest,
    /// Whether the value itself is kept, and not only its digest.
    pub kept: bool,
}

impl RequestExplanation {
    pub fn of(past: &PastRequest, dataflow: &Dataflow) -> RequestExplanation {
        let recording = &past.recording;
        RequestExplanation {
            name: recording.request.name.clone(),
            request: recording.request.id,
            dataflow: recording.dataflow.name.clone(),
            version: recording.dataflow.version,
            verdict: recording.response.as_ref().map(|response| response.verdict),
            reservations: recording.response.iter().flat_map(|one| one.reservations.clone()).collect(),
            steps: dataflow.nodes.iter().map(|node| explanation(past, dataflow, node)).collect(),
        }
    }
}

fn explanation(past: &PastRequest, dataflow: &Dataflow, node: &DataflowNode) -> StepExplanation {
    let runs: Vec<&RecordingRun> = past.recording.runs.iter().filter(|run| *run.step == *node.name).collect();
    let last = runs.last().copied().filter(|_| node.runs == RunFrequency::Once);
    let endings = endings(past, node, &runs);
    StepExplanation {
        name: node.name.to_string(),
        step: node.step.declaration.name.to_owned(),
        version: last.map_or(node.step.declaration.version, |run| run.version),
        otherwise: otherwise(node, &endings, past),
        endings,
        took_us: runs.iter().map(|run| run.took_us).fold(0, u64::saturating_add),
        places: places(node, &runs),
        parameters: node.parameters.iter().map(|(name, setting)| format!("{name}: {setting}")).collect(),
        inputs: inputs(dataflow, node, last),
        outputs: last.map(outputs).unwrap_or_default(),
        logs: logs(past, &runs),
        streams: streams(past, node, &runs),
    }
}

/// Where the runs were, by process, and the batches of steps in a stream that other processes worked on.
fn places(node: &DataflowNode, runs: &[&RecordingRun]) -> Vec<StepPlace> {
    let mut places: BTreeMap<(Option<String>, usize), StepPlace> = BTreeMap::new();
    let mut add = |step: Option<&str>, process: usize, runs: u64, taken: u64, given: u64| {
        let step = step.map(str::to_owned);
        let none = StepPlace { step: step.clone(), process, runs: 0, taken: 0, given: 0 };
        let place = places.entry((step, process)).or_insert(none);
        place.runs = place.runs.saturating_add(runs);
        place.taken = place.taken.saturating_add(taken);
        place.given = place.given.saturating_add(given);
    };
    for run in runs.iter().filter(|run| *run.step == *node.name) {
        run.place.iter().for_each(|place| add(None, place.process, 1, place.taken, place.given));
        let batches = run.batches.iter();
        batches.for_each(|its| add(Some(&its.step), its.process, its.batches, its.taken, its.given));
    }
    places.into_values().collect()
}

/// The logs of the last failed runs.
fn logs(past: &PastRequest, runs: &[&RecordingRun]) -> Vec<StepLog> {
    let failed = runs.iter().rev().filter(|run| run.outcome != Outcome::Done);
    let log = |run: &&RecordingRun| {
        let item = run.item.and_then(|item| past.recording.request.items.get(item));
        let text = past.bytes(run.outputs.first()?.digest)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Some(StepLog { item: item.map(|item| item.name.clone()), text })
    };
    failed.filter_map(log).take(ENDINGS_MAX).collect()
}

/// The outcomes of the step in the response, with the number of runs; without a response, the recorded
/// outcomes.
fn endings(past: &PastRequest, node: &DataflowNode, runs: &[&RecordingRun]) -> Vec<StepEnding> {
    let reports = past.recording.response.iter().flat_map(|response| &response.steps);
    let reports: Vec<&StepReport> = reports.filter(|report| report.step == node.name).collect();
    let done = runs.iter().filter(|run| run.outcome == Outcome::Done).count();
    let others = reports.iter().filter(|report| report.outcome != Outcome::Done);
    let mut endings: Vec<StepEnding> = others
        .map(|report| StepEnding { runs: 1, item: report.item.clone(), outcome: report.outcome.clone() })
        .collect();
    let is_done = reports.iter().any(|report| report.outcome == Outcome::Done);
    if is_done || done > 0 {
        endings.insert(0, StepEnding { runs: done.max(1), item: None, outcome: Outcome::Done });
    }
    if past.recording.response.is_none() {
        let failed = runs.iter().filter(|run| run.outcome != Outcome::Done);
        endings.extend(failed.map(|run| StepEnding { runs: 1, item: None, outcome: run.outcome.clone() }));
    }
    endings
}

fn inputs(dataflow: &Dataflow, node: &DataflowNode, run: Option<&RecordingRun>) -> Vec<ExplainedInput> {
    let declared = node.step.declaration.inputs.iter().zip(&node.wires);
    let wired = declared.filter(|(_, wire)| **wire != InputWire::Absent);
    let input = |(input, wire): (&crate::step::InputDeclaration, &InputWire)| ExplainedInput {
        name: input.name.to_owned(),
        from: source(dataflow, wire),
        digest: run.and_then(|run| run.inputs.get(input.name)).copied(),
    };
    wired.map(input).collect()
}

fn source(dataflow: &Dataflow, wire: &InputWire) -> String {
    match wire {
        InputWire::Absent => String::new(),
        InputWire::Request => "request".to_owned(),
        InputWire::Items => "request.items".to_owned(),
        InputWire::Outcomes => "outcomes".to_owned(),
        // A section names the step at each of its outputs.
        InputWire::Port(port) if dataflow.nodes[port.node].section.is_some() => port.output.to_owned(),
        InputWire::Port(_) | InputWire::Merge(_) => {
            let name = |port: &OutputPort| format!("{}.{}", dataflow.nodes[port.node].name, port.output);
            wire.ports().iter().map(name).collect::<Vec<String>>().join(", ")
        }
    }
}

fn outputs(run: &RecordingRun) -> Vec<ExplainedOutput> {
    let output = |output: &super::RecordingOutput| ExplainedOutput {
        name: output.name.clone(),
        digest: output.digest,
        kept: output.kept != RecordingForm::No,
    };
    run.outputs.iter().map(output).collect()
}

fn otherwise(node: &DataflowNode, endings: &[StepEnding], past: &PastRequest) -> String {
    let worst = endings.iter().rev().map(|ending| &ending.outcome).find(|outcome| **outcome != Outcome::Done);
    match worst {
        Some(Outcome::Failed(fault)) => after_fault(fault),
        Some(Outcome::Skipped { because }) => after_skip(because, past),
        Some(Outcome::Done) | None if endings.is_empty() => match (node.phase, &past.recording.response) {
            (NodePhase::Failure, Some(_)) => "runs if another step fails".to_owned(),
            (_, _) => "has not ended yet".to_owned(),
        },
        Some(Outcome::Done) | None => after_success(node),
    }
}

fn after_success(node: &DataflowNode) -> String {
    let declaration = &node.step.declaration;
    let mut parts = vec![format!("another version of {}", declaration.name)];
    let names: Vec<&str> = declaration.inputs.iter().map(|input| input.name).collect();
    if !names.is_empty() {
        parts.push(format!("other values at {}", names.join(", ")));
    }
    parts.extend((!declaration.parameters.is_empty()).then(|| "other parameters".to_owned()));
    let identifiers = "; its identifiers also with the request and the dataflow";
    let identifiers = if declaration.identifies { identifiers } else { "" };
    format!("changes with {}{identifiers}", parts.join(", "))
}

fn after_fault(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Data => "fails again for the same values at its inputs".to_owned(),
        FaultKind::Broken => {
            "may be fixed by another version of the step; `flow retry` runs it again".to_owned()
        }
        FaultKind::Transient | FaultKind::TimedOut | FaultKind::Cancelled | FaultKind::Storage => {
            "may succeed the next time: `flow retry` runs it again".to_owned()
        }
    }
}

fn after_skip(because: &OutcomeReason, past: &PastRequest) -> String {
    match because {
        OutcomeReason::SwitchedOff => "runs with `enabled: true` in the dataflow file".to_owned(),
        OutcomeReason::Condition { condition } => {
            let attributes = past.recording.request.attributes.iter();
            let about = attributes.filter(|(name, _)| condition.contains(name.as_str()));
            let about: Vec<String> =
                about.map(|(name, values)| format!("{name} is {:?}", values.text())).collect();
            format!("runs for requests whose {condition}; of this one {}", about.join(", "))
        }
        OutcomeReason::NeedSkipped { step } => format!("runs if {step} runs"),
        OutcomeReason::NeedFailed { step } => format!("runs if {step} does not fail"),
        OutcomeReason::Stopped { step } => {
            format!("runs if {step} does not fail, or with `on_failure: continue` in the dataflow file")
        }
        OutcomeReason::NotFinished => {
            "ends if it is given more time: see `deadline` in the dataflow file".to_owned()
        }
    }
}

impl RequestExplanation {
    /// The explanation of all steps, for a person.
    pub fn lines(&self) -> PrintableLines {
        let mut lines = PrintableLines::default();
        if let Some(verdict) = self.verdict {
            lines.push(format_args!("  {}", verdict.name()));
        }
        for dataflow::ResponseReservation { step, text, .. } in &self.reservations {
            lines.push(format_args!("    reservation of {step}: {text}"));
        }
        self.steps.iter().fold(lines, |lines, step| step.lines(lines.line("")))
    }
}

impl StepExplanation {
    fn lines(&self, mut lines: PrintableLines) -> PrintableLines {
        let took = DurationText(self.took_us);
        lines.push(format_args!("{}  {} {}{took}", self.name, self.step, self.version));
        lines = self.endings.iter().take(ENDINGS_MAX).fold(lines, |lines, ending| ending.lines(lines));
        if let Some(more @ 1..) = self.endings.len().checked_sub(ENDINGS_MAX) {
            lines.push(format_args!("    and {more} more"));
        }
        lines = self.places.iter().fold(lines, |lines, place| lines.line(format_args!("    {place}")));
        let names = self.inputs.iter().map(|input| input.name.len());
        let width = names.chain(self.outputs.iter().map(|output| output.name.len())).max().unwrap_or(0);
        for ExplainedInput { name, from, digest } in &self.inputs {
            let digest = digest.map(|digest| format!("  {}", digest.short())).unwrap_or_default();
            lines.push(format_args!("    {name:width$}  ← {from}{digest}"));
        }
        for ExplainedOutput { name, digest, kept } in &self.outputs {
            let kept = if *kept { "" } else { ", not kept" };
            lines.push(format_args!("    {name:width$}  → {}{kept}", digest.short()));
        }
        if !self.parameters.is_empty() {
            lines.push(format_args!("    with {}", self.parameters.join(", ")));
        }
        for StepLog { item, text } in &self.logs {
            let item = item.as_ref().map(|item| format!(" of {item}")).unwrap_or_default();
            lines.push(format_args!("    standard error{item}:"));
            text.lines().for_each(|line| lines.push(format_args!("      {line}")));
        }
        lines = self.streams.iter().fold(lines, |lines, step| step.lines(lines));
        lines.line(format_args!("    {}", self.otherwise))
    }
}

impl fmt::Display for StepPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StepPlace { step, process, runs, taken, given } = self;
        match step {
            None => write!(f, "ran in process {process}")?,
            Some(step) if *runs == 1 => write!(f, "{step}: 1 batch ran in process {process}")?,
            Some(step) => write!(f, "{step}: {runs} batches ran in process {process}")?,
        }
        if step.is_none() && *runs > 1 {
            write!(f, ", {runs} runs")?;
        }
        if taken + given > 0 {
            write!(f, "; {taken} bytes of inputs went there, {given} bytes of outputs came back")?;
        }
        Ok(())
    }
}

impl StepEnding {
    fn lines(&self, lines: PrintableLines) -> PrintableLines {
        let item = self.item.as_ref().map(|item| format!("{item}: ")).unwrap_or_default();
        match &self.outcome {
            Outcome::Done if self.runs > 1 => lines.line(format_args!("    done, {} runs", self.runs)),
            Outcome::Done => lines.line("    done"),
            Outcome::Failed(fault) => lines
                .line(format_args!("    FAILED: {item}{}", fault.reason))
                .line(format_args!("    hint: {}", fault.remedy)),
            Outcome::Skipped { because } => {
                lines.line(format_args!("    {item}skipped: {}", ReasonText(because)))
            }
        }
    }
}

struct ReasonText<'a>(&'a OutcomeReason);

impl fmt::Display for ReasonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            OutcomeReason::SwitchedOff => write!(f, "it is switched off"),
            OutcomeReason::Condition { condition } => write!(f, "it runs only where {condition}"),
            OutcomeReason::NeedSkipped { step } => write!(f, "it needs {step}, which was skipped"),
            OutcomeReason::NeedFailed { step } => write!(f, "it needs {step}, which failed"),
            OutcomeReason::Stopped { step } => {
                write!(f, "{step} failed, and `on_failure: stop` ends the work")
            }
            OutcomeReason::NotFinished => write!(f, "the deadline had passed"),
        }
    }
}

/// A duration in a suitable unit; empty for 0.
struct DurationText(u64);

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            us @ 1..1_000 => write!(f, ", {us} µs"),
            us @ 1_000..1_000_000 => write!(f, ", {:.1} ms", us as f64 / 1e3),
            us => write!(f, ", {:.1} s", us as f64 / 1e6),
        }
    }
}
