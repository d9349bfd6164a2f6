//! JSON Schemas of the files that people write, for editors: `schemas/site.json`, and `schemas/dataflow.json` with the
//! steps of a table.
//!
//! They say which keys there are and what their values look like. What a file means is checked by `flow check`.

use serde_json::{Map, Value, json};

use crate::step::{Parameter, ParameterKind, StepDeclaration, StepTable};

const SITE: &str = include_str!("schemas/site.json");
const DATAFLOW: &str = include_str!("schemas/dataflow.json");

/// The schema of a site's file.
pub fn site() -> Value {
    parsed(SITE)
}

/// The schema of a dataflow file with the steps of a table. Where the file names programs, there may be others.
pub fn dataflow(table: &StepTable) -> Value {
    let mut schema = parsed(DATAFLOW);
    let steps: Vec<&StepDeclaration> = table.iter().map(|step| &step.declaration).collect();
    let names: Vec<Value> =
        steps.iter().map(|step| json!({ "const": step.name, "description": step.about })).collect();
    let definitions = &mut schema["$defs"];
    definitions["builtInStep"] = json!({ "description": "A step that flow has", "oneOf": names });
    definitions["step"]["allOf"] = steps.iter().map(|step| parameters_of(step)).collect();
    let known =
        json!({ "additionalProperties": { "properties": { "step": { "$ref": "#/$defs/builtInStep" } } } });
    let others = json!({ "anyOf": [{ "required": ["programs"] }, { "required": ["customer"] }] });
    schema["allOf"] = json!([
        { "if": { "not": others }, "then": { "properties": { "steps": known, "failure": known } } },
    ]);
    schema
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("the schema is JSON")
}

/// The parameters that `with` has for a step.
fn parameters_of(step: &StepDeclaration) -> Value {
    let parameters: Map<String, Value> =
        step.parameters.iter().map(|parameter| (parameter.name.to_owned(), schema_of(parameter))).collect();
    let with = json!({ "properties": parameters, "additionalProperties": false });
    json!({
        "if": { "properties": { "step": { "const": step.name } } },
        "then": { "properties": { "with": with } },
    })
}

fn schema_of(parameter: &Parameter) -> Value {
    let number = |least: f64, most: f64| json!({ "type": "number", "minimum": least, "maximum": most });
    let text = json!({ "type": ["string", "number", "boolean"] });
    let mut schema = match &parameter.kind {
        ParameterKind::Flag => json!({ "type": "boolean" }),
        ParameterKind::Number { least, most } => number(*least, *most),
        ParameterKind::Whole { least, most } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        ParameterKind::Numbers { least, most } => {
            json!({ "anyOf": [number(*least, *most), { "type": "array", "items": number(*least, *most) }] })
        }
        ParameterKind::Text { choices } if choices.is_empty() => text,
        ParameterKind::Text { choices } => json!({ "enum": choices }),
        ParameterKind::Texts => json!({ "anyOf": [text, { "type": "array", "items": text }] }),
        ParameterKind::Json { .. } => json!({}),
    };
    let unit = if parameter.unit.is_empty() { String::new() } else { format!(" ({})", parameter.unit) };
    schema["description"] = format!("{}{unit}", parameter.about).into();
    if !parameter.required {
        schema["default"] = json!(parameter.default);
    }
    schema
}
