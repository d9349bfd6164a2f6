//! `rules`: the choice of the dataflow for a request, by its attributes.
//!
//! ```yaml
//! rules:
//!   - when: {modality: CT, series_description: {matches: "*chest*"}}   # as the `when` of a step
//!     dataflow: ct-lung
//!   - when: {calling_ae: [TEST, DEV]}
//!     dataflow: dataflows/test.yaml
//!     priority: off-peak
//!   - when: {calling_ae: NORTH}
//!     customer: north                                               # the overlay customers/north.yaml
//!   - default: ct-lung                                                # all others; always the last
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use crate::dataflow::{RequestPriority, StepCondition};
use crate::step::{Request, StepTable};
use crate::yaml::{PlacedValue, SourcePlace, YamlShape, YamlTree, list, meant_or_all};

use super::SectionReader;
use super::general::dataflow_path;

/// Rules in their order, and the default dataflow for requests that match none.
#[derive(Clone, Debug)]
pub struct DataflowRules {
    pub rules: Vec<DataflowRule>,
    pub default: DefaultRule,
}

/// A rule: requests that match `when` go through this dataflow.
#[derive(Clone, Debug)]
pub struct DataflowRule {
    pub when: StepCondition,
    /// The name of a built-in dataflow, or the path of a file: that of a dataflow, or of a customer's overlay.
    pub dataflow: String,
    /// The place of its name in the file.
    pub dataflow_at: SourcePlace,
    /// The customer, if the rule names one.
    pub customer: Option<String>,
    pub priority: Option<RequestPriority>,
    /// The line of the rule in the file, from 1.
    pub line: usize,
}

/// The last rule, which every request matches.
#[derive(Clone, Debug)]
pub struct DefaultRule {
    pub dataflow: String,
    /// The place of its name in the file.
    pub dataflow_at: SourcePlace,
    pub priority: Option<RequestPriority>,
    pub line: usize,
}

/// The choice for one request: the dataflow, and the rule that gave it. Displayed in words.
#[derive(Clone, Copy, Debug)]
pub struct DataflowChoice<'a> {
    pub dataflow: &'a str,
    pub priority: Option<RequestPriority>,
    /// The index of the rule; `None` for the default.
    pub rule: Option<usize>,
    pub line: usize,
    customer: Option<&'a str>,
    when: Option<&'a StepCondition>,
}

impl DataflowRules {
    /// The dataflow for a request: that of the first rule that it matches. Only the attributes of the request
    /// count.
    pub fn choose(&self, request: &Request) -> DataflowChoice<'_> {
        let holding = self.rules.iter().enumerate().find(|(_, rule)| rule.when.holds(request));
        match holding {
            Some((index, DataflowRule { when, dataflow, customer, priority, line, .. })) => {
                let (rule, when, customer) = (Some(index), Some(when), customer.as_deref());
                DataflowChoice { dataflow, priority: *priority, rule, line: *line, customer, when }
            }
            None => {
                let DefaultRule { dataflow, priority, line, .. } = &self.default;
                let (rule, customer, when) = (None, None, None);
                DataflowChoice { dataflow, priority: *priority, rule, line: *line, customer, when }
            }
        }
    }

    /// The first place in the file that names a dataflow.
    pub fn place_of(&self, dataflow: &str) -> Option<SourcePlace> {
        let rules = self.rules.iter().map(|rule| (&rule.dataflow, rule.dataflow_at));
        let mut named = rules.chain([(&self.default.dataflow, self.default.dataflow_at)]);
        named.find(|(name, _)| *name == dataflow).map(|(_, place)| place)
    }

    /// The dataflows of all rules, each once.
    pub fn dataflows(&self) -> Vec<&str> {
        let all = self.rules.iter().map(|rule| rule.dataflow.as_str());
        let mut each: Vec<&str> = Vec::new();
        for dataflow in all.chain([self.default.dataflow.as_str()]) {
            if !each.contains(&dataflow) {
                each.push(dataflow);
            }
        }
        each
    }
}

impl fmt::Display for DataflowChoice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rule, self.when) {
            (Some(index), Some(when)) => write!(f, "rule {} (line {}): {when}", index + 1, self.line)?,
            _ => write!(f, "the default (line {})", self.line)?,
        }
        self.customer.map_or(Ok(()), |customer| write!(f, ", for the customer {customer}"))
    }
}

const PRIORITIES: [(&str, RequestPriority); 3] = [
    ("urgent", RequestPriority::Urgent),
    ("normal", RequestPriority::Normal),
    ("off-peak", RequestPriority::OffPeak),
];

/// One entry of the list.
enum Entry {
    Rule(DataflowRule),
    Default(DefaultRule),
}

/// Reads the rules. `customers` is the folder of overlays.
pub(super) fn read(reader: &mut SectionReader, customers: &Path) -> Option<DataflowRules> {
    let tree = reader.take("rules")?;
    let place = tree.place;
    let entries = list(tree, "\"rules\"", reader.collector)?;
    let last = entries.len().saturating_sub(1);
    let (mut rules, mut default, mut is_whole) = (Vec::new(), None, true);
    for (index, tree) in entries.into_iter().enumerate() {
        let place = tree.place;
        match entry(reader, index, tree, customers) {
            Some(Entry::Rule(rule)) => rules.push(rule),
            Some(Entry::Default(_)) if index < last => {
                is_whole = false;
                let message = "the rules behind \"default\" would never be asked".to_owned();
                reader.wrong_at(place, message, Some("put \"default\" at the end".to_owned()));
            }
            Some(Entry::Default(rule)) => default = Some(rule),
            None => is_whole = false,
        }
    }
    if default.is_none() && is_whole {
        let message = "\"rules\" do not say where all other requests go".to_owned();
        reader.wrong_at(place, message, Some("add at the end: - default: DATAFLOW".to_owned()));
    }
    Some(DataflowRules { rules, default: default? })
}

fn entry(reader: &mut SectionReader, index: usize, tree: YamlTree, customers: &Path) -> Option<Entry> {
    let SourcePlace { line, .. } = tree.place;
    let is_default = is_default(&tree);
    let what = format!("rule {}", index + 1);
    let folder = reader.context().folder.clone();
    reader.inside(tree, |reader| {
        let path = |name: PlacedValue<String>| (dataflow_path(&folder, &name.value), name.place);
        if is_default {
            reader.known("the default of \"rules\"", &["default", "priority"]);
            let (dataflow, dataflow_at) = path(reader.text("default")?);
            let priority = reader.choice("priority", &PRIORITIES);
            return Some(Entry::Default(DefaultRule { dataflow, dataflow_at, priority, line }));
        }
        reader.known(&what, &["when", "dataflow", "customer", "priority"]);
        let when = reader.required("when", |reader| {
            let tree = reader.take("when")?;
            // The attributes of all sources that this program is linked with.
            StepCondition::read(tree, &what, &StepTable::built_in(), reader.collector)
        });
        let customer = reader.text("customer");
        let dataflow = match &customer {
            Some(customer) => overlay(customer, customers, reader).map(|path| (path, customer.place)),
            None => reader.required("dataflow", |reader| reader.text("dataflow")).map(path),
        };
        let priority = reader.choice("priority", &PRIORITIES);
        let customer = customer.map(|customer| customer.value);
        let (when, (dataflow, dataflow_at)) = (when?, dataflow?);
        Some(Entry::Rule(DataflowRule { when, dataflow, dataflow_at, customer, priority, line }))
    })
}

/// The overlay of a customer, if there is one.
fn overlay(customer: &PlacedValue<String>, folder: &Path, reader: &mut SectionReader) -> Option<String> {
    let path = customer_file(folder, &customer.value);
    if path.is_file() {
        return Some(path.to_string_lossy().into_owned());
    }
    let known = customer_names(folder);
    let hint = meant_or_all(&customer.value, known.iter().map(String::as_str));
    let hint = hint.unwrap_or_else(|| "a customer's overlay is a file in the folder `customers`".to_owned());
    let message = format!("there is no customer \"{}\": no file {}", customer.value, path.display());
    reader.wrong_at(customer.place, message, Some(hint));
    None
}

/// The file of a customer's overlay.
pub fn customer_file(folder: &Path, customer: &str) -> PathBuf {
    folder.join(format!("{customer}.yaml"))
}

/// The customers that have an overlay in the folder, in alphabetical order.
pub fn customer_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".yaml").map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// A single unknown key may be a misspelt `default`.
fn is_default(tree: &YamlTree) -> bool {
    let YamlShape::Map(entries) = &tree.value else { return false };
    let has = |key: &str| entries.iter().any(|(name, _)| name.value == key);
    has("default") || (entries.len() == 1 && !has("when") && !has("dataflow"))
}
