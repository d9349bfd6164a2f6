//! `flow steps`: the steps that a dataflow file can name.

use std::io::{self, Write};

use serde::Serialize;

use crate::step::{
    InputDeclaration, InputTake, Parameter, ParameterKind, ParameterValue, Step, StepDeclaration, StepTable,
};
use crate::yaml;

/// List the steps that a dataflow can name, with inputs, outputs and parameters
///
/// An input takes one value, `optional` one or none, `all` the values of every item of the request.
#[derive(Debug, clap::Args)]
pub struct StepsArguments {
    /// Only this step
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print the declarations as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StepsError {
    #[error("no step is called {name:?}")]
    Unknown { name: String, hint: Option<String> },
    #[error("could not write the steps")]
    Write(#[from] io::Error),
}

impl StepsArguments {
    /// # Errors
    /// If there is no such step, or the list cannot be written.
    pub fn run(&self, table: &StepTable, out: &mut impl Write) -> Result<(), StepsError> {
        let steps = self.chosen(table)?;
        let text = match self.json {
            true => json(&steps).map_err(io::Error::from)?,
            false => steps.iter().map(|step| described(&step.declaration)).collect::<Vec<_>>().join("\n"),
        };
        Ok(out.write_all(text.as_bytes())?)
    }

    fn chosen<'a>(&self, table: &'a StepTable) -> Result<Vec<&'a Step>, StepsError> {
        let Some(name) = &self.name else { return Ok(table.iter().collect()) };
        let known = table.iter().map(|step| step.declaration.name);
        table
            .get(name)
            .map(|step| vec![step])
            .ok_or_else(|| StepsError::Unknown { name: name.clone(), hint: yaml::meant(name, known) })
    }
}

fn described(step: &StepDeclaration) -> String {
    let mut lines = vec![format!("{}  version {}", step.name, step.version), format!("  {}", step.about)];
    let inputs = step.inputs.iter().map(|input| [input.name.to_owned(), input_kind(input)].to_vec());
    let outputs = step.outputs.iter().map(|output| [output.name.to_owned(), output.kind.to_owned()].to_vec());
    lines.extend(section("needs", inputs.collect()));
    lines.extend(section("gives", outputs.collect()));
    lines.extend(section("with", step.parameters.iter().map(parameter_cells).collect()));
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn input_kind(input: &InputDeclaration) -> String {
    match input.take {
        InputTake::One => input.kind.to_owned(),
        InputTake::Optional => format!("{}, optional", input.kind),
        InputTake::Each => format!("all {}", input.kind),
    }
}

fn parameter_cells(parameter: &Parameter) -> Vec<String> {
    let default = format!("{} {}", parameter.default, parameter.unit).trim_end().to_owned();
    vec![
        parameter.name.to_owned(),
        if parameter.required { "required".to_owned() } else { default },
        parameter.range(),
        parameter.about.to_owned(),
    ]
}

/// Rows in columns, below a word.
fn section(word: &str, rows: Vec<Vec<String>>) -> Vec<String> {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let line = |(number, row): (usize, &Vec<String>)| {
        let head = if number == 0 { word } else { "" };
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or(0);
            format!("  {cell:width$}")
        });
        format!("  {head:5}{}", cells.collect::<String>())
    };
    rows.iter().enumerate().map(line).collect()
}

fn json(steps: &[&Step]) -> serde_json::Result<String> {
    let steps: Vec<StepJson> = steps.iter().map(|step| StepJson::of(&step.declaration)).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&steps)?))
}

#[derive(Serialize)]
struct StepJson<'a> {
    name: &'a str,
    version: u32,
    about: &'a str,
    inputs: Vec<PortJson<'a>>,
    outputs: Vec<PortJson<'a>>,
    parameters: Vec<ParameterJson<'a>>,
}

#[derive(Serialize)]
struct PortJson<'a> {
    name: &'a str,
    r#type: &'a str,
    /// `one`, `optional` or `each`; of inputs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    takes: Option<&'static str>,
}

#[derive(Serialize)]
struct ParameterJson<'a> {
    name: &'a str,
    about: &'a str,
    unit: &'a str,
    default: &'a ParameterValue,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    range: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    choices: &'a [&'static str],
}

impl<'a> StepJson<'a> {
    fn of(step: &'a StepDeclaration) -> StepJson<'a> {
        let takes = |input: &InputDeclaration| match input.take {
            InputTake::One => "one",
            InputTake::Optional => "optional",
            InputTake::Each => "each",
        };
        let input = |input: &'a InputDeclaration| PortJson {
            name: input.name,
            r#type: input.kind,
            takes: Some(takes(input)),
        };
        let outputs = step.outputs.iter();
        StepJson {
            name: step.name,
            version: step.version,
            about: step.about,
            inputs: step.inputs.iter().map(input).collect(),
            outputs: outputs
                .map(|output| PortJson { name: output.name, r#type: output.kind, takes: None })
                .collect(),
            parameters: step.parameters.iter().map(ParameterJson::of).collect(),
        }
    }
}

impl<'a> ParameterJson<'a> {
    fn of(parameter: &'a Parameter) -> ParameterJson<'a> {
        let (least, most, choices) = match &parameter.kind {
            ParameterKind::Number { least, most }
            | ParameterKind::Whole { least, most }
            | ParameterKind::Numbers { least, most } => (Some(*least), Some(*most), &[][..]),
            ParameterKind::Text { choices } => (None, None, choices.as_slice()),
            ParameterKind::Flag | ParameterKind::Texts | ParameterKind::Json { .. } => (None, None, &[][..]),
        };
        let Parameter { name, about, unit, default, required, .. } = parameter;
        let (required, range) = (*required, parameter.range());
        ParameterJson { name, about, unit, default, required, range, least, most, choices }
    }
}
