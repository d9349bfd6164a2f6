//! One request on its way: what the operators of a lane share about it.
//!
//! An epoch lives on one worker, its home. Only the request travels there and the response back, so
//! neither pixels nor handles on them ever leave the process, and no operator needs a lock.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dataflow::perform::{RunContext, RunResult};
use crate::dataflow::response::{NodeAccount, Response};
use crate::dataflow::{Dataflow, FailurePolicy, NodePhase};
use crate::step::{Artifact, Fault, Outcome, OutcomeReason, Request, StepOutcomes, StepOutputs};

use super::as_json;
use super::budget::MemoryClaim;
use super::run::NodeRun;

/// Messages from the scheduler to the worker that is a lane's home. `Cancel` and `Overdue` concern the
/// request that began last; their timely times are later than its own, so that they never hold it up.
#[derive(Clone, Serialize, Deserialize)]
pub enum LaneOrder {
    Begin(#[serde(with = "as_json")] EpochBegin),
    Cancel,
    /// The deadline has passed, which was this long after the acceptance.
    Overdue(Duration),
}

/// A request that takes a lane.
#[derive(Clone, Serialize, Deserialize)]
pub struct EpochBegin {
    pub request: Arc<Request>,
    /// The fault because of which the request is not run.
    pub refused: Option<Fault>,
}

/// A response on its way from a lane's home worker back to the scheduler.
#[derive(Clone, Serialize, Deserialize)]
pub struct EpochAnswer(#[serde(with = "as_json")] pub Response);

/// A message between the operators of a lane. Cloning shares everything.
#[derive(Clone)]
pub struct NodeEmission {
    pub epoch: Rc<Epoch>,
    /// The index of the item, for a node that runs per item.
    pub item: Option<usize>,
    /// The result of the run; `None` from the opener and the judge, which only announce the epoch.
    pub left: Option<RunResult>,
}

pub struct Epoch {
    pub request: Arc<Request>,
    /// The fault because of which the request is not run.
    pub refused: Option<Fault>,
    accounts: RefCell<Vec<NodeAccount>>,
    outcomes: OnceCell<Arc<StepOutcomes>>,
    /// Runs under way, by node and run.
    runs: RefCell<BTreeMap<(usize, usize), Arc<NodeRun>>>,
    cancelled: Cell<bool>,
    /// With `on_failure: stop`, the first node so far that failed.
    stopped: Cell<Option<usize>>,
    /// Given back when the last operator has let go of the epoch.
    _memory: Option<MemoryClaim>,
}

impl Epoch {
    pub fn new(dataflow: &Dataflow, request: Arc<Request>, begun: Result<MemoryClaim, Fault>) -> Rc<Epoch> {
        let accounts = dataflow.nodes.iter().map(|node| NodeAccount::of(node.runs_of(&request)));
        let accounts = RefCell::new(accounts.collect());
        let (memory, refused) = match begun {
            Ok(claim) => (Some(claim), None),
            Err(fault) => (None, Some(fault)),
        };
        Rc::new(Epoch {
            request,
            refused,
            accounts,
            outcomes: OnceCell::new(),
            runs: RefCell::default(),
            cancelled: Cell::new(false),
            stopped: Cell::new(None),
            _memory: memory,
        })
    }

    pub fn place(&self, item: Option<usize>) -> RunContext<'_> {
        let refused = self.refused.is_some();
        RunContext { request: &self.request, item, outcomes: self.outcomes.get(), refused }
    }

    /// Whether a step of the work failed. Known once the outcomes are fixed; `false` before.
    pub fn has_failed(&self) -> bool {
        self.outcomes.get().is_some_and(|outcomes| outcomes.faults().next().is_some())
    }

    /// The outcome of a run that is not to begin although its needs are met.
    pub fn prevents(&self, dataflow: &Dataflow, node: usize) -> Option<Outcome> {
        let stopped = self.stopped.get().filter(|first| *first < node);
        match (dataflow.nodes[node].phase, stopped) {
            (NodePhase::Failure, _) => None,
            (NodePhase::Work, Some(first)) => {
                let because = OutcomeReason::Stopped { step: dataflow.nodes[first].name.to_string() };
                Some(Outcome::Skipped { because })
            }
            (NodePhase::Work, None) => self.cancelled.get().then(|| Outcome::Failed(Fault::cancelled())),
        }
    }

    /// Notes a run that is under way, so that it can be cancelled.
    pub fn begin(&self, node: usize, item: Option<usize>, run: Arc<NodeRun>) {
        self.runs.borrow_mut().insert((node, item.unwrap_or(0)), run);
    }

    /// Notes how a run of a node ended.
    pub fn end(
        &self,
        dataflow: &Dataflow,
        node: usize,
        item: Option<usize>,
        outcome: Outcome,
        files: Vec<(&'static str, Vec<Artifact>)>,
    ) {
        self.runs.borrow_mut().remove(&(node, item.unwrap_or(0)));
        let account = &mut self.accounts.borrow_mut()[node];
        let in_section = account.section.as_ref().is_some_and(|section| section.has_failed());
        let failed = matches!(outcome, Outcome::Failed(_)) || in_section;
        let failed = failed && dataflow.nodes[node].phase == NodePhase::Work;
        account.outcomes[item.unwrap_or(0)] = outcome;
        account.files[item.unwrap_or(0)] = files;
        if failed && dataflow.on_failure == FailurePolicy::Stop {
            self.stop_behind(dataflow, node);
        }
    }

    /// Notes what the outputs of a run say besides their values.
    pub fn note_outputs(&self, node: usize, item: Option<usize>, outputs: &StepOutputs) {
        self.accounts.borrow_mut()[node].note_outputs(item.unwrap_or(0), outputs);
    }

    /// Gives up what is under way, and begins nothing more. The failure part is not concerned.
    pub fn cancel(&self, dataflow: &Dataflow) {
        self.cancelled.set(true);
        self.give_up(0..dataflow.work_count());
    }

    fn stop_behind(&self, dataflow: &Dataflow, node: usize) {
        if self.stopped.get().is_none_or(|first| node < first) {
            self.stopped.set(Some(node));
            self.give_up(node + 1..dataflow.work_count());
        }
    }

    fn give_up(&self, nodes: std::ops::Range<usize>) {
        self.runs.borrow().range((nodes.start, 0)..(nodes.end, 0)).for_each(|(_, run)| run.cancel());
    }

    /// The interim response of the epoch when its deadline has passed.
    pub fn unfinished(&self, dataflow: &Dataflow, after: Duration) -> Response {
        dataflow.unfinished(&self.request, after, &self.accounts.borrow())
    }

    /// Fixes the outcomes of the work steps, once.
    pub fn judge(&self, dataflow: &Dataflow) {
        let reports = dataflow.work_reports(&self.request, self.refused.as_ref(), &self.accounts.borrow());
        self.outcomes.get_or_init(|| Arc::new(StepOutcomes(reports)));
    }

    pub fn respond(&self, dataflow: &Dataflow) -> Response {
        dataflow.respond(&self.request, self.refused.as_ref(), &self.accounts.borrow())
    }
}
