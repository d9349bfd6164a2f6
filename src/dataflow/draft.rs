//! The draft of a dataflow: keys and values of the file are valid, but no name has been looked up yet.

use crate::yaml;
use std::path::Path;
use std::time::Duration;

use super::condition::StepCondition;
use super::limits::{self, RequestLimits};
use super::{
    FailurePolicy, ItemFailurePolicy, NodePhase, ProcessLabel, RequestPriority, RetryRule, RevisionPolicy,
    owned_section, programs,
};
use crate::step::{BatchSize, RateLimit, StepTable};
use crate::yaml::{MapFields, entries, flag, list, text};
use crate::yaml::{PlacedValue, ProblemCollector, SourcePlace};
use crate::yaml::{YamlEntry, YamlShape, YamlTree};

/// The content of a dataflow file. A part with a problem is `None` or left out, and the problem is noted.
pub(super) struct DataflowDraft {
    pub name: Option<PlacedValue<String>>,
    pub about: String,
    pub limits: RequestLimits,
    pub on_failure: FailurePolicy,
    pub on_item_failure: ItemFailurePolicy,
    pub revisions: RevisionPolicy,
    pub priority: Option<RequestPriority>,
    pub share: u32,
    /// The nodes: first those of the work, then those of the failure part, each in the order of the file.
    pub nodes: Vec<DraftNode>,
    pub response: Vec<PlacedValue<String>>,
}

pub(super) struct DraftNode {
    pub name: PlacedValue<String>,
    pub phase: NodePhase,
    pub step: Option<PlacedValue<String>>,
    pub needs: Option<Vec<DraftNeed>>,
    pub settings: Vec<YamlEntry>,
    pub when: Option<StepCondition>,
    pub enabled: bool,
    pub on: Option<ProcessLabel>,
    pub max: Option<usize>,
    pub rate: Option<RateLimit>,
    pub timeout: Option<Duration>,
    pub retry: Option<RetryRule>,
    pub batch: Option<BatchSize>,
    pub again: Option<DraftAgain>,
}

/// An input and its source.
pub(super) struct DraftNeed {
    pub input: PlacedValue<String>,
    pub source: Option<PlacedValue<String>>,
    /// Further sources of a list: streams that meet.
    pub more: Vec<PlacedValue<String>>,
}

/// The items that go back to a step.
pub(super) struct DraftAgain {
    pub need: DraftNeed,
    /// How often an item may go back.
    pub max: u32,
}

const FILE_KEYS: [&str; 12] = [
    "dataflow",
    "about",
    "limits",
    "programs",
    "steps",
    "response",
    "on_failure",
    "on_item_failure",
    "failure",
    "revisions",
    "priority",
    "share",
];
const NODE_KEYS: [&str; 12] = [
    "step", "needs", "with", "when", "enabled", "on", "limits", "rate", "timeout", "retry", "batch", "again",
];

impl DataflowDraft {
    /// Reads the tree of a file, and returns the table with the steps of the file's programs, too.
    pub fn read(
        tree: YamlTree,
        table: &StepTable,
        collector: &mut ProblemCollector,
    ) -> (DataflowDraft, StepTable) {
        let start = SourcePlace::START;
        let keys = owned_section::with_keys(&FILE_KEYS);
        let mut fields = MapFields::read(tree, "the dataflow", &keys, collector).at(start);
        owned_section::check_all(&mut fields, collector);
        // Their paths are absolute by now.
        let programs = fields.take("programs").map(|(_, tree)| tree);
        let table = programs::extended(programs, Path::new(""), table, collector);
        let name = fields.take_required("dataflow", collector);
        let about = fields.take("about").and_then(|(_, tree)| text(tree, "\"about\"", collector));
        let limits = fields.take("limits").map(|(_, tree)| limits::of_dataflow(tree, collector));
        let on_failure = fields.take("on_failure").and_then(|(_, tree)| on_failure(tree, collector));
        let on_item_failure =
            fields.take("on_item_failure").and_then(|(_, tree)| on_item_failure(tree, collector));
        let revisions = fields.take("revisions").and_then(|(_, tree)| revisions(tree, collector));
        let priority = fields.take("priority").and_then(|(_, tree)| limits::priority(tree, collector));
        let share = fields.take("share").and_then(|(_, tree)| limits::share(tree, collector));
        let steps = fields.take_required("steps", collector);
        let failure = fields.take("failure");
        let response = fields.take_required("response", collector);
        let mut all = nodes(steps, NodePhase::Work, &table, collector);
        all.extend(nodes(failure, NodePhase::Failure, &table, collector));
        let draft = DataflowDraft {
            name: name.and_then(|(_, tree)| text(tree, "the name of the dataflow", collector)),
            about: about.map(|about| about.value.trim().to_owned()).unwrap_or_default(),
            limits: limits.unwrap_or_default(),
            on_failure: on_failure.unwrap_or_default(),
            on_item_failure: on_item_failure.unwrap_or_default(),
            revisions: revisions.unwrap_or_default(),
            priority,
            share: share.unwrap_or(1),
            nodes: all,
            response: response.map(|entry| names(entry, collector)).unwrap_or_default(),
        };
        (draft, table)
    }
}

fn nodes(
    part: Option<YamlEntry>,
    phase: NodePhase,
    table: &StepTable,
    collector: &mut ProblemCollector,
) -> Vec<DraftNode> {
    let Some((key, tree)) = part else { return Vec::new() };
    let what = format!("\"{}\"", key.value);
    let Some(entries) = entries(tree, &what, collector) else { return Vec::new() };
    if entries.is_empty() {
        collector.add(key.place, format!("{what} has no steps"));
    }
    entries.into_iter().map(|entry| DraftNode::read(entry, phase, table, collector)).collect()
}

fn names((key, tree): YamlEntry, collector: &mut ProblemCollector) -> Vec<PlacedValue<String>> {
    let Some(list) = list(tree, "the response", collector) else { return Vec::new() };
    if list.is_empty() {
        let hint = "name the steps whose files go back to the sender".to_owned();
        collector.add(key.place, "the response is empty").hint(hint);
    }
    list.into_iter().filter_map(|one| text(one, "a part of the response", collector)).collect()
}

impl DraftNode {
    fn read(
        (name, tree): YamlEntry,
        phase: NodePhase,
        table: &StepTable,
        collector: &mut ProblemCollector,
    ) -> DraftNode {
        let what = format!("the step \"{}\"", name.value);
        let mut fields = MapFields::read(tree, &what, &NODE_KEYS, collector).at(name.place);
        let step = fields.take_required("step", collector);
        let needs = match fields.take("needs") {
            Some((_, tree)) => needs(tree, &what, collector),
            None => fields.lacks("needs").then(Vec::new),
        };
        let settings = fields
            .take("with")
            .and_then(|(_, tree)| entries(tree, &format!("\"with\" of {what}"), collector));
        let when =
            fields.take("when").and_then(|(_, tree)| StepCondition::read(tree, &what, table, collector));
        let enabled = fields.take("enabled").and_then(|(_, tree)| enabled(tree, &what, collector));
        let on = fields.take("on").and_then(|(_, tree)| limits::on(tree, &what, collector));
        let max = fields.take("limits").and_then(|(_, tree)| limits::max(tree, &what, collector));
        let rate = fields.take("rate").and_then(|(_, tree)| limits::rate(tree, &what, collector));
        let timeout = fields.take("timeout").and_then(|(_, tree)| limits::timeout(tree, &what, collector));
        let retry = fields.take("retry").and_then(|(_, tree)| limits::retry(tree, &what, collector));
        let batch = fields.take("batch").map(|(_, tree)| limits::batch(tree, &what, collector));
        let again = fields.take("again").and_then(|(key, tree)| again(key, tree, &what, collector));
        DraftNode {
            phase,
            step: step.and_then(|(_, tree)| text(tree, "the name of a step", collector)),
            needs,
            settings: settings.unwrap_or_default(),
            when,
            enabled: enabled.unwrap_or(true),
            on,
            max,
            rate,
            timeout,
            retry,
            batch,
            again,
            name,
        }
    }
}

fn needs(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<Vec<DraftNeed>> {
    let entries = entries(tree, &format!("\"needs\" of {what}"), collector)?;
    Some(entries.into_iter().map(|entry| need(entry, what, collector)).collect())
}

/// A need: one source, or a list of streams that meet.
fn need((input, tree): YamlEntry, what: &str, collector: &mut ProblemCollector) -> DraftNeed {
    let need = format!("the need \"{}\" of {what}", input.value);
    if !matches!(tree.value, YamlShape::List(_)) {
        return DraftNeed { source: text(tree, &need, collector), input, more: Vec::new() };
    }
    let place = tree.place;
    let all = list(tree, &need, collector).unwrap_or_default();
    if all.is_empty() {
        collector.add(place, format!("{need} is an empty list"));
    }
    let mut sources = all.into_iter().filter_map(|one| text(one, &need, collector));
    let source = sources.next();
    let more = sources.collect();
    DraftNeed { source, input, more }
}

/// Reads `again` of a step: `{INPUT: SOURCE, max: N}`.
fn again(
    key: PlacedValue<String>,
    tree: YamlTree,
    what: &str,
    collector: &mut ProblemCollector,
) -> Option<DraftAgain> {
    let what = format!("\"again\" of {what}");
    let (max, needs): (Vec<YamlEntry>, Vec<YamlEntry>) =
        entries(tree, &what, collector)?.into_iter().partition(|(name, _)| name.value == "max");
    let max = max.into_iter().next().and_then(|(_, tree)| limits::rounds(tree, &what, collector));
    match (max, <[YamlEntry; 1]>::try_from(needs)) {
        (Some(max), Ok([entry])) => Some(DraftAgain { need: need(entry, &what, collector), max }),
        (Some(_), Err(_)) | (None, _) => {
            let hint =
                "write {INPUT: STEP.OUTPUT, max: 5}: what the output gives comes back to the input, so often";
            collector.add(key.place, format!("{what} names one input and \"max\"")).hint(hint.to_owned());
            None
        }
    }
}

fn enabled(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<bool> {
    let written = text(tree, &format!("\"enabled\" of {what}"), collector)?;
    let enabled = flag(&written.value);
    if enabled.is_none() {
        collector.add(written.place, format!("\"enabled\" is true or false, not \"{}\"", written.value));
    }
    enabled
}

fn revisions(tree: YamlTree, collector: &mut ProblemCollector) -> Option<RevisionPolicy> {
    let written = text(tree, "\"revisions\"", collector)?;
    let revisions = RevisionPolicy::ALL.into_iter().find(|revisions| revisions.name() == written.value);
    if revisions.is_none() {
        let message = format!("\"revisions\" is supersede or ignore, not \"{}\"", written.value);
        let hint = "it says what happens when more comes of what was answered already";
        collector.add(written.place, message).hint(hint.to_owned());
    }
    revisions
}

fn on_item_failure(tree: YamlTree, collector: &mut ProblemCollector) -> Option<ItemFailurePolicy> {
    let written = text(tree, "\"on_item_failure\"", collector)?;
    let found = ItemFailurePolicy::parse(&written.value);
    if found.is_none() {
        let message = format!(
            "\"on_item_failure\" is fail, partial above 95 % or complete with reservations, not \"{}\"",
            written.value
        );
        let hint = "it says what the response is when some items of a stream failed";
        collector.add(written.place, message).hint(hint.to_owned());
    }
    found
}

fn on_failure(tree: YamlTree, collector: &mut ProblemCollector) -> Option<FailurePolicy> {
    let written = text(tree, "\"on_failure\"", collector)?;
    let found = FailurePolicy::ALL.into_iter().find(|one| one.name() == written.value);
    if found.is_none() {
        let message = format!("\"on_failure\" is continue or stop, not \"{}\"", written.value);
        let near = yaml::meant(&written.value, FailurePolicy::ALL.map(FailurePolicy::name));
        let meaning = "with `stop`, nothing behind a step that failed is run; with `continue`, what can be";
        collector.add(written.place, message).hint(near.unwrap_or_else(|| meaning.to_owned()));
    }
    found
}
