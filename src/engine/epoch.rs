//! One request on its way: what the operators of a lane share about it.
//!
//! An epoch lives on one worker, its home. Only the request travels there and the response back, so
//! neither pixels nor handles on them ever leave the process, and no operator needs a lock.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dataflow::Dataflow;
use crate::dataflow::perform::{Left, Place};
use crate::dataflow::response::{Account, Response};
use crate::step::{Artifact, Fault, Outcome, Outcomes, Request};

use super::as_json;
use super::budget::Claim;

/// What travels from the entrance to a lane's home.
#[derive(Clone, Serialize, Deserialize)]
pub struct Admitted {
    #[serde(with = "as_json")]
    pub request: Arc<Request>,
    /// Why it is not to be begun.
    #[serde(with = "as_json")]
    pub refused: Option<Fault>,
}

/// What travels from the home back to the entrance.
#[derive(Clone, Serialize, Deserialize)]
pub struct Answer(#[serde(with = "as_json")] pub Response);

/// What travels between the operators of a lane. Cloning shares everything.
#[derive(Clone)]
pub struct Emission {
    pub epoch: Rc<Epoch>,
    /// For a node that runs per item: which.
    pub item: Option<usize>,
    /// `None` from the gate and the judge, which have nothing to give but the epoch.
    pub left: Option<Left>,
}

pub struct Epoch {
    pub request: Arc<Request>,
    /// Why the request could not be begun.
    pub refused: Option<Fault>,
    accounts: RefCell<Vec<Account>>,
    outcomes: OnceCell<Arc<Outcomes>>,
    /// Given back when the last operator has let go of the epoch.
    _memory: Option<Claim>,
}

impl Epoch {
    pub fn new(dataflow: &Dataflow, request: Arc<Request>, begun: Result<Claim, Fault>) -> Rc<Epoch> {
        let accounts = dataflow.nodes.iter().map(|node| Account::of(node.runs_of(&request)));
        let accounts = RefCell::new(accounts.collect());
        let (memory, refused) = match begun {
            Ok(claim) => (Some(claim), None),
            Err(fault) => (None, Some(fault)),
        };
        Rc::new(Epoch { request, refused, accounts, outcomes: OnceCell::new(), _memory: memory })
    }

    pub fn place(&self, item: Option<usize>) -> Place<'_> {
        let refused = self.refused.is_some();
        Place { request: &self.request, item, outcomes: self.outcomes.get(), refused }
    }

    /// Whether a step of the work failed; known once it has been judged.
    pub fn has_failed(&self) -> bool {
        self.outcomes.get().is_some_and(|outcomes| outcomes.faults().next().is_some())
    }

    pub fn record(
        &self,
        node: usize,
        item: Option<usize>,
        outcome: Outcome,
        files: Vec<(&'static str, Vec<Artifact>)>,
    ) {
        let account = &mut self.accounts.borrow_mut()[node];
        account.outcomes[item.unwrap_or(0)] = outcome;
        account.files[item.unwrap_or(0)] = files;
    }

    /// Closes the books over the work.
    pub fn judge(&self, dataflow: &Dataflow) {
        let reports = dataflow.work_reports(&self.request, self.refused.as_ref(), &self.accounts.borrow());
        self.outcomes.get_or_init(|| Arc::new(Outcomes(reports)));
    }

    pub fn respond(&self, dataflow: &Dataflow) -> Response {
        dataflow.respond(&self.request, self.refused.as_ref(), &self.accounts.borrow())
    }
}
