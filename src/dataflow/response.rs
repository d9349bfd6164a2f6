//! The one answer to a request.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::step::{Artifact, Digest, Fault, Files, Outcome, Reason, Report, Request};

use super::{Dataflow, Node, Phase, Runs};

/// The answer: what was made, or what went wrong, and the account of every step.
///
/// It holds nothing that depends on when, where or on how many workers it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub request: Digest,
    pub name: String,
    pub dataflow: String,
    /// The digest of the dataflow: its version.
    pub version: Digest,
    pub verdict: Verdict,
    /// What became of every step, in the order of the dataflow.
    pub steps: Vec<Report>,
    /// In the order of delivery. The bytes are in the store.
    pub files: Vec<Artifact>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every step that was to run did its work.
    Complete,
    /// A step failed: this is an error response. It still has the results that could be made.
    Failed,
}

impl Response {
    /// The steps that failed, with their faults.
    pub fn faults(&self) -> impl Iterator<Item = (&Report, &Fault)> {
        self.steps.iter().filter_map(|report| match &report.outcome {
            Outcome::Failed(fault) => Some((report, fault)),
            Outcome::Done | Outcome::Skipped { .. } => None,
        })
    }
}

/// What the runs of one node left for the response.
#[derive(Clone, Debug)]
pub struct Account {
    /// One per run, in the order of the items.
    pub outcomes: Vec<Outcome>,
    /// The files of each of the node's outputs, per run: those of [`Dataflow::delivers`] only.
    pub files: Vec<Vec<(&'static str, Vec<Artifact>)>>,
}

impl Account {
    /// An account with room for the runs of a node.
    pub fn of(runs: usize) -> Account {
        let outcome = Outcome::Skipped { because: Reason::SwitchedOff };
        Account { outcomes: vec![outcome; runs], files: vec![Vec::new(); runs] }
    }
}

impl Dataflow {
    /// Whether files at this output of a node belong to the response.
    pub fn delivers(&self, node: usize, output: &str) -> bool {
        let asked = self.response.iter().any(|port| port.node == node && port.output == output);
        asked || self.nodes[node].phase == Phase::Failure
    }

    /// Why a request cannot be begun at all, if so.
    pub fn refuses(&self, request: &Request) -> Option<Fault> {
        let empty = request.items.is_empty();
        empty.then(|| Fault::new("the request has no items", "Send it again with its data."))
    }

    /// What became of the work: the reports of its nodes, after that of a request not begun.
    pub fn work_reports(
        &self,
        request: &Request,
        refused: Option<&Fault>,
        accounts: &[Account],
    ) -> Vec<Report> {
        let admission = |fault: &Fault| Report {
            step: ADMISSION.to_owned(),
            item: None,
            outcome: Outcome::Failed(fault.clone()),
        };
        let refused = refused.map(admission);
        refused.into_iter().chain(self.reports(Phase::Work, request, accounts)).collect()
    }

    /// Puts the response together. `refused` is the fault of a request that could not be begun.
    pub fn respond(&self, request: &Request, refused: Option<&Fault>, accounts: &[Account]) -> Response {
        let mut steps = self.work_reports(request, refused, accounts);
        let verdict = match steps.iter().any(|report| matches!(report.outcome, Outcome::Failed(_))) {
            true => Verdict::Failed,
            false => Verdict::Complete,
        };
        if verdict == Verdict::Failed {
            steps.extend(self.reports(Phase::Failure, request, accounts));
        }
        Response {
            request: request.id,
            name: request.name.clone(),
            dataflow: self.name.clone(),
            version: self.digest,
            verdict,
            steps,
            files: self.files(verdict, accounts),
        }
    }

    fn reports(&self, phase: Phase, request: &Request, accounts: &[Account]) -> Vec<Report> {
        let nodes = self.nodes.iter().zip(accounts).filter(|(node, _)| node.phase == phase);
        nodes.flat_map(|(node, account)| reports(node, request, account)).collect()
    }

    fn files(&self, verdict: Verdict, accounts: &[Account]) -> Vec<Artifact> {
        let asked = self.response.iter().map(|port| (port.node, Some(port.output)));
        let failure = self.nodes.iter().enumerate().filter(|(_, node)| node.phase == Phase::Failure);
        let failure = failure.map(|(index, _)| (index, None)).filter(|_| verdict == Verdict::Failed);
        let mut names = Names::default();
        let mut files = Vec::new();
        // What went wrong comes first: a reader must not take a partial result for a whole one.
        for (node, output) in failure.chain(asked) {
            let given = accounts[node].files.iter().flatten();
            let given = given.filter(|(name, _)| output.is_none_or(|output| output == *name));
            for artifact in given.flat_map(|(_, artifacts)| artifacts) {
                let name = names.unused(&artifact.name, &self.nodes[node].name);
                files.push(Artifact { name, ..artifact.clone() });
            }
        }
        files
    }
}

/// What stands for a step in the report of a request that could not be begun.
pub const ADMISSION: &str = "admission";

/// One report for a node that ran once or everywhere alike; else one for each item that differs.
fn reports(node: &Node, request: &Request, account: &Account) -> Vec<Report> {
    let report = |item: Option<&str>, outcome: &Outcome| Report {
        step: node.name.clone(),
        item: item.map(str::to_owned),
        outcome: outcome.clone(),
    };
    let outcomes = &account.outcomes;
    let alike = outcomes.windows(2).all(|pair| pair[0] == pair[1]);
    match (node.runs, outcomes.first()) {
        (_, None) => Vec::new(),
        (Runs::Once, Some(outcome)) => vec![report(None, outcome)],
        (Runs::PerItem, Some(outcome)) if alike && !matches!(outcome, Outcome::Failed(_)) => {
            vec![report(None, outcome)]
        }
        (Runs::PerItem, Some(_)) => {
            let named = request.items.iter().zip(outcomes);
            let named = named.filter(|(_, outcome)| **outcome != Outcome::Done);
            named.map(|(item, outcome)| report(Some(&item.name), outcome)).collect()
        }
    }
}

/// What is written beside the files of a response.
const RESERVED: [&str; 2] = ["response.json", "delivery.json"];

/// Keeps the names of a response's files apart.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn unused(&mut self, name: &str, node: &str) -> String {
        let first = [name.to_owned(), format!("{node}/{name}")];
        let numbered = (2..).map(|number| format!("{node}-{number}/{name}"));
        let mut candidates = first.into_iter().chain(numbered);
        let unused = candidates.find(|candidate| self.is_free(candidate));
        let unused = unused.expect("the candidates never end");
        self.0.insert(unused.clone());
        unused
    }

    /// Neither another file nor a folder of one has the name, and no part of it is a file.
    fn is_free(&self, name: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let taken = self.0.iter().map(String::as_str).chain(RESERVED);
        taken.into_iter().all(|other| !within(name, other) && !within(other, name))
    }
}

/// The files at an output as artifacts; empty where the output is of another type.
pub fn files_at(value: &crate::step::Value) -> &[crate::step::File] {
    value.get::<Files>().map_or(&[], |files| &files.0)
}
