//! The difference of two dataflows in lines: what a customer's overlay makes of its base.

use crate::dataflow::{Dataflow, DataflowNode, InputWire};
use crate::step::ParameterValue;
use crate::yaml::duration::shown;

use super::content::port_edge;

/// One line for each step that was added (`+`), removed (`-`) or changed (`~`), and for each other difference.
pub(super) fn lines(base: &Dataflow, other: &Dataflow) -> Vec<String> {
    let find = |dataflow: &Dataflow, name: &str| dataflow.nodes.iter().position(|node| *node.name == *name);
    let mut lines = Vec::new();
    for (index, node) in other.nodes.iter().enumerate() {
        match find(base, &node.name) {
            None => lines.push(format!("+ {}: {}", node.name, described(other, index))),
            Some(before) => {
                let changes = changes(base, &base.nodes[before], other, node);
                lines.extend(
                    (!changes.is_empty()).then(|| format!("~ {}: {}", node.name, changes.join("; "))),
                );
            }
        }
    }
    let removed = base.nodes.iter().filter(|node| find(other, &node.name).is_none());
    lines.extend(removed.map(|node| format!("- {}: {}", node.name, node.step.declaration.name)));
    lines.extend(response(base, other));
    lines.extend(settings(base, other));
    lines
}

fn described(dataflow: &Dataflow, index: usize) -> String {
    let node = &dataflow.nodes[index];
    let step = node.step.declaration.name;
    let inputs = node.step.declaration.inputs.iter().zip(&node.wires);
    let needs = inputs.filter(|(_, wire)| **wire != InputWire::Absent);
    let needs: Vec<String> =
        needs.map(|(input, wire)| format!("{}: {}", input.name, source(dataflow, wire))).collect();
    let settings = node.step.declaration.parameters.iter().filter_map(|parameter| {
        let setting = node.parameters.get(parameter.name).filter(|setting| **setting != parameter.default)?;
        Some(format!("{} {}", parameter.name, with_unit(setting, parameter.unit)))
    });
    let needs = format!("{step}, needs {{{}}}", needs.join(", "));
    [needs].into_iter().chain(settings).collect::<Vec<String>>().join(", ")
}

fn changes(base: &Dataflow, before: &DataflowNode, other: &Dataflow, node: &DataflowNode) -> Vec<String> {
    let mut changes = Vec::new();
    let (was, is) = (&before.step.declaration, &node.step.declaration);
    if (was.name, was.version, was.code) != (is.name, is.version, is.code) {
        changes.push(format!("step {} {} → {} {}", was.name, was.version, is.name, is.version));
    }
    if before.enabled != node.enabled {
        changes.push(if node.enabled { "switched on" } else { "switched off" }.to_owned());
    }
    for (input, wire) in is.inputs.iter().zip(&node.wires) {
        let at = was.inputs.iter().position(|known| known.name == input.name);
        let earlier = at.map_or_else(|| "none".to_owned(), |at| source(base, &before.wires[at]));
        let now = source(other, wire);
        if earlier != now {
            changes.push(format!("needs {}: {earlier} → {now}", input.name));
        }
    }
    for parameter in &is.parameters {
        let text =
            |node: &DataflowNode| node.parameters.get(parameter.name).map(|it| with_unit(it, parameter.unit));
        let (earlier, now) = (text(before), text(node));
        if earlier != now {
            let (earlier, now) = (earlier.unwrap_or("none".to_owned()), now.unwrap_or_default());
            changes.push(format!("{}: {earlier} → {now}", parameter.name));
        }
    }
    let mut differ = |what: &str, earlier: Option<String>, now: Option<String>| {
        if earlier != now {
            let word = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
            changes.push(format!("{what}: {} → {}", word(earlier), word(now)));
        }
    };
    let when = |node: &DataflowNode| node.when.as_ref().map(ToString::to_string);
    differ("when", when(before), when(node));
    let on = |node: &DataflowNode| node.on.as_ref().map(ToString::to_string);
    differ("on", on(before), on(node));
    let max = |node: &DataflowNode| node.max.map(|max| max.to_string());
    differ("max", max(before), max(node));
    let timeout = |node: &DataflowNode| node.timeout.map(shown);
    differ("timeout", timeout(before), timeout(node));
    let retry = |node: &DataflowNode| node.retry.as_ref().map(|retry| format!("{} times", retry.count));
    differ("retry", retry(before), retry(node));
    let batch = |node: &DataflowNode| node.batch.map(|batch| format!("{} items", batch.items));
    differ("batch", batch(before), batch(node));
    let again = |node: &DataflowNode| node.again.as_ref().map(|again| format!("{} times", again.max));
    differ("again", again(before), again(node));
    changes
}

fn with_unit(setting: &ParameterValue, unit: &str) -> String {
    format!("{setting} {unit}").trim_end().to_owned()
}

fn source(dataflow: &Dataflow, wire: &InputWire) -> String {
    match wire {
        InputWire::Absent => "none".to_owned(),
        InputWire::Request => "request".to_owned(),
        InputWire::Items => "request.items".to_owned(),
        InputWire::Outcomes => "outcomes".to_owned(),
        InputWire::Port(_) | InputWire::Merge(_) => {
            let ports = wire.ports().iter().map(|port| port_edge(dataflow, port, false).source);
            ports.collect::<Vec<String>>().join(", ")
        }
    }
}

fn response(base: &Dataflow, other: &Dataflow) -> Option<String> {
    let parts = |dataflow: &Dataflow| -> Vec<String> {
        dataflow.response.iter().map(|port| port_edge(dataflow, port, false).source).collect()
    };
    let (before, now) = (parts(base), parts(other));
    let added = now.iter().filter(|part| !before.contains(part)).map(|part| format!("+ {part}"));
    let removed = before.iter().filter(|part| !now.contains(part)).map(|part| format!("- {part}"));
    let changes: Vec<String> = added.chain(removed).collect();
    match (changes.is_empty(), before == now) {
        (false, _) => Some(format!("~ response: {}", changes.join(", "))),
        (true, false) => Some(format!("~ response: now in the order {}", now.join(", "))),
        (true, true) => None,
    }
}

fn settings(base: &Dataflow, other: &Dataflow) -> Vec<String> {
    let all = |dataflow: &Dataflow| {
        let Dataflow { on_failure, on_item_failure, revisions, memory, deadline, priority, share, .. } =
            dataflow;
        let deadline = deadline.map_or("none".to_owned(), shown);
        [
            ("on_failure", on_failure.name().to_owned()),
            ("on_item_failure", on_item_failure.to_string()),
            ("revisions", revisions.name().to_owned()),
            ("memory", format!("{} B and {} for each decoded byte", memory.fixed, memory.per_decoded_byte)),
            ("deadline", deadline),
            ("priority", priority.unwrap_or_default().to_string()),
            ("share", share.to_string()),
        ]
    };
    let pairs = all(base).into_iter().zip(all(other));
    let differing = pairs.filter(|((_, before), (_, now))| before != now);
    differing.map(|((what, before), (_, now))| format!("~ {what}: {before} → {now}")).collect()
}
