//! The plan: a draft whose steps have been looked up in the table. The checks work on it.

use crate::yaml;
use std::collections::HashMap;

use super::NodePhase;
use super::draft::{DataflowDraft, DraftNode};
use super::given::GIVEN;
use crate::step::{OutputDeclaration, Step, StepDeclaration, StepTable};
use crate::yaml::ProblemCollector;

/// A draft with its steps. A node is named by its index in the draft.
pub(super) struct DataflowPlan<'a> {
    pub draft: &'a DataflowDraft,
    table: &'a StepTable,
    /// The step of each node; `None` if the step is not known.
    pub steps: Vec<Option<&'a Step>>,
    index: HashMap<&'a str, usize>,
}

impl<'a> DataflowPlan<'a> {
    /// Looks up all steps, and notes those that the table does not have.
    pub fn of(
        draft: &'a DataflowDraft,
        table: &'a StepTable,
        collector: &mut ProblemCollector,
    ) -> DataflowPlan<'a> {
        let steps = draft.nodes.iter().map(|node| step(node, table, collector)).collect();
        let mut index = HashMap::new();
        for (number, node) in draft.nodes.iter().enumerate() {
            index.entry(node.name.value.as_str()).or_insert(number);
        }
        DataflowPlan { draft, table, steps, index }
    }

    pub fn node(&self, index: usize) -> &'a DraftNode {
        &self.draft.nodes[index]
    }

    pub fn name(&self, index: usize) -> &'a str {
        &self.node(index).name.value
    }

    pub fn declaration(&self, index: usize) -> Option<&'a StepDeclaration> {
        self.steps[index].map(|step| &step.declaration)
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The nodes of one phase.
    pub fn phase(&self, phase: NodePhase) -> impl Iterator<Item = usize> + '_ {
        (0..self.draft.nodes.len()).filter(move |index| self.node(*index).phase == phase)
    }

    /// A hint that names the sources with this type.
    pub fn giving(&self, kind: &str, phase: NodePhase) -> String {
        let given = GIVEN.iter().filter(|given| given.kind == kind && given.phases.contains(&phase));
        let given = given.map(|given| given.name.to_owned());
        let names: Vec<String> =
            given.chain(self.phase(phase).flat_map(|node| self.ports_of(node, kind))).collect();
        if !names.is_empty() {
            return format!("{kind} can be had from {}", names.join(", "));
        }
        let gives = |step: &&Step| step.declaration.outputs.iter().any(|output| output.kind == kind);
        match self.table.iter().find(gives) {
            Some(step) => format!("nothing here gives {kind}; the step {} would", step.declaration.name),
            None => format!("nothing here gives {kind}, and no known step does"),
        }
    }

    /// The outputs of a node with this type, as a dataflow file writes them.
    fn ports_of(&self, node: usize, kind: &str) -> Vec<String> {
        let outputs = self.declaration(node).map_or(&[][..], |declaration| &declaration.outputs);
        let of_kind = outputs.iter().filter(|output| output.kind == kind);
        let name = |output: &OutputDeclaration| match outputs.len() {
            1 => self.name(node).to_owned(),
            _ => format!("{}.{}", self.name(node), output.name),
        };
        of_kind.map(name).collect()
    }
}

fn step<'a>(node: &DraftNode, table: &'a StepTable, collector: &mut ProblemCollector) -> Option<&'a Step> {
    let wanted = node.step.as_ref()?;
    let found = table.get(&wanted.value);
    if found.is_none() {
        let known = table.iter().map(|step| step.declaration.name);
        let hint = yaml::meant(&wanted.value, known);
        collector
            .add(wanted.place, format!("the step \"{}\" is not known", wanted.value))
            .hint(hint.unwrap_or_else(|| "`flow steps` lists the steps there are".to_owned()));
    }
    found
}
