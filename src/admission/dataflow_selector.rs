//! The choice of the dataflow that a request goes through.

use std::sync::{Arc, PoisonError, RwLock};

use schemars::JsonSchema;
use serde::Serialize;

use crate::dataflow::{Dataflow, RequestPriority};
use crate::engine::DataflowSet;
use crate::step::{Digest, Request};

/// The dataflows of a process, and the rule that chooses one of them for a new request.
///
/// A request that was accepted keeps the version of its dataflow: an earlier version that unanswered
/// requests have is added by [`DataflowSelector::add_version`], and chosen for no others. Dataflows and rule
/// can be replaced while requests come in ([`DataflowSelector::replace`]). Clones are one selector: a change holds for
/// all of them.
///
/// ```
/// use std::sync::Arc;
/// use flow::admission::DataflowSelector;
/// use flow::dataflow::Dataflow;
/// use flow::step::{AttributeValues, ResponseFiles, StepOutputs, Request, Step, StepTable};
///
/// let step = Step::new("nothing", 1, "Gives no file.").gives::<ResponseFiles>("files");
/// let table = StepTable::default().with(step.runs(|_| Ok(StepOutputs::one("files", ResponseFiles::default()))));
/// let named = |name: &str| {
///     let text = format!("{{dataflow: {name}, steps: {{a: {{step: nothing}}}}, response: [a]}}");
///     Arc::new(Dataflow::parse(name, &text, &table).unwrap())
/// };
/// let by_modality = |request: &Request| if request.attribute("modality") == "CT" { 0 } else { 1 };
/// let choice = DataflowSelector::by([named("scans"), named("others")], by_modality);
///
/// let attributes = [("modality".to_owned(), AttributeValues::from("CT"))].into();
/// assert_eq!(choice.of(&Request::new("r", attributes, Vec::new())).name(), "scans");
/// ```
#[derive(Clone)]
pub struct DataflowSelector(Arc<RwLock<Arc<DataflowSelection>>>);

#[derive(Clone)]
struct DataflowSelection {
    /// Dataflows that new requests go through.
    dataflows: Vec<Arc<Dataflow>>,
    choose: Arc<SelectDataflow>,
    prioritise: Arc<SelectPriority>,
    rules: Arc<[SelectionRule]>,
    match_rule: Arc<SelectRule>,
    /// Earlier versions.
    versions: Vec<Arc<Dataflow>>,
}

/// Gives the place of a dataflow in the list.
type SelectDataflow = dyn Fn(&Request) -> usize + Send + Sync;

/// Gives the index of the rule that a request matches.
type SelectRule = dyn Fn(&Request) -> Option<usize> + Send + Sync;

/// A rule of the choice, in words, for those who want to know why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SelectionRule {
    /// The condition on a request; empty for the rule that all others match.
    pub when: String,
    /// The name of the dataflow.
    pub dataflow: String,
    /// The customer whose overlay makes the dataflow.
    pub customer: Option<String>,
    /// The priority, if the rule gives one: `urgent`, `normal` or `off-peak`.
    pub priority: Option<&'static str>,
    /// The line of the rule in the site's file, from 1.
    pub line: usize,
}

/// Gives the priority of a request, where it is not left to its dataflow.
type SelectPriority = dyn Fn(&Request) -> Option<RequestPriority> + Send + Sync;

impl DataflowSelector {
    /// A selector of one dataflow for every request.
    pub fn only(dataflow: impl Into<Arc<Dataflow>>) -> DataflowSelector {
        DataflowSelector::by([dataflow.into()], |_| 0)
    }

    /// A selector among several dataflows of different names. `choose` gives the index of one of them, from
    /// 0; an index beyond the last one stands for the last one. The request that `choose` sees is the one
    /// that will run, merged with earlier requests about the same subject.
    ///
    /// # Panics
    /// If there is no dataflow.
    pub fn by(
        dataflows: impl Into<Vec<Arc<Dataflow>>>,
        choose: impl Fn(&Request) -> usize + Send + Sync + 'static,
    ) -> DataflowSelector {
        let dataflows = dataflows.into();
        assert!(!dataflows.is_empty(), "a request needs a dataflow to go through");
        let selection = DataflowSelection {
            dataflows,
            choose: Arc::new(choose),
            prioritise: Arc::new(|_| None),
            rules: Arc::default(),
            match_rule: Arc::new(|_| None),
            versions: Vec::new(),
        };
        DataflowSelector(Arc::new(RwLock::new(Arc::new(selection))))
    }

    /// Chooses priorities of requests, too: where this gives none, the dataflow says it.
    #[must_use]
    pub fn with_priorities(
        self,
        prioritise: impl Fn(&Request) -> Option<RequestPriority> + Send + Sync + 'static,
    ) -> DataflowSelector {
        let now = self.now();
        self.set_now(DataflowSelection {
            prioritise: Arc::new(prioritise),
            ..DataflowSelection::clone(&now)
        });
        self
    }

    /// Says by which rules it chooses: `match_rule` gives the index of the one that a request matches.
    #[must_use]
    pub fn with_rules(
        self,
        rules: impl Into<Arc<[SelectionRule]>>,
        match_rule: impl Fn(&Request) -> Option<usize> + Send + Sync + 'static,
    ) -> DataflowSelector {
        let (now, rules, match_rule) = (self.now(), rules.into(), Arc::new(match_rule));
        self.set_now(DataflowSelection { rules, match_rule, ..DataflowSelection::clone(&now) });
        self
    }

    /// Adds an earlier version of a dataflow, for the requests that were accepted under it. A version that is
    /// there already is not added again.
    pub fn add_version(&self, dataflow: impl Into<Arc<Dataflow>>) {
        let (now, dataflow) = (self.now(), dataflow.into());
        if self.has(dataflow.digest()) {
            return;
        }
        let mut versions = now.versions.clone();
        versions.push(dataflow);
        self.set_now(DataflowSelection { versions, ..DataflowSelection::clone(&now) });
    }

    /// Selects as `new` does for requests from now on. The dataflows of before stay as earlier versions.
    pub fn replace(&self, new: &DataflowSelector) {
        let (now, new) = (self.now(), new.now());
        let is_new = |version: Digest| new.all().any(|dataflow| dataflow.digest() == version);
        let before = now.all().filter(|dataflow| !is_new(dataflow.digest()));
        self.set_now(DataflowSelection {
            versions: new.versions.iter().chain(before).cloned().collect(),
            ..DataflowSelection::clone(&new)
        });
    }

    /// The dataflows that new requests go through.
    pub fn dataflows(&self) -> Vec<Arc<Dataflow>> {
        self.now().dataflows.clone()
    }

    /// The dataflows that the engine has to run: those of new requests, and earlier versions.
    pub fn all(&self) -> impl Iterator<Item = Arc<Dataflow>> {
        let all: Vec<Arc<Dataflow>> = self.now().all().cloned().collect();
        all.into_iter()
    }

    /// The same for the engine.
    pub fn set(&self) -> DataflowSet {
        set_of(self.now().all())
    }

    /// The dataflows that new requests go through, for the engine.
    pub fn current_set(&self) -> DataflowSet {
        set_of(self.now().dataflows.iter())
    }

    /// The earlier versions of dataflows.
    pub fn earlier_versions(&self) -> Vec<Arc<Dataflow>> {
        self.now().versions.clone()
    }

    /// Whether this version of a dataflow is known here.
    pub fn has(&self, version: Digest) -> bool {
        self.now().all().any(|dataflow| dataflow.digest() == version)
    }

    /// The dataflow for a new request.
    pub fn of(&self, request: &Request) -> Arc<Dataflow> {
        let now = self.now();
        let place = (now.choose)(request).min(now.dataflows.len() - 1);
        Arc::clone(&now.dataflows[place])
    }

    /// The priority of a request that goes through a dataflow.
    pub fn priority(&self, request: &Request, dataflow: &Dataflow) -> RequestPriority {
        let said = (self.now().prioritise)(request);
        said.or(dataflow.priority()).unwrap_or_default()
    }

    /// The rules by which it chooses, in their order; none where it was not told any.
    pub fn rules(&self) -> Arc<[SelectionRule]> {
        Arc::clone(&self.now().rules)
    }

    /// The index of the rule that a request matches, if there are rules.
    pub fn rule_of(&self, request: &Request) -> Option<usize> {
        let now = self.now();
        (now.match_rule)(request).filter(|rule| *rule < now.rules.len())
    }

    /// The dataflow of an accepted request: its version if that is known here, else the current one of its
    /// name. `None` if no dataflow of the name is known: a request may belong to another process.
    pub fn accepted(&self, name: &str, version: Option<Digest>) -> Option<Arc<Dataflow>> {
        let now = self.now();
        let mut all = now.all();
        let same = all.find(|dataflow| dataflow.name() == name && Some(dataflow.digest()) == version);
        same.or_else(|| now.all().find(|dataflow| dataflow.name() == name)).cloned()
    }

    /// The dataflow of an accepted request that an operator has asked to retry: the current one of its name, if it
    /// differs from its version in bounds of loops only, so that items which came to a bound can go on; otherwise that
    /// of [`DataflowSelector::accepted`].
    pub fn retried(&self, name: &str, version: Option<Digest>) -> Option<Arc<Dataflow>> {
        let accepted = self.accepted(name, version)?;
        let now = self.now();
        let mut current = now.dataflows.iter().filter(|dataflow| dataflow.name() == name);
        Some(current.find(|dataflow| dataflow.is_but_for_bounds(&accepted)).cloned().unwrap_or(accepted))
    }

    fn now(&self) -> Arc<DataflowSelection> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_now(&self, selection: DataflowSelection) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(selection);
    }
}

impl DataflowSelection {
    fn all(&self) -> impl Iterator<Item = &Arc<Dataflow>> {
        self.dataflows.iter().chain(&self.versions)
    }
}

fn set_of<'a>(mut dataflows: impl Iterator<Item = &'a Arc<Dataflow>>) -> DataflowSet {
    let first = dataflows.next().expect("a selector has a dataflow");
    dataflows.cloned().fold(DataflowSet::new(Arc::clone(first)), DataflowSet::with)
}
