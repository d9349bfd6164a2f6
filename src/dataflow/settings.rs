//! Parameters: the values under `with`, checked against the declaration of the step.

use super::draft::DraftNode;
use super::plan::DataflowPlan;
use crate::step::{Parameter, ParameterKind, ParameterValue, StepDeclaration, StepParameters};
use crate::yaml;
use crate::yaml::{PlacedValue, ProblemCollector};
use crate::yaml::{YamlShape, YamlTree};
use crate::yaml::{flag, number};

/// The parameters by index in the draft; `None` if the step is not known.
pub(super) fn of_all(plan: &DataflowPlan, collector: &mut ProblemCollector) -> Vec<Option<StepParameters>> {
    let nodes = plan.draft.nodes.iter().zip(&plan.steps);
    nodes.map(|(node, step)| step.map(|step| parameters(node, &step.declaration, collector))).collect()
}

/// The values of the file, and the defaults for all others.
fn parameters(node: &DraftNode, step: &StepDeclaration, collector: &mut ProblemCollector) -> StepParameters {
    let mut parameters = StepParameters::defaults(&step.parameters);
    let mut is_sound = step.parameters.iter().filter(|one| one.required).all(|one| is_given(one, node));
    for (name, tree) in &node.settings {
        match step.parameters.iter().find(|parameter| parameter.name == name.value) {
            Some(parameter) => {
                let setting = setting(parameter, tree, collector);
                is_sound &= setting.is_some();
                setting.into_iter().for_each(|setting| parameters.set(parameter.name, setting));
            }
            None => unknown(name, node, step, collector),
        }
    }
    // What is wrong with one parameter was noted already.
    let together = step.settings_check.filter(|_| is_sound).map(|check| check(&parameters));
    if let (Some(Err(reason)), Some((first, _))) = (together, node.settings.first()) {
        collector.add(first.place, format!("\"{}\" ({}): {reason}", node.name.value, step.name));
    }
    step.parameters.iter().filter(|one| one.required).for_each(|one| required(one, node, step, collector));
    parameters
}

fn is_given(parameter: &Parameter, node: &DraftNode) -> bool {
    node.settings.iter().any(|(name, _)| name.value == parameter.name)
}

fn required(
    parameter: &Parameter,
    node: &DraftNode,
    step: &StepDeclaration,
    collector: &mut ProblemCollector,
) {
    let known = || step.parameters.iter().map(|parameter| parameter.name);
    // A misspelt parameter was noted already.
    let meant = |name: &PlacedValue<String>| yaml::nearest(&name.value, known()) == Some(parameter.name);
    if !node.settings.iter().any(|(name, _)| meant(name)) {
        let message =
            format!("\"{}\" ({}) lacks the parameter \"{}\"", node.name.value, step.name, parameter.name);
        let hint = format!("{}: {}", parameter.name, parameter.about);
        collector.add(node.name.place, message).hint(hint);
    }
}

fn unknown(
    name: &PlacedValue<String>,
    node: &DraftNode,
    step: &StepDeclaration,
    collector: &mut ProblemCollector,
) {
    let message = format!("\"{}\" ({}) has no parameter \"{}\"", node.name.value, step.name, name.value);
    let known = step.parameters.iter().map(|parameter| parameter.name);
    collector.add(name.place, message).hint(yaml::meant_or_all(&name.value, known));
}

fn setting(
    parameter: &Parameter,
    tree: &YamlTree,
    collector: &mut ProblemCollector,
) -> Option<ParameterValue> {
    if let ParameterKind::Json { .. } = &parameter.kind {
        return json_setting(parameter, tree, collector);
    }
    let setting = written(&parameter.kind, &tree.value);
    if setting.is_some() && !has_sound_texts(parameter, tree, collector) {
        return None;
    }
    let accepted = match &setting {
        Some(setting) => parameter.accepts(setting),
        None => Err(parameter.range()),
    };
    if let Err(range) = &accepted {
        let message =
            format!("the parameter \"{}\" takes {range}, not {}", parameter.name, shown(&tree.value));
        collector.add(tree.place, message).hint(about(parameter));
    }
    setting.filter(|_| accepted.is_ok())
}

/// A map or list, which the step's own check has to accept.
fn json_setting(
    parameter: &Parameter,
    tree: &YamlTree,
    collector: &mut ProblemCollector,
) -> Option<ParameterValue> {
    let what = format!("the parameter \"{}\"", parameter.name);
    let setting = ParameterValue::Json(yaml::json(tree, &what, collector)?);
    let accepted = parameter.accepts(&setting).map_err(|reason| {
        collector.add(tree.place, format!("{what}: {reason}")).hint(about(parameter));
    });
    accepted.ok().map(|()| setting)
}

/// Whether the parameter can have each of the texts. What is wrong with one stands at its place; the text itself may be
/// a secret.
fn has_sound_texts(parameter: &Parameter, tree: &YamlTree, collector: &mut ProblemCollector) -> bool {
    let texts = match &tree.value {
        YamlShape::List(list) => list.as_slice(),
        _ => std::slice::from_ref(tree),
    };
    let mut is_sound = true;
    for text in texts {
        if let Some(Err(reason)) = scalar(text).map(|written| parameter.check_text(written)) {
            let message = format!("the parameter \"{}\": {reason}", parameter.name);
            collector.add(text.place, message).hint(about(parameter));
            is_sound = false;
        }
    }
    is_sound
}

fn about(parameter: &Parameter) -> Option<String> {
    (!parameter.about.is_empty()).then(|| format!("{}: {}", parameter.name, parameter.about))
}

/// The value, read as this kind. A number in the file can be a text, but a text cannot be a number.
fn written(kind: &ParameterKind, shape: &YamlShape) -> Option<ParameterValue> {
    match (kind, shape) {
        (ParameterKind::Flag, YamlShape::Scalar(text, _)) => flag(text).map(ParameterValue::Flag),
        (ParameterKind::Number { .. } | ParameterKind::Whole { .. }, YamlShape::Scalar(text, _)) => {
            number(text).map(ParameterValue::Number)
        }
        (ParameterKind::Text { .. }, YamlShape::Scalar(text, _)) => Some(ParameterValue::Text(text.clone())),
        (ParameterKind::Numbers { .. }, YamlShape::List(list)) => {
            let numbers = list.iter().map(|one| scalar(one).and_then(number));
            numbers.collect::<Option<Vec<f64>>>().map(ParameterValue::Numbers)
        }
        (ParameterKind::Texts, YamlShape::List(list)) => {
            let texts = list.iter().map(|one| scalar(one).map(str::to_owned));
            texts.collect::<Option<Vec<String>>>().map(ParameterValue::Texts)
        }
        _ => None,
    }
}

fn scalar(tree: &YamlTree) -> Option<&str> {
    match &tree.value {
        YamlShape::Scalar(text, _) => Some(text),
        YamlShape::Nothing | YamlShape::List(_) | YamlShape::Map(_) => None,
    }
}

fn shown(shape: &YamlShape) -> String {
    match shape {
        YamlShape::Scalar(text, _) => format!("\"{text}\""),
        YamlShape::List(list) => {
            let texts: Vec<String> = list.iter().map(|one| shown(&one.value)).collect();
            format!("[{}]", texts.join(", "))
        }
        YamlShape::Nothing => "nothing".to_owned(),
        YamlShape::Map(_) => "a map".to_owned(),
    }
}
