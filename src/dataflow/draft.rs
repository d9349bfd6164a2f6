//! A dataflow file as it is written: the right keys with the right kinds of values, nothing
//! looked up yet.

use super::collector::{Collector, Place, Placed};
use super::condition::Condition;
use super::fields::{Fields, entries, flag, list, number, text};
use super::size;
use super::yaml::{self, Entry, Tree};
use super::{Memory, Node, Phase};

/// A part is `None` or left out where a problem has been noted instead.
pub(super) struct Draft {
    pub name: Option<Placed<String>>,
    pub about: String,
    pub memory: Memory,
    /// Those of the work first, each part in the order of the file.
    pub nodes: Vec<DraftNode>,
    pub response: Vec<Placed<String>>,
}

pub(super) struct DraftNode {
    pub name: Placed<String>,
    pub phase: Phase,
    pub step: Option<Placed<String>>,
    pub needs: Option<Vec<Need>>,
    pub settings: Vec<Entry>,
    pub when: Option<Condition>,
    pub enabled: bool,
    pub max: Option<usize>,
}

/// An input and what it is wired to.
pub(super) struct Need {
    pub input: Placed<String>,
    pub source: Option<Placed<String>>,
}

const FILE_KEYS: [&str; 6] = ["dataflow", "about", "limits", "steps", "response", "failure"];
const NODE_KEYS: [&str; 6] = ["step", "needs", "with", "when", "enabled", "limits"];
const FIXED_BYTES_MAX: u64 = 1 << 40;
const PER_DECODED_BYTE_MAX: f64 = 1000.0;

impl Draft {
    /// `None` if the text is not a map at all.
    pub fn read(file_text: &str, collector: &mut Collector) -> Option<Draft> {
        let tree = yaml::read(file_text, collector)?;
        let start = Place { line: 1, column: 1, width: 1 };
        let mut fields = Fields::read(tree, "the dataflow", &FILE_KEYS, collector).at(start);
        let name = fields.take_required("dataflow", collector);
        let about = fields.take("about").and_then(|(_, tree)| text(tree, "\"about\"", collector));
        let limits = fields.take("limits");
        let steps = fields.take_required("steps", collector);
        let failure = fields.take("failure");
        let response = fields.take_required("response", collector);
        let mut all = nodes(steps, Phase::Work, collector);
        all.extend(nodes(failure, Phase::Failure, collector));
        Some(Draft {
            name: name.and_then(|(_, tree)| text(tree, "the name of the dataflow", collector)),
            about: about.map(|about| about.value.trim().to_owned()).unwrap_or_default(),
            memory: limits.and_then(|limits| memory(limits, collector)).unwrap_or(Memory::ONE_COPY),
            nodes: all,
            response: response.map(|entry| names(entry, collector)).unwrap_or_default(),
        })
    }
}

fn nodes(part: Option<Entry>, phase: Phase, collector: &mut Collector) -> Vec<DraftNode> {
    let Some((key, tree)) = part else { return Vec::new() };
    let what = format!("\"{}\"", key.value);
    let Some(entries) = entries(tree, &what, collector) else { return Vec::new() };
    if entries.is_empty() {
        collector.add(key.place, format!("{what} has no steps"));
    }
    entries.into_iter().map(|entry| DraftNode::read(entry, phase, collector)).collect()
}

fn names((key, tree): Entry, collector: &mut Collector) -> Vec<Placed<String>> {
    let Some(list) = list(tree, "the response", collector) else { return Vec::new() };
    if list.is_empty() {
        let hint = "name the steps whose files go back to the sender".to_owned();
        collector.add(key.place, "the response is empty").hint(hint);
    }
    list.into_iter().filter_map(|one| text(one, "a part of the response", collector)).collect()
}

impl DraftNode {
    fn read((name, tree): Entry, phase: Phase, collector: &mut Collector) -> DraftNode {
        let what = format!("the step \"{}\"", name.value);
        let mut fields = Fields::read(tree, &what, &NODE_KEYS, collector).at(name.place);
        let step = fields.take_required("step", collector);
        let needs = match fields.take("needs") {
            Some((_, tree)) => needs(tree, &what, collector),
            None => fields.lacks("needs").then(Vec::new),
        };
        let settings = fields
            .take("with")
            .and_then(|(_, tree)| entries(tree, &format!("\"with\" of {what}"), collector));
        let when = fields.take("when").and_then(|(_, tree)| Condition::read(tree, &what, collector));
        let enabled = fields.take("enabled").and_then(|(_, tree)| enabled(tree, &what, collector));
        let max = fields.take("limits").and_then(|(_, tree)| max(tree, &what, collector));
        DraftNode {
            phase,
            step: step.and_then(|(_, tree)| text(tree, "the name of a step", collector)),
            needs,
            settings: settings.unwrap_or_default(),
            when,
            enabled: enabled.unwrap_or(true),
            max,
            name,
        }
    }
}

fn needs(tree: Tree, what: &str, collector: &mut Collector) -> Option<Vec<Need>> {
    let entries = entries(tree, &format!("\"needs\" of {what}"), collector)?;
    let need = |(input, tree): Entry| {
        let need = format!("the need \"{}\" of {what}", input.value);
        Need { source: text(tree, &need, collector), input }
    };
    Some(entries.into_iter().map(need).collect())
}

fn enabled(tree: Tree, what: &str, collector: &mut Collector) -> Option<bool> {
    let written = text(tree, &format!("\"enabled\" of {what}"), collector)?;
    let enabled = flag(&written.value);
    if enabled.is_none() {
        collector.add(written.place, format!("\"enabled\" is true or false, not \"{}\"", written.value));
    }
    enabled
}

fn max(tree: Tree, what: &str, collector: &mut Collector) -> Option<usize> {
    let mut fields = Fields::read(tree, format!("\"limits\" of {what}"), &["max"], collector);
    let (_, tree) = fields.take_required("max", collector)?;
    let written = text(tree, "the limit \"max\"", collector)?;
    let max = written.value.parse().ok().filter(|max| (1..=Node::RUNS_MAX).contains(max));
    if max.is_none() {
        let message = format!(
            "the limit \"max\" is a whole number from 1 to {}, not \"{}\"",
            Node::RUNS_MAX,
            written.value
        );
        let hint = "\"max\" is how many runs of the step may be under way at once; \
                    `enabled: false` switches a step off";
        collector.add(written.place, message).hint(hint.to_owned());
    }
    max
}

fn memory((_, tree): Entry, collector: &mut Collector) -> Option<Memory> {
    let mut limits = Fields::read(tree, "\"limits\" of the dataflow", &["memory"], collector);
    let (_, tree) = limits.take_required("memory", collector)?;
    let keys = ["fixed", "per_decoded_byte"];
    let mut fields = Fields::read(tree, "the limit \"memory\"", &keys, collector);
    let fixed = fields.take("fixed").and_then(|(_, tree)| fixed(tree, collector));
    let factor = fields.take("per_decoded_byte").and_then(|(_, tree)| per_decoded_byte(tree, collector));
    Some(Memory {
        fixed: fixed.unwrap_or(Memory::ONE_COPY.fixed),
        per_decoded_byte: factor.unwrap_or(Memory::ONE_COPY.per_decoded_byte),
    })
}

fn fixed(tree: Tree, collector: &mut Collector) -> Option<u64> {
    let written = text(tree, "the limit \"fixed\"", collector)?;
    let bytes = size::parse(&written.value).filter(|bytes| *bytes <= FIXED_BYTES_MAX);
    if bytes.is_none() {
        let message = format!("the limit \"fixed\" is a size from 0 to 1 TiB, not \"{}\"", written.value);
        let hint = format!("write a number and one of {}: 64 MiB", size::units());
        collector.add(written.place, message).hint(hint);
    }
    bytes
}

fn per_decoded_byte(tree: Tree, collector: &mut Collector) -> Option<f64> {
    let written = text(tree, "the limit \"per_decoded_byte\"", collector)?;
    let factor = number(&written.value).filter(|factor| (0.0..=PER_DECODED_BYTE_MAX).contains(factor));
    if factor.is_none() {
        let message = format!(
            "the limit \"per_decoded_byte\" is a number from 0 to {PER_DECODED_BYTE_MAX}, not \"{}\"",
            written.value
        );
        let hint = "it is how many bytes of memory a request takes for each byte of its decoded items";
        collector.add(written.place, message).hint(hint.to_owned());
    }
    factor
}
