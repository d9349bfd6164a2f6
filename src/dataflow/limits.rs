//! Reading of limits: memory and deadline of a request; time-out, retry and number of runs of a step. Limits
//! do not change what a response contains, so they are not part of the dataflow's version.

use crate::yaml;
use crate::yaml::duration;
use std::time::Duration;

use super::{DataflowNode, MemoryEstimate, ProcessLabel, RequestPriority, RetryRule};
use crate::step::{BatchSize, FaultKind, RateLimit};
use crate::yaml::ProblemCollector;
use crate::yaml::YamlTree;
use crate::yaml::{MapFields, list, number, text, value};

/// The limits of a request.
pub(super) struct RequestLimits {
    pub memory: MemoryEstimate,
    /// The time from acceptance to the first answer.
    pub deadline: Option<Duration>,
}

impl Default for RequestLimits {
    fn default() -> RequestLimits {
        RequestLimits { memory: MemoryEstimate::ONE_COPY, deadline: None }
    }
}

const FIXED_BYTES_MAX: u64 = 1 << 40;
const PER_DECODED_BYTE_MAX: f64 = 1000.0;
const DAYS_7: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const DAYS_30: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Reads `limits` of the dataflow.
pub(super) fn of_dataflow(tree: YamlTree, collector: &mut ProblemCollector) -> RequestLimits {
    let mut fields = MapFields::read(tree, "\"limits\" of the dataflow", &["memory", "deadline"], collector);
    let memory = fields.take("memory").map(|(_, tree)| memory(tree, collector));
    let deadline = fields.take("deadline").and_then(|(_, tree)| {
        let hint =
            "the sender gets an error response when it has passed, and the results when they are there";
        time(tree, "the limit \"deadline\"", MS_1..=DAYS_30, hint, collector)
    });
    RequestLimits { memory: memory.unwrap_or(MemoryEstimate::ONE_COPY), deadline }
}

fn memory(tree: YamlTree, collector: &mut ProblemCollector) -> MemoryEstimate {
    let keys = ["fixed", "per_decoded_byte"];
    let mut fields = MapFields::read(tree, "the limit \"memory\"", &keys, collector);
    let fixed = fields.take("fixed").and_then(|(_, tree)| {
        let read = |text: &str| yaml::size(text).filter(|bytes| *bytes <= FIXED_BYTES_MAX);
        let hint = format!("write a number and one of {}: 64 MiB", yaml::size_units());
        value(tree, "the limit \"fixed\"", "a size from 0 to 1 TiB", &hint, read, collector)
    });
    let factor = fields.take("per_decoded_byte").and_then(|(_, tree)| {
        let takes = format!("a number from 0 to {PER_DECODED_BYTE_MAX}");
        let hint = "it is how many bytes of memory a request takes for each byte of its decoded items";
        let read = |text: &str| number(text).filter(|factor| (0.0..=PER_DECODED_BYTE_MAX).contains(factor));
        value(tree, "the limit \"per_decoded_byte\"", &takes, hint, read, collector)
    });
    MemoryEstimate {
        fixed: fixed.unwrap_or(MemoryEstimate::ONE_COPY.fixed),
        per_decoded_byte: factor.unwrap_or(MemoryEstimate::ONE_COPY.per_decoded_byte),
    }
}

/// Reads `priority` of the dataflow.
pub(super) fn priority(tree: YamlTree, collector: &mut ProblemCollector) -> Option<RequestPriority> {
    let written = text(tree, "\"priority\"", collector)?;
    let found = RequestPriority::named(&written.value);
    if found.is_none() {
        let message = format!("\"priority\" is urgent, normal or off-peak, not \"{}\"", written.value);
        let near = yaml::meant(&written.value, RequestPriority::ALL.map(RequestPriority::name));
        let meaning = "it says which of the waiting requests begins first";
        collector.add(written.place, message).hint(near.unwrap_or_else(|| meaning.to_owned()));
    }
    found
}

/// Reads `share` of the dataflow.
pub(super) fn share(tree: YamlTree, collector: &mut ProblemCollector) -> Option<u32> {
    let hint = "where several dataflows or customers have waiting requests, so many of one begin for each of another";
    whole(tree, "\"share\"", SHARE_MAX, hint, collector).and_then(|share| u32::try_from(share).ok())
}

const SHARE_MAX: usize = 1000;

/// Reads `on` of a step.
pub(super) fn on(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<ProcessLabel> {
    let takes = "a label: small letters and digits, words joined by hyphens";
    let hint = "in a cluster the step runs on a process that was started with this --label: big-memory";
    value(tree, &format!("\"on\" of {what}"), takes, hint, |text| text.parse().ok(), collector)
}

/// Reads `limits` of a step.
pub(super) fn max(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<usize> {
    let mut fields = MapFields::read(tree, format!("\"limits\" of {what}"), &["max"], collector);
    let (_, tree) = fields.take_required("max", collector)?;
    let hint = "\"max\" is how many runs of the step may be under way at once; \
                `enabled: false` switches a step off";
    whole(tree, "the limit \"max\"", DataflowNode::RUNS_MAX, hint, collector)
}

/// Reads `rate` of a step.
pub(super) fn rate(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<RateLimit> {
    let takes = format!("a number from 1 to {}, and /s, /min or /h", RateLimit::COUNT_MAX);
    let hint = "it is how often a run of the step, or a call that it makes, may begin: 10/s";
    value(tree, &format!("\"rate\" of {what}"), &takes, hint, RateLimit::parse, collector)
}

/// Reads `timeout` of a step.
pub(super) fn timeout(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<Duration> {
    let hint = "a run of the step that takes longer is given up, and the step has failed";
    time(tree, &format!("\"timeout\" of {what}"), MS_1..=DAYS_7, hint, collector)
}

/// Reads `retry` of a step.
pub(super) fn retry(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<RetryRule> {
    let keys = ["count", "first_delay", "factor", "cap", "on"];
    let mut fields = MapFields::read(tree, format!("\"retry\" of {what}"), &keys, collector);
    let count = fields.take_required("count", collector).and_then(|(_, tree)| {
        let hint = "it is how often the step is run again after its first run failed";
        whole(tree, "\"count\" of a retry", RetryRule::COUNT_MAX as usize, hint, collector)
    });
    let first_delay = fields.take("first_delay").and_then(|(_, tree)| {
        let hint = "it is the wait before the step is run again for the first time";
        time(tree, "\"first_delay\" of a retry", Duration::ZERO..=DAYS_7, hint, collector)
    });
    let factor = fields.take("factor").and_then(|(_, tree)| factor(tree, collector));
    let cap = fields.take("cap").and_then(|(_, tree)| {
        let hint = "no wait before the step is run again is longer";
        time(tree, "\"cap\" of a retry", Duration::ZERO..=DAYS_7, hint, collector)
    });
    let on = fields.take("on").and_then(|(_, tree)| kinds(tree, collector));
    let usual = RetryRule::default();
    Some(RetryRule {
        count: u32::try_from(count?).expect("the most that it may be fits"),
        first_delay: first_delay.unwrap_or(usual.first_delay),
        factor: factor.unwrap_or(usual.factor),
        cap: cap.unwrap_or(usual.cap),
        on: on.unwrap_or(usual.on),
    })
}

/// Reads `batch` of a step.
pub(super) fn batch(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> BatchSize {
    let mut fields = MapFields::read(tree, format!("\"batch\" of {what}"), &["size", "bytes"], collector);
    let items = fields.take("size").and_then(|(_, tree)| {
        let hint = "it is how many items the step takes at once, at most";
        whole(tree, "\"size\" of a batch", BATCH_ITEMS_MAX, hint, collector)
    });
    let bytes = fields.take("bytes").and_then(|(_, tree)| {
        let read = |text: &str| yaml::size(text).filter(|bytes| (1..=BATCH_BYTES_MAX).contains(bytes));
        let hint = format!("write a number and one of {}: 1 MiB", yaml::size_units());
        value(tree, "\"bytes\" of a batch", "a size from 1 B to 1 GiB", &hint, read, collector)
    });
    BatchSize {
        items: items.unwrap_or(BatchSize::TAKEN.items),
        bytes: bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(BatchSize::TAKEN.bytes),
    }
}

/// Reads `max` of `again`.
pub(super) fn rounds(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<u32> {
    let hint = "it is how often an item may come back; one that would come back once more has failed";
    let rounds = whole(tree, &format!("\"max\" in {what}"), ROUNDS_MAX, hint, collector)?;
    u32::try_from(rounds).ok()
}

const ROUNDS_MAX: usize = 100;
const BATCH_ITEMS_MAX: usize = 1_000_000;
const BATCH_BYTES_MAX: u64 = 1 << 30;

fn factor(tree: YamlTree, collector: &mut ProblemCollector) -> Option<f64> {
    let takes = format!("a number from 1 to {}", RetryRule::FACTOR_MAX);
    let read = |text: &str| number(text).filter(|factor| (1.0..=RetryRule::FACTOR_MAX).contains(factor));
    let hint = "it is how many times as long each further wait is";
    value(tree, "\"factor\" of a retry", &takes, hint, read, collector)
}

fn kinds(tree: YamlTree, collector: &mut ProblemCollector) -> Option<Vec<FaultKind>> {
    let (place, what) = (tree.place, "\"on\" of a retry");
    let kinds = list(tree, what, collector)?;
    if kinds.is_empty() {
        let hint = format!("name some of {}", names().join(", "));
        collector.add(place, format!("{what} is empty")).hint(hint);
    }
    kinds.into_iter().map(|one| kind(one, collector)).collect()
}

fn kind(tree: YamlTree, collector: &mut ProblemCollector) -> Option<FaultKind> {
    let written = text(tree, "a kind of fault", collector)?;
    let found = RetryRule::KINDS.into_iter().find(|kind| kind.name() == written.value);
    if found.is_none() {
        let message = format!("a step is not run again on \"{}\"", written.value);
        collector.add(written.place, message).hint(yaml::meant_or_all(&written.value, names()));
    }
    found
}

fn names() -> [&'static str; 4] {
    RetryRule::KINDS.map(FaultKind::name)
}

const MS_1: Duration = Duration::from_millis(1);

fn time(
    tree: YamlTree,
    what: &str,
    range: std::ops::RangeInclusive<Duration>,
    hint: &str,
    collector: &mut ProblemCollector,
) -> Option<Duration> {
    let takes =
        format!("a time from {} to {}", duration::shown(*range.start()), duration::shown(*range.end()));
    let hint = format!("write a number and one of {}: 30 s; {hint}", duration::units());
    let read = |text: &str| duration::parse(text).filter(|time| range.contains(time));
    value(tree, what, &takes, &hint, read, collector)
}

fn whole(
    tree: YamlTree,
    what: &str,
    most: usize,
    hint: &str,
    collector: &mut ProblemCollector,
) -> Option<usize> {
    let read = |text: &str| text.parse().ok().filter(|number| (1..=most).contains(number));
    value(tree, what, &format!("a whole number from 1 to {most}"), hint, read, collector)
}
