//! Responses: the answer to a request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use crate::step::{
    Artifact, Digest, Fault, FaultKind, Outcome, OutcomeReason, Request, ResponseFiles, StepOutputs,
    StepReport, StepReservation, StepReservations,
};

use super::response_streams::StreamReport;
use super::section_account::SectionAccount;
use super::{Dataflow, DataflowNode, FailurePolicy, InputWire, NodePhase, RunFrequency};
use crate::yaml::duration::shown;

/// The response to a request: its files, and the outcome of every step.
///
/// Nothing in a response depends on the time, the machine or the number of workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// The id of the request.
    pub request: Digest,
    /// The name of the request.
    pub name: String,
    /// The name of the dataflow.
    pub dataflow: Arc<str>,
    /// The version of the dataflow: its digest.
    pub version: Digest,
    /// The overall outcome.
    pub verdict: ResponseVerdict,
    /// The reports of all steps, in the order of the dataflow.
    pub steps: Vec<StepReport>,
    /// The limits of what the results mean, in the order of the dataflow; each is said once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<ResponseReservation>,
    /// The counts of items of the steps on streams, in the order of the dataflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamReport>,
    /// The files, in the order of delivery. Their content is in the store.
    pub files: Vec<Artifact>,
    /// The digest of an earlier response to the same request, which this one supersedes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Digest>,
    /// The id of an earlier request about the same subject, whose response this one supersedes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revises: Option<Digest>,
}

/// The overall outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseVerdict {
    /// No step failed, and no step has reservations.
    Complete,
    /// No step failed, but the meaning of the results is limited: see [`Response::reservations`].
    CompleteWithReservations,
    /// A step failed: an error response, with the results that could be made.
    Failed,
    /// The deadline has passed: a preliminary error response. The request continues, and its final response
    /// supersedes this one.
    Unfinished,
}

impl ResponseVerdict {
    /// Whether all results are there, with or without reservations.
    pub fn is_complete(self) -> bool {
        match self {
            ResponseVerdict::Complete | ResponseVerdict::CompleteWithReservations => true,
            ResponseVerdict::Failed | ResponseVerdict::Unfinished => false,
        }
    }

    /// The verdict in words.
    pub fn name(self) -> &'static str {
        match self {
            ResponseVerdict::Complete => "complete",
            ResponseVerdict::CompleteWithReservations => "complete, with reservations",
            ResponseVerdict::Failed => "an error response",
            ResponseVerdict::Unfinished => "unfinished",
        }
    }
}

/// A reservation of a step, in the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseReservation {
    /// The name of the step in the dataflow.
    pub step: String,
    /// The name of the item, for a step that runs once per item.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<String>,
    /// A stable word for programs.
    pub code: String,
    /// A sentence for a person.
    pub text: String,
}

impl Response {
    /// The digest of the response, by which a later response says that it supersedes this one.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a response is made of texts and numbers"))
    }

    /// The reports of failed steps, with their faults.
    pub fn faults(&self) -> impl Iterator<Item = (&StepReport, &Fault)> {
        self.steps.iter().filter_map(|report| match &report.outcome {
            Outcome::Failed(fault) => Some((report, fault)),
            Outcome::Done | Outcome::Skipped { .. } => None,
        })
    }
}

/// The outcomes and files of all runs of one node.
#[derive(Clone, Debug)]
pub struct NodeAccount {
    /// The outcome of each run, in the order of the items.
    pub outcomes: Vec<Outcome>,
    /// The files of each run, by output; only outputs of [`Dataflow::delivers`].
    pub files: PerRun<Vec<(&'static str, Vec<Artifact>)>>,
    /// The reservations of each run.
    pub reservations: PerRun<Vec<StepReservation>>,
    /// The account of a section, once it has run.
    pub section: Option<Arc<SectionAccount>>,
}

/// A value for each run of a node. Nearly every node has one run, for which nothing is allocated.
type PerRun<T> = SmallVec<[T; 1]>;

impl NodeAccount {
    /// The account of a node with this number of runs, none of which has ended.
    pub fn of(runs: usize) -> NodeAccount {
        let outcome = Outcome::Skipped { because: OutcomeReason::NotFinished };
        NodeAccount {
            outcomes: vec![outcome; runs],
            files: smallvec![Vec::new(); runs],
            reservations: smallvec![Vec::new(); runs],
            section: None,
        }
    }

    /// Notes what the outputs of a run say besides their values.
    pub fn note_outputs(&mut self, run: usize, outputs: &StepOutputs) {
        self.reservations[run] = StepReservations::among(outputs);
        self.section = SectionAccount::among(outputs).map(|account| Arc::new(account.clone()));
    }

    /// The reservations with the indexes of their runs.
    fn reserved_runs(&self) -> impl Iterator<Item = (usize, &StepReservation)> {
        let runs = self.reservations.iter().enumerate();
        runs.flat_map(|(run, reservations)| reservations.iter().map(move |one| (run, one)))
    }

    /// Whether a run, or a step of the section, has failed.
    pub fn has_failed(&self) -> bool {
        self.section.as_ref().is_some_and(|section| section.has_failed())
            || self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    fn is_finished(&self) -> bool {
        let open =
            |outcome: &Outcome| matches!(outcome, Outcome::Skipped { because: OutcomeReason::NotFinished });
        !self.outcomes.iter().any(open)
    }
}

impl Dataflow {
    /// Whether the files at this output of a node belong to the response.
    pub fn delivers(&self, node: usize, output: &str) -> bool {
        let asked = self.response.iter().any(|port| port.node == node && port.output == output);
        asked || self.nodes[node].phase == NodePhase::Failure
    }

    /// The fault of a request that cannot start, because it has no items.
    pub fn refuses(&self, request: &Request) -> Option<Fault> {
        let empty = request.items.is_empty();
        empty.then(|| Fault::new("the request has no items", "Send it again with its data."))
    }

    /// The reports of the work. For a request that could not start, the first one is about admission.
    pub fn work_reports(
        &self,
        request: &Request,
        refused: Option<&Fault>,
        accounts: &[NodeAccount],
    ) -> Vec<StepReport> {
        let admission = |fault: &Fault| StepReport {
            step: ADMISSION.into(),
            item: None,
            outcome: Outcome::Failed(fault.clone()),
        };
        let mut reports = self.reports(NodePhase::Work, request, accounts);
        refused.iter().for_each(|fault| reports.insert(0, admission(fault)));
        reports
    }

    /// Makes the response. `refused` is the fault of a request that could not start.
    pub fn respond(&self, request: &Request, refused: Option<&Fault>, accounts: &[NodeAccount]) -> Response {
        let mut steps = self.work_reports(request, refused, accounts);
        let mut reservations = self.reservations(request, accounts);
        let failed = steps.iter().any(|report| matches!(report.outcome, Outcome::Failed(_)));
        let verdict = |reservations: &[ResponseReservation]| match (failed, reservations.is_empty()) {
            (true, _) => ResponseVerdict::Failed,
            (false, true) => ResponseVerdict::Complete,
            (false, false) => ResponseVerdict::CompleteWithReservations,
        };
        let files = self.files(verdict(&reservations), accounts);
        if !failed && files.is_empty() {
            reservations.extend(self.response_off());
        }
        let verdict = verdict(&reservations);
        if verdict == ResponseVerdict::Failed {
            steps.extend(self.reports(NodePhase::Failure, request, accounts));
        }
        Response {
            request: request.id,
            name: request.name.clone(),
            dataflow: self.name.clone(),
            version: self.digest,
            verdict,
            steps,
            reservations,
            streams: self.streams(accounts),
            files,
            supersedes: None,
            revises: request.supersedes,
        }
    }

    /// The response to a request whose deadline has passed. [`Dataflow::respond_overdue`] adds the files of the
    /// failure part.
    pub fn unfinished(&self, request: &Request, after: Duration, accounts: &[NodeAccount]) -> Response {
        self.overdue(request, after, &self.awaited(accounts).join(", "), accounts)
    }

    /// The response to a request whose deadline has passed before it started; `awaited` says what it waits for.
    pub fn not_begun(&self, request: &Request, after: Duration, awaited: &str) -> Response {
        let accounts: Vec<NodeAccount> =
            self.nodes.iter().map(|node| NodeAccount::of(node.runs_of(request))).collect();
        self.overdue(request, after, awaited, &accounts)
    }

    fn overdue(
        &self,
        request: &Request,
        after: Duration,
        awaited: &str,
        accounts: &[NodeAccount],
    ) -> Response {
        let awaited = if awaited.is_empty() { String::new() } else { format!(" (waiting for {awaited})") };
        let fault = Fault::of(
            FaultKind::TimedOut,
            format!("not finished within {}{awaited}", shown(after)),
            "Wait for the final response; it takes the place of this one.",
        );
        let deadline = StepReport { step: DEADLINE.into(), item: None, outcome: Outcome::Failed(fault) };
        let reports = self.reports(NodePhase::Work, request, accounts);
        Response {
            request: request.id,
            name: request.name.clone(),
            dataflow: self.name.clone(),
            version: self.digest,
            verdict: ResponseVerdict::Unfinished,
            steps: [deadline].into_iter().chain(reports).collect(),
            reservations: self.reservations(request, accounts),
            streams: self.streams(accounts),
            files: Vec::new(),
            supersedes: None,
            revises: request.supersedes,
        }
    }

    /// Adds the reports and files of the failure part to an unfinished response.
    pub(super) fn with_overdue_response(
        &self,
        request: &Request,
        mut unfinished: Response,
        accounts: &[NodeAccount],
    ) -> Response {
        unfinished.steps.extend(self.reports(NodePhase::Failure, request, accounts));
        unfinished.files = self.files(unfinished.verdict, accounts);
        unfinished
    }

    /// The nodes of the work that have not ended, although all nodes that they need have.
    fn awaited(&self, accounts: &[NodeAccount]) -> Vec<&str> {
        let is_open = |index: usize| !accounts[index].is_finished();
        let last = self.stops_at(accounts).unwrap_or(usize::MAX);
        let nodes = self.nodes.iter().enumerate().filter(|(_, node)| node.phase == NodePhase::Work);
        let open = nodes.filter(|(index, node)| {
            let waits = |wire: &InputWire| matches!(wire, InputWire::Port(port) if is_open(port.node));
            *index < last && is_open(*index) && !node.wires.iter().any(waits)
        });
        open.map(|(_, node)| &*node.name).collect()
    }

    /// The first node with a fault, with `on_failure: stop`. Later nodes do not count, so that the response does
    /// not depend on whether some of them have run already.
    fn stops_at(&self, accounts: &[NodeAccount]) -> Option<usize> {
        let mut nodes = self.nodes.iter().zip(accounts);
        let first =
            || nodes.position(|(node, account)| node.phase == NodePhase::Work && account.has_failed());
        (self.on_failure == FailurePolicy::Stop).then(first).flatten()
    }

    fn reports(&self, phase: NodePhase, request: &Request, accounts: &[NodeAccount]) -> Vec<StepReport> {
        let stopped = self.stops_at(accounts).filter(|_| phase == NodePhase::Work);
        let nodes = self.nodes.iter().zip(accounts).enumerate().filter(|(_, (node, _))| node.phase == phase);
        let reports = nodes.flat_map(|(index, (node, account))| match stopped {
            Some(first) if index > first => stopped_by(node, &self.nodes[first], &accounts[first]),
            Some(_) | None => reports(node, request, account),
        });
        // With room for a report of each node: growing would cost more than the reports.
        let mut all = Vec::with_capacity(accounts.len());
        all.extend(reports);
        all
    }

    /// The reservations of the work. One that several runs say is listed once, for the first of them.
    fn reservations(&self, request: &Request, accounts: &[NodeAccount]) -> Vec<ResponseReservation> {
        let last = self.stops_at(accounts).unwrap_or(usize::MAX);
        let nodes = self.nodes.iter().zip(accounts).enumerate();
        let work = nodes.filter(|(index, (node, _))| *index <= last && node.phase == NodePhase::Work);
        let mut said = BTreeSet::new();
        let mut reservations = Vec::new();
        for (_, (node, account)) in work {
            let of_members = account.section.iter().flat_map(|section| section.reservations());
            let of_runs = account.reserved_runs().map(|(run, reservation)| {
                let item = request.items.get(run).filter(|_| node.runs == RunFrequency::PerItem);
                (&*node.name, item.map(|item| item.name.clone()), reservation)
            });
            let of_runs = of_runs.filter(|_| node.section.is_none());
            let of_members = of_members.map(|(step, reservation)| (step, None, reservation));
            for (step, item, StepReservation { code, text }) in of_runs.chain(of_members) {
                if said.insert((code, text)) {
                    let (step, code, text) = (step.to_owned(), code.clone(), text.clone());
                    reservations.push(ResponseReservation { step, item, code, text });
                }
            }
        }
        reservations
    }

    fn streams(&self, accounts: &[NodeAccount]) -> Vec<StreamReport> {
        let last = self.stops_at(accounts).unwrap_or(usize::MAX);
        let sections = accounts.iter().enumerate().filter(|(index, _)| *index <= last);
        sections.filter_map(|(_, account)| account.section.as_ref()).flat_map(|one| one.reports()).collect()
    }

    fn files(&self, verdict: ResponseVerdict, accounts: &[NodeAccount]) -> Vec<Artifact> {
        let last = self.stops_at(accounts).unwrap_or(usize::MAX);
        let asked = self.response.iter().map(|port| (port.node, Some(port.output)));
        let asked = asked.filter(|(node, _)| *node <= last);
        let failure = self.nodes.iter().enumerate().filter(|(_, node)| node.phase == NodePhase::Failure);
        let failure = failure.map(|(index, _)| (index, None)).filter(|_| !verdict.is_complete());
        let mut names = FileNames::default();
        let mut files = Vec::new();
        // The error comes first: a reader must not mistake a partial result for a complete one.
        for (node, output) in failure.chain(asked) {
            let given = accounts[node].files.iter().flatten();
            let given = given.filter(|(name, _)| output.is_none_or(|output| output == *name));
            for (output, artifacts) in given {
                for artifact in artifacts {
                    let name = names.unused(&artifact.name, self.nodes[node].step_at(output));
                    files.push(Artifact { name, ..artifact.clone() });
                }
            }
        }
        files
    }
}

/// The name in place of a step's name, in the report of a request that could not start.
pub const ADMISSION: &str = "admission";

/// The name in place of a step's name, in the report of a request whose deadline has passed.
pub const DEADLINE: &str = "deadline";

/// The reports of a node: nearly always one.
type NodeReports = SmallVec<[StepReport; 1]>;

/// The reports of a node behind the first one that failed.
fn stopped_by(node: &DataflowNode, first: &DataflowNode, account: &NodeAccount) -> NodeReports {
    let failed = account.section.as_ref().and_then(|section| section.first_failed());
    let because = OutcomeReason::Stopped { step: failed.unwrap_or(&first.name).to_owned() };
    let report = |step: &str| StepReport {
        step: step.into(),
        item: None,
        outcome: Outcome::Skipped { because: because.clone() },
    };
    node.step_names().map(report).collect()
}

/// The reports of a section: one for each of its steps.
fn section_reports(node: &DataflowNode, account: &NodeAccount) -> NodeReports {
    let report = |step: &str, outcome: &Outcome| StepReport {
        step: step.into(),
        item: None,
        outcome: outcome.clone(),
    };
    if let Some(section) = &account.section {
        return section.0.iter().map(|member| report(&member.step, &member.outcome)).collect();
    }
    // It has not run, or not to its end. That is said of the first step; the others need it.
    let Some(outcome) = account.outcomes.first() else { return NodeReports::new() };
    let behind = match outcome {
        Outcome::Failed(_) => {
            Outcome::Skipped { because: OutcomeReason::NeedFailed { step: node.name.to_string() } }
        }
        Outcome::Done | Outcome::Skipped { .. } => outcome.clone(),
    };
    let mut names = node.step_names();
    let first = names.next().map(|name| report(name, outcome));
    first.into_iter().chain(names.map(|name| report(name, &behind))).collect()
}

/// The reports of a node: one, if it ran once or if all its runs ended alike; otherwise one for each item
/// that is not done.
fn reports(node: &DataflowNode, request: &Request, account: &NodeAccount) -> NodeReports {
    let report = |item: Option<&str>, outcome: &Outcome| StepReport {
        step: node.name.clone(),
        item: item.map(str::to_owned),
        outcome: outcome.clone(),
    };
    if node.section.is_some() {
        return section_reports(node, account);
    }
    let outcomes = &account.outcomes;
    let alike = outcomes.windows(2).all(|pair| pair[0] == pair[1]);
    match (node.runs, outcomes.first()) {
        (_, None) => NodeReports::new(),
        (RunFrequency::Once, Some(outcome)) => smallvec![report(None, outcome)],
        (RunFrequency::PerItem, Some(outcome)) if alike && !matches!(outcome, Outcome::Failed(_)) => {
            smallvec![report(None, outcome)]
        }
        (RunFrequency::PerItem, Some(_)) => {
            let named = request.items.iter().zip(outcomes);
            let named = named.filter(|(_, outcome)| **outcome != Outcome::Done);
            named.map(|(item, outcome)| report(Some(&item.name), outcome)).collect()
        }
    }
}

/// The names of files that are written next to those of a response.
const RESERVED: [&str; 2] = ["response.json", "delivery.json"];

/// The names of a response's files so far, to make each one unique.
#[derive(Default)]
struct FileNames(BTreeSet<String>);

impl FileNames {
    fn unused(&mut self, name: &str, node: &str) -> String {
        let first = [name.to_owned(), format!("{node}/{name}")];
        let numbered = (2..).map(|number| format!("{node}-{number}/{name}"));
        let mut candidates = first.into_iter().chain(numbered);
        let unused = candidates.find(|candidate| self.is_free(candidate));
        let unused = unused.expect("the candidates never end");
        self.0.insert(unused.clone());
        unused
    }

    /// Whether no file and no folder has the name, and no part of it is a file.
    fn is_free(&self, name: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let taken = self.0.iter().map(String::as_str).chain(RESERVED);
        taken.into_iter().all(|other| !within(name, other) && !within(other, name))
    }
}

/// The files in a value; empty if the value is of another type.
pub fn files_at(value: &crate::step::Value) -> &[crate::step::ResponseFile] {
    value.get::<ResponseFiles>().map_or(&[], |files| &files.0)
}
