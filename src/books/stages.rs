//! A dataflow as a row of stages: each step that takes a token and gives one, and names a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::dataflow::{Dataflow, DataflowNode};
use crate::step::{Digest, Fault, ParameterValue, Payload, StepTable};
use crate::tokens::{StageFolder, StageToken};
use crate::yaml::Problems;

use super::book_store::{BookStore, STORE};

/// What stands behind a barcode in the key of a store.
pub(super) const STORE_ENDING: &str = ".tar.gz";

/// The step at the beginning of a row.
const CHOOSE: &str = "choose-books";

/// The parameter with the directory in which a token goes on.
const TO: &str = "to";

/// Parameters with folders of data: they are below the folder of the row, unless they are absolute.
const DATA: [&str; 2] = ["folder", STORE];

/// A row of stages.
#[derive(Clone, Debug)]
pub struct StageRow {
    /// The name of the dataflow.
    pub name: String,
    pub root: PathBuf,
    pub stages: Vec<Arc<BookStage>>,
    /// The parameters of the step that chooses.
    pub choice: ChoiceSettings,
}

/// What the file says of the choice of books.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChoiceSettings {
    /// The first directory.
    pub to: String,
    pub inventory: String,
    pub refresh_h: f64,
    pub in_flight: usize,
}

/// A stage.
#[derive(Clone, Debug)]
pub struct BookStage {
    /// The name of the step in the file.
    pub name: String,
    pub from: StageFolder,
    pub to: StageFolder,
    /// The step between a claimed token and the response.
    pub dataflow: Arc<Dataflow>,
    /// The version for the log of tokens: that of the file.
    pub version: String,
    /// Folders of data that it writes.
    pub data: Vec<PathBuf>,
    /// The store, if it has one.
    pub store: Option<BookStore>,
}

/// Why a dataflow is no row of stages.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    #[error("the step {0} takes tokens from several others, or from none that names a directory")]
    Source(String),
    #[error("two steps have the directory {0}")]
    Directory(String),
    #[error("{0:?} is no name of a directory")]
    Name(String),
    #[error("the step {0} has no store")]
    Store(String, #[source] Fault),
    #[error("the step {0} cannot be a stage")]
    Stage(String, #[source] Problems),
}

impl StageRow {
    /// Whether a dataflow is one of stages.
    pub fn is_row(dataflow: &Dataflow) -> bool {
        dataflow.as_written().nodes.iter().any(|node| node.step.declaration.name == CHOOSE)
    }

    /// The row of a dataflow, with its directories below `root`.
    ///
    /// # Errors
    /// If its steps are no row.
    pub fn of(dataflow: &Dataflow, root: &Path, table: &StepTable) -> Result<StageRow, RowError> {
        let nodes = &dataflow.as_written().nodes;
        let version = dataflow.digest().short();
        let mut row = StageRow {
            name: dataflow.name().to_owned(),
            root: root.to_owned(),
            stages: Vec::new(),
            choice: ChoiceSettings::default(),
        };
        let mut directories: Vec<String> = Vec::new();
        for node in nodes.iter().filter(|node| is_stage(node)) {
            let to = text(node, TO);
            if directories.contains(&to) {
                return Err(RowError::Directory(to));
            }
            if !is_directory(&to) {
                return Err(RowError::Name(to));
            }
            directories.push(to.clone());
            if node.step.declaration.name == CHOOSE {
                row.choice = ChoiceSettings {
                    to,
                    inventory: text(node, "inventory"),
                    refresh_h: number(node, "refresh_h"),
                    in_flight: number(node, "in_flight") as usize,
                };
                continue;
            }
            let ports = node.wires.first().map(|wire| wire.ports()).unwrap_or_default();
            let [port] = ports else { return Err(RowError::Source(node.name.to_string())) };
            let source = &nodes[port.node];
            if !is_stage(source) {
                return Err(RowError::Source(node.name.to_string()));
            }
            let store = store(node, root)?;
            let folder = node.parameters.get("folder").map(|_| root.join(text(node, "folder")));
            let stored = store.as_ref().and_then(BookStore::folder).map(Path::to_owned);
            let stage = BookStage {
                name: node.name.to_string(),
                from: StageFolder::new(root, text(source, TO)),
                to: StageFolder::new(root, to),
                dataflow: Arc::new(stage_dataflow(dataflow.name(), node, root, table)?),
                version: version.clone(),
                data: folder.into_iter().chain(stored).collect(),
                store,
            };
            row.stages.push(Arc::new(stage));
        }
        Ok(row)
    }

    /// All directories in which tokens can be, in their order.
    pub fn folders(&self) -> Vec<StageFolder> {
        let first = StageFolder::new(&self.root, &self.choice.to);
        [first].into_iter().chain(self.stages.iter().map(|stage| stage.to.clone())).collect()
    }

    /// The directory of tokens that are done.
    pub fn last(&self) -> StageFolder {
        self.folders().pop().expect("a row has a first directory")
    }

    /// The stores, each once.
    pub(super) fn stores(&self) -> Vec<&BookStore> {
        let mut stores = Vec::new();
        for store in self.stages.iter().filter_map(|stage| stage.store.as_ref()) {
            if !stores.contains(&store) {
                stores.push(store);
            }
        }
        stores
    }

    /// Whether a store of the row has each of these books; `None` where a service does not say it now.
    pub(super) fn stored_each(&self, barcodes: &[String]) -> Vec<Option<bool>> {
        let names: Vec<String> = barcodes.iter().map(|barcode| format!("{barcode}{STORE_ENDING}")).collect();
        let mut stored = vec![Some(false); names.len()];
        for store in self.stores() {
            for (known, answer) in stored.iter_mut().zip(store.has_each(&names)) {
                *known = if *known == Some(true) {
                    *known
                } else {
                    answer.and_then(|has| known.map(|known| has || known))
                };
            }
        }
        stored
    }

    /// The stage of a name, with its place in the row.
    pub fn stage(&self, name: &str) -> Option<(usize, &Arc<BookStage>)> {
        self.stages.iter().enumerate().find(|(_, stage)| stage.name == name)
    }
}

/// The directories beside a stage's own.
const BESIDE: [&str; 3] = [".work", ".failed", ".later"];

fn is_directory(name: &str) -> bool {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '~']);
    is_plain && !BESIDE.iter().any(|end| name.ends_with(end))
}

fn is_stage(node: &DataflowNode) -> bool {
    let declaration = &node.step.declaration;
    let takes = declaration.inputs.first().is_some_and(|input| input.kind == StageToken::TYPE);
    let gives = matches!(declaration.outputs.as_slice(), [only] if only.kind == StageToken::TYPE);
    gives && node.enabled && node.parameters.get(TO).is_some() && (takes || declaration.name == CHOOSE)
}

fn text(node: &DataflowNode, name: &str) -> String {
    match node.parameters.get(name) {
        Some(ParameterValue::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

fn store(node: &DataflowNode, root: &Path) -> Result<Option<BookStore>, RowError> {
    let setting = |name: &'static str| {
        if name == STORE { BookStore::located(root, &text(node, name)) } else { text(node, name) }
    };
    let store = node.parameters.get(STORE).map(|_| BookStore::read(&setting)).transpose();
    store.map_err(|fault| RowError::Store(node.name.to_string(), fault))
}

fn number(node: &DataflowNode, name: &str) -> f64 {
    match node.parameters.get(name) {
        Some(ParameterValue::Number(number)) => *number,
        _ => 0.0,
    }
}

/// A dataflow of the step alone: from the token of a request to the token in the response.
fn stage_dataflow(
    row: &str,
    node: &DataflowNode,
    root: &Path,
    table: &StepTable,
) -> Result<Dataflow, RowError> {
    let declaration = &node.step.declaration;
    let mut with = Map::new();
    for parameter in &declaration.parameters {
        let Some(setting) = node.parameters.get(parameter.name) else { continue };
        if *setting == parameter.default && !DATA.contains(&parameter.name) {
            continue;
        }
        let setting = match setting {
            ParameterValue::Text(text) if DATA.contains(&parameter.name) => {
                Json::from(BookStore::located(root, text))
            }
            setting => serde_json::to_value(setting).expect("settings are texts and numbers"),
        };
        with.insert(parameter.name.to_owned(), setting);
    }
    let needs = json!({ declaration.inputs[0].name: "claimed" });
    let mut step = json!({ "step": declaration.name, "needs": needs, "with": with });
    let millis = |time: std::time::Duration| format!("{} ms", time.as_millis());
    if let Some(timeout) = node.timeout {
        step["timeout"] = millis(timeout).into();
    }
    if let Some(retry) = &node.retry {
        let (first_delay, cap) = (millis(retry.first_delay), millis(retry.cap));
        let (count, factor) = (retry.count, retry.factor);
        step["retry"] = json!({ "count": count, "first_delay": first_delay, "factor": factor, "cap": cap });
    }
    let text = json!({
        "dataflow": format!("{row}-{}", node.name),
        "steps": {
            "claimed": { "step": "read-tokens", "needs": { "request": "request" } },
            &*node.name: step,
            "finished": { "step": "list-tokens", "needs": { "tokens": &*node.name } },
        },
        "response": ["finished"],
    });
    let text = serde_json::to_string_pretty(&text).expect("texts and numbers can be written as JSON");
    Dataflow::parse(&node.name, &text, table)
        .map_err(|problems| RowError::Stage(node.name.to_string(), problems))
}

/// A barcode as a number.
pub(super) fn barcode_key(barcode: &str) -> u64 {
    let digest = Digest::of(barcode.as_bytes());
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}
