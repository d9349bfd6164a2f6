//! The steps of a dataflow by the processes on which they run.

use std::collections::BTreeMap;

use crate::dataflow::Dataflow;

/// What stands for the process that has the request.
const ANY: &str = "anywhere";

/// A line for each label, the steps without one first.
pub(super) fn lines(dataflow: &Dataflow) -> String {
    let mut by_label: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for node in &dataflow.nodes {
        let label = node.on.as_ref().map(|label| label.as_str());
        by_label.entry(label).or_default().push(&node.name);
    }
    let labels = by_label.keys().map(|label| label.unwrap_or(ANY).len());
    let width = labels.max().unwrap_or(0);
    let head = format!("{}  {}\n", dataflow.name, dataflow.digest.short());
    let line = |(label, steps): (&Option<&str>, &Vec<&str>)| {
        format!("{:width$}  {}\n", label.unwrap_or(ANY), steps.join(", "))
    };
    std::iter::once(head).chain(by_label.iter().map(line)).collect()
}
