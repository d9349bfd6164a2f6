//! Parameters: the values under `with`, checked against the declaration of the step.

use super::draft::DraftNode;
use super::plan::Plan;
use crate::step::{Declaration, Kind, Parameter, Parameters, Setting};
use crate::yaml;
use crate::yaml::{Collector, Placed};
use crate::yaml::{Shape, Tree};
use crate::yaml::{flag, number};

/// The parameters by index in the draft; `None` if the step is not known.
pub(super) fn of_all(plan: &Plan, collector: &mut Collector) -> Vec<Option<Parameters>> {
    let nodes = plan.draft.nodes.iter().zip(&plan.steps);
    nodes.map(|(node, step)| step.map(|step| parameters(node, &step.declaration, collector))).collect()
}

/// The values of the file, and the defaults for all others.
fn parameters(node: &DraftNode, step: &Declaration, collector: &mut Collector) -> Parameters {
    let mut parameters = Parameters::defaults(&step.parameters);
    for (name, tree) in &node.settings {
        match step.parameters.iter().find(|parameter| parameter.name == name.value) {
            Some(parameter) => {
                if let Some(setting) = setting(parameter, tree, collector) {
                    parameters.set(parameter.name, setting);
                }
            }
            None => unknown(name, node, step, collector),
        }
    }
    step.parameters.iter().filter(|one| one.required).for_each(|one| required(one, node, step, collector));
    parameters
}

fn required(parameter: &Parameter, node: &DraftNode, step: &Declaration, collector: &mut Collector) {
    let known = || step.parameters.iter().map(|parameter| parameter.name);
    // A misspelt parameter was noted already.
    let meant = |name: &Placed<String>| yaml::nearest(&name.value, known()) == Some(parameter.name);
    if !node.settings.iter().any(|(name, _)| meant(name)) {
        let message =
            format!("\"{}\" ({}) lacks the parameter \"{}\"", node.name.value, step.name, parameter.name);
        let hint = format!("{}: {}", parameter.name, parameter.about);
        collector.add(node.name.place, message).hint(hint);
    }
}

fn unknown(name: &Placed<String>, node: &DraftNode, step: &Declaration, collector: &mut Collector) {
    let message = format!("\"{}\" ({}) has no parameter \"{}\"", node.name.value, step.name, name.value);
    let known = step.parameters.iter().map(|parameter| parameter.name);
    collector.add(name.place, message).hint(yaml::meant_or_all(&name.value, known));
}

fn setting(parameter: &Parameter, tree: &Tree, collector: &mut Collector) -> Option<Setting> {
    let setting = written(&parameter.kind, &tree.value);
    let accepted = match &setting {
        Some(setting) => parameter.accepts(setting),
        None => Err(parameter.range()),
    };
    if let Err(range) = &accepted {
        let message =
            format!("the parameter \"{}\" takes {range}, not {}", parameter.name, shown(&tree.value));
        let hint = (!parameter.about.is_empty()).then(|| format!("{}: {}", parameter.name, parameter.about));
        collector.add(tree.place, message).hint(hint);
    }
    setting.filter(|_| accepted.is_ok())
}

/// The value, read as this kind. A number in the file can be a text, but a text cannot be a number.
fn written(kind: &Kind, shape: &Shape) -> Option<Setting> {
    match (kind, shape) {
        (Kind::Flag, Shape::Scalar(text)) => flag(text).map(Setting::Flag),
        (Kind::Number { .. }, Shape::Scalar(text)) => number(text).map(Setting::Number),
        (Kind::Text { .. }, Shape::Scalar(text)) => Some(Setting::Text(text.clone())),
        (Kind::Numbers { .. }, Shape::List(list)) => {
            let numbers = list.iter().map(|one| scalar(one).and_then(number));
            numbers.collect::<Option<Vec<f64>>>().map(Setting::Numbers)
        }
        (Kind::Texts, Shape::List(list)) => {
            let texts = list.iter().map(|one| scalar(one).map(str::to_owned));
            texts.collect::<Option<Vec<String>>>().map(Setting::Texts)
        }
        _ => None,
    }
}

fn scalar(tree: &Tree) -> Option<&str> {
    match &tree.value {
        Shape::Scalar(text) => Some(text),
        Shape::Nothing | Shape::List(_) | Shape::Map(_) => None,
    }
}

fn shown(shape: &Shape) -> String {
    match shape {
        Shape::Scalar(text) => format!("\"{text}\""),
        Shape::List(list) => {
            let texts: Vec<String> = list.iter().map(|one| shown(&one.value)).collect();
            format!("[{}]", texts.join(", "))
        }
        Shape::Nothing => "nothing".to_owned(),
        Shape::Map(_) => "a map".to_owned(),
    }
}
