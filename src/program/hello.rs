//! The first line of a program of steps: what it declares.

use std::io;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::step::{
    ArrayForm, InputDeclaration, InputTake, JsonValue, NumberValue, OutputCount, OutputDeclaration,
    Parameter, ParameterKind, ParameterValue, PathOf, Payload, ResponseFiles, Step, StepReservations,
    TextValue, Value, interned,
};

use super::message::MessageForm;

/// The version of the protocol.
const PROTOCOL: u32 = 1;

/// The declaration of a program.
#[derive(Debug, Deserialize)]
pub struct ProgramHello {
    /// The version of the protocol.
    flow: u32,
    /// Anything that changes what the steps give and is no file: the version of an interpreter.
    #[serde(default)]
    pub version: String,
    /// Further files whose content is a part of the steps' version.
    #[serde(default)]
    pub files: Vec<String>,
    /// Whether numbers and texts travel in columns.
    #[serde(default)]
    columns: bool,
    /// Whether a call may go through several steps.
    #[serde(default)]
    pub chains: bool,
    steps: Vec<DeclaredStep>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredStep {
    name: String,
    #[serde(default)]
    about: String,
    #[serde(default)]
    inputs: Vec<DeclaredPort>,
    outputs: Vec<DeclaredPort>,
    #[serde(default)]
    parameters: Vec<DeclaredParameter>,
    #[serde(default)]
    batch: bool,
    /// Whether a call may bring several items, which the step takes one by one.
    #[serde(default)]
    grouped: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredPort {
    name: String,
    r#type: String,
    #[serde(default)]
    takes: DeclaredTake,
    #[serde(default)]
    gives: DeclaredGift,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DeclaredTake {
    #[default]
    One,
    Optional,
    Each,
    /// All items of a stream, one after the other.
    Stream,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DeclaredGift {
    #[default]
    One,
    /// A stream.
    Many,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredParameter {
    name: String,
    default: Json,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    about: String,
    /// Whether a number has to be whole.
    #[serde(default)]
    whole: bool,
    least: Option<f64>,
    most: Option<f64>,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default)]
    required: bool,
}

/// A step that a program declared, without its function.
pub struct ProgramStep {
    pub step: Step,
    pub form: ProgramForm,
}

/// The way in which a program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramForm {
    /// Once for each run.
    Once,
    /// Once for each run, and with several items of a stream at a time, for each of which its function runs by itself.
    Grouped,
    /// With a batch of items, and gives one for each.
    Batch,
    /// Once for a stream that it makes.
    Makes,
    /// Once for a stream that it takes.
    Folds,
}

impl ProgramHello {
    /// # Errors
    /// The reason why the line is no declaration.
    pub fn read(line: &[u8]) -> Result<ProgramHello, String> {
        let hello: ProgramHello = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        match hello.flow {
            PROTOCOL => Ok(hello),
            other => {
                Err(format!("it speaks version {other} of the protocol, and this flow version {PROTOCOL}"))
            }
        }
    }

    /// The way in which numbers and texts travel.
    pub fn form(&self) -> MessageForm {
        if self.columns { MessageForm::Columns } else { MessageForm::Lines }
    }

    /// The steps, without functions.
    ///
    /// # Errors
    /// The first thing that is wrong with a declaration.
    pub fn steps(&self) -> Result<Vec<ProgramStep>, String> {
        if self.steps.is_empty() {
            return Err("it declares no steps".to_owned());
        }
        let mut made: Vec<ProgramStep> = Vec::new();
        for declared in &self.steps {
            let step = declared.step().map_err(|reason| format!("the step {:?}: {reason}", declared.name))?;
            if made.iter().any(|other| other.step.declaration.name == declared.name) {
                return Err(format!("two of its steps are called {:?}", declared.name));
            }
            made.push(step);
        }
        Ok(made)
    }
}

impl DeclaredStep {
    fn step(&self) -> Result<ProgramStep, String> {
        is_name(&self.name, '-')?;
        let mut step = Step::new(interned(&self.name), 1, interned(&self.about));
        for port in &self.inputs {
            is_name(&port.name, '_')?;
            let take = match port.takes {
                DeclaredTake::One => InputTake::One,
                DeclaredTake::Optional => InputTake::Optional,
                DeclaredTake::Each | DeclaredTake::Stream => InputTake::Each,
            };
            let (name, kind) = (interned(&port.name), interned(&port.r#type));
            step.declaration.inputs.push(InputDeclaration { name, kind, take });
        }
        for port in &self.outputs {
            is_name(&port.name, '_')?;
            step.declaration.outputs.push(output(port)?);
        }
        if step.declaration.outputs.is_empty() {
            return Err("it gives nothing".to_owned());
        }
        for parameter in &self.parameters {
            let made = parameter.parameter();
            let made = made.map_err(|reason| format!("the parameter {:?}: {reason}", parameter.name))?;
            step.declaration.parameters.push(made);
        }
        let form = self.form(&step)?;
        if form == ProgramForm::Makes {
            step.declaration.outputs[0].count = OutputCount::Many;
        }
        Ok(ProgramStep { step, form })
    }

    fn form(&self, step: &Step) -> Result<ProgramForm, String> {
        let makes = self.outputs.iter().any(|output| output.gives == DeclaredGift::Many);
        let streams = self.inputs.iter().filter(|input| input.takes == DeclaredTake::Stream).count();
        let refused = |why: &str| Err(why.to_owned());
        match (self.batch, makes, streams) {
            (false, false, 0) if self.grouped && can_batch(step) => Ok(ProgramForm::Grouped),
            _ if self.grouped => refused(
                "a step of which items are grouped takes one json, number or text first, and gives one",
            ),
            (false, false, 0) => Ok(ProgramForm::Once),
            (true, false, 0) if can_batch(step) => Ok(ProgramForm::Batch),
            (true, ..) => {
                refused("a step that takes batches takes one json, number or text first, and gives one")
            }
            (false, true, 0) if self.outputs.len() == 1 && is_plain(step.declaration.outputs[0].kind) => {
                Ok(ProgramForm::Makes)
            }
            (false, true, _) => {
                refused("a step that makes a stream gives json, number or text, and nothing else")
            }
            (false, false, 1) if self.inputs[0].takes == DeclaredTake::Stream && self.outputs.len() == 1 => {
                Ok(ProgramForm::Folds)
            }
            (false, false, _) => refused("a step that takes a stream takes it first, and gives one output"),
        }
    }
}

fn is_plain(kind: &str) -> bool {
    [JsonValue::TYPE, NumberValue::TYPE, TextValue::TYPE].contains(&kind)
}

fn can_batch(step: &Step) -> bool {
    let plain = is_plain;
    let first = step.declaration.inputs.first();
    first.is_some_and(|first| first.take == InputTake::One && plain(first.kind))
        && matches!(step.declaration.outputs.as_slice(), [only] if plain(only.kind))
}

/// The function that reads a value back from its form on disk.
type ValueReader = fn(&[u8], PathOf) -> io::Result<Value>;

/// The types that a program can give, with the functions that read them back.
fn output(port: &DeclaredPort) -> Result<OutputDeclaration, String> {
    let plain: [(&str, ValueReader); 5] = [
        (JsonValue::TYPE, Value::read::<JsonValue>),
        (NumberValue::TYPE, Value::read::<NumberValue>),
        (TextValue::TYPE, Value::read::<TextValue>),
        (ResponseFiles::TYPE, Value::read::<ResponseFiles>),
        (StepReservations::TYPE, Value::read::<StepReservations>),
    ];
    let plain = plain.into_iter().find(|(kind, _)| *kind == port.r#type);
    let form = || ArrayForm::of(&port.r#type).map(|form| (form.kind, form.read));
    let Some((kind, read)) = plain.or_else(form) else {
        let known = "json, number, text, files, array, volume, lungs, reservations";
        return Err(format!("the output {:?} is {:?}; a program gives {known}", port.name, port.r#type));
    };
    Ok(OutputDeclaration { name: interned(&port.name), kind, read, count: OutputCount::One })
}

impl DeclaredParameter {
    fn parameter(&self) -> Result<Parameter, String> {
        is_name(&self.name, '_')?;
        let (least, most) = (self.least.unwrap_or(f64::MIN), self.most.unwrap_or(f64::MAX));
        let (kind, default) = match &self.default {
            Json::Bool(flag) => (ParameterKind::Flag, ParameterValue::Flag(*flag)),
            Json::Number(number) => {
                let number = number.as_f64().ok_or("its default is too large")?;
                let kind = match self.whole {
                    true => ParameterKind::Whole { least, most },
                    false => ParameterKind::Number { least, most },
                };
                (kind, ParameterValue::Number(number))
            }
            Json::String(text) => {
                let choices = self.choices.iter().map(|choice| interned(choice)).collect();
                (ParameterKind::Text { choices }, ParameterValue::Text(text.clone()))
            }
            Json::Array(list) if !list.is_empty() && list.iter().all(Json::is_number) => {
                let numbers = list.iter().filter_map(Json::as_f64).collect();
                (ParameterKind::Numbers { least, most }, ParameterValue::Numbers(numbers))
            }
            Json::Array(list) => {
                let texts =
                    list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>();
                let texts = texts.ok_or("its default is a list of numbers, or of texts")?;
                (ParameterKind::Texts, ParameterValue::Texts(texts))
            }
            Json::Null | Json::Object(_) => {
                return Err("its default is true or false, a number, a text, or a list".to_owned());
            }
        };
        let parameter = Parameter {
            name: interned(&self.name),
            about: interned(&self.about),
            unit: interned(&self.unit),
            kind,
            default,
            required: self.required,
            text_check: None,
        };
        match parameter.accepts(&parameter.default) {
            Ok(()) => Ok(parameter),
            Err(range) => Err(format!("it takes {range}, and its default is {}", parameter.default)),
        }
    }
}

/// Whether a name is small letters and digits, words joined by a sign.
fn is_name(name: &str, joint: char) -> Result<(), String> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == joint;
    let fits = name.starts_with(|letter: char| letter.is_ascii_lowercase()) && name.chars().all(plain);
    if fits { Ok(()) } else { Err(format!("{name:?} is no name: small letters, digits and {joint:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(step: &str) -> Result<Vec<ProgramStep>, String> {
        ProgramHello::read(format!("{{\"flow\": 1, \"steps\": [{step}]}}").as_bytes())?.steps()
    }

    #[test]
    fn a_declaration_becomes_a_step() {
        let text = r#"{"name": "count-words", "inputs": [{"name": "item", "type": "item"},
            {"name": "all", "type": "json", "takes": "each"}], "outputs": [{"name": "lungs", "type": "lungs"}],
            "parameters": [{"name": "least", "default": 2, "least": 0, "most": 9, "unit": "mm"},
            {"name": "how", "default": "a", "choices": ["a", "b"]}, {"name": "levels", "default": [1, 2.5]}]}"#;
        let steps = steps(text).unwrap();
        let declaration = &steps[0].step.declaration;
        assert_eq!(declaration.inputs[1].take, InputTake::Each);
        assert_eq!(declaration.parameters[0].range(), "a number from 0 to 9 mm");
        assert_eq!(declaration.parameters[1].range(), "one of a, b");
        assert_eq!(declaration.parameters[2].default, ParameterValue::Numbers(vec![1.0, 2.5]));
    }

    #[test]
    fn wrong_declarations_are_refused_with_the_reason() {
        let json = r#""outputs": [{"name": "json", "type": "json"}]"#;
        for (step, reason) in [
            (format!(r#"{{"name": "A", {json}}}"#), "\"A\" is no name"),
            (r#"{"name": "a", "outputs": []}"#.to_owned(), "it gives nothing"),
            (
                r#"{"name": "a", "outputs": [{"name": "x", "type": "header"}]}"#.to_owned(),
                "a program gives json",
            ),
            (format!(r#"{{"name": "a", "batch": true, {json}}}"#), "takes one json"),
            (format!(r#"{{"name": "a", "grouped": true, {json}}}"#), "takes one json"),
            (
                format!(r#"{{"name": "a", {json}, "parameters": [{{"name": "p", "default": null}}]}}"#),
                "its default is",
            ),
            (
                format!(
                    r#"{{"name": "a", {json}, "parameters": [{{"name": "p", "default": 1, "least": 2}}]}}"#
                ),
                "it takes",
            ),
            (format!(r#"{{"name": "a", {json}}}, {{"name": "a", {json}}}"#), "two of its steps"),
            (format!(r#"{{"name": "a", {json}, "paramters": []}}"#), "unknown field"),
        ] {
            let said = steps(&step).err().unwrap();
            assert!(said.contains(reason), "{said}");
        }
        assert!(ProgramHello::read(br#"{"flow": 2, "steps": []}"#).unwrap_err().contains("version 2"));
        assert!(ProgramHello::read(b"hello").is_err());
        assert!(ProgramHello::read(br#"{"flow": 1, "columns": 1, "steps": []}"#).is_err());
    }
}
