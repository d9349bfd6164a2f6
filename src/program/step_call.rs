//! The lines of a call: inputs and parameters to the program, outputs or a fault back.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value as Json, json};

use crate::step::{
    ArrayForm, Call, Fault, FaultKind, Item, JsonValue, NumberValue, OutputDeclaration, Payload, Request,
    ResponseFiles, StepDeclaration, StepOutputs, StepReservations, TextValue, Value, WiredInput,
};

use super::call_folder::CallFolders;
use super::fault::of_folder;
use super::folder::{ProgramFolderError, last_words};
use super::{npy, reservations};

/// What a program answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepAnswer {
    /// The number of the line that it answers, if the program repeats it.
    #[serde(default)]
    call: Option<u64>,
    #[serde(default)]
    outputs: Option<Map<String, Json>>,
    #[serde(default)]
    fault: Option<AnswerFault>,
    #[serde(default)]
    results: Option<Vec<ItemAnswer>>,
    /// Results of which none is a fault.
    #[serde(default)]
    values: Option<Vec<Json>>,
    /// Items of a stream, and whether there are more.
    #[serde(default)]
    items: Option<Vec<ItemAnswer>>,
    #[serde(default)]
    more: Option<bool>,
    /// Whether the step asks for items of a stream.
    #[serde(default)]
    next: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemAnswer {
    /// A value that is null is one.
    #[serde(default, deserialize_with = "present")]
    value: Option<Json>,
    #[serde(default)]
    fault: Option<AnswerFault>,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(value).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerFault {
    reason: String,
    #[serde(default)]
    remedy: String,
    #[serde(default)]
    kind: AnswerFaultKind,
    #[serde(default)]
    log: String,
}

/// The kinds of fault that a program can say.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnswerFaultKind {
    #[default]
    Data,
    Transient,
    Broken,
}

impl StepAnswer {
    /// The answer to the line with a number.
    ///
    /// # Errors
    /// The reason why the line is none.
    pub fn read(line: &[u8], call: u64) -> Result<StepAnswer, String> {
        let answer: StepAnswer = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if let Some(other) = answer.call.filter(|answered| *answered != call) {
            return Err(format!("it answers call {other}, and call {call} was asked"));
        }
        let single = [answer.outputs.is_some(), answer.fault.is_some()];
        let several = [answer.results.is_some(), answer.values.is_some()];
        let streams = [answer.items.is_some(), answer.next.is_some()];
        let said = [single, several, streams];
        match said.iter().flatten().filter(|said| **said).count() {
            1 => Ok(answer),
            _ => Err("it has not one of outputs, results, values, items, next and fault".to_owned()),
        }
    }

    /// The outputs, from the answer and the files of the call.
    ///
    /// # Errors
    /// The fault that the program said, or one that says what is missing.
    pub fn outputs(
        mut self,
        declaration: &StepDeclaration,
        folders: &CallFolders,
        bytes_most: u64,
    ) -> Result<StepOutputs, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault.into_fault(folders.errors()));
        }
        let mut said = self.outputs.unwrap_or_default();
        let mut outputs = StepOutputs::default();
        for output in &declaration.outputs {
            let value = output_value(output, said.remove(output.name), folders, bytes_most)?;
            outputs.push(output.name, value);
        }
        match said.keys().next() {
            Some(unknown) => {
                Err(wrong(format!("the step gave an output {unknown:?}, which it did not declare")))
            }
            None => Ok(outputs),
        }
    }

    /// The results of a batch, one for each item. The log is that of the first fault.
    ///
    /// # Errors
    /// The fault of the whole batch.
    pub fn results(self, mut log: Vec<u8>) -> Result<Vec<Result<Json, Fault>>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault.into_fault(log));
        }
        if let Some(values) = self.values {
            return Ok(values.into_iter().map(Ok).collect());
        }
        self.results
            .map(|results| results.into_iter().map(|one| one.into_result(&mut log)).collect())
            .ok_or_else(|| wrong("the step takes batches, and gave no \"results\" or \"values\"".to_owned()))
    }
}

impl StepAnswer {
    /// The items of a stream, and whether there are more.
    ///
    /// # Errors
    /// The fault of the whole stream.
    pub fn items(self, mut log: Vec<u8>) -> Result<(Vec<Result<Json, Fault>>, bool), Fault> {
        if let Some(fault) = self.fault {
            return Err(fault.into_fault(log));
        }
        let items =
            self.items.ok_or_else(|| wrong("the step makes a stream, and gave no \"items\"".to_owned()))?;
        let more = self
            .more
            .ok_or_else(|| wrong("the step gave \"items\", and no \"more\" beside them".to_owned()))?;
        Ok((items.into_iter().map(|one| one.into_result(&mut log)).collect(), more))
    }

    /// Whether the step asks for items.
    pub fn asks(&self) -> bool {
        self.next.is_some()
    }
}

impl ItemAnswer {
    /// The result. A fault takes the log.
    fn into_result(self, log: &mut Vec<u8>) -> Result<Json, Fault> {
        match (self.value, self.fault) {
            (Some(value), None) => Ok(value),
            (None, None) => Err(wrong("the step gave neither a value nor a fault for an item".to_owned())),
            (_, Some(fault)) => Err(fault.into_fault(std::mem::take(log))),
        }
    }
}

impl AnswerFault {
    fn into_fault(self, errors: Vec<u8>) -> Fault {
        let kind = match self.kind {
            AnswerFaultKind::Data => FaultKind::Data,
            AnswerFaultKind::Transient => FaultKind::Transient,
            AnswerFaultKind::Broken => FaultKind::Broken,
        };
        let remedy = match (self.remedy.is_empty(), kind) {
            (false, _) => last_words(self.remedy.as_bytes()),
            (true, FaultKind::Broken) => {
                "Correct the step; `flow explain` shows the whole message.".to_owned()
            }
            (true, _) => "Follow the message of the step.".to_owned(),
        };
        let log = [self.log.into_bytes(), errors].concat();
        Fault::of(kind, last_words(self.reason.as_bytes()), remedy).of_program().with_log(log)
    }
}

/// A fault of a program that does not do as it declared.
pub fn wrong(reason: String) -> Fault {
    let remedy = "Correct the step: the book's page about the protocol says what an answer is.";
    Fault::of(FaultKind::Broken, reason, remedy)
}

fn output_value(
    output: &OutputDeclaration,
    said: Option<Json>,
    folders: &CallFolders,
    bytes_most: u64,
) -> Result<Value, Fault> {
    let name = output.name;
    if output.kind == ResponseFiles::TYPE {
        let files = folders.given_files(name, bytes_most).map_err(|error| of_folder(&error))?;
        return Ok(Value::new(files));
    }
    let said = said.ok_or_else(|| wrong(format!("the step did not give its output {name:?}")))?;
    if let Some(form) = ArrayForm::of(output.kind) {
        let file =
            folders.given_file(&format!("{name}.npy"), bytes_most).map_err(|error| of_folder(&error))?;
        let array = npy::parse(file, said).and_then(form.make);
        return array.map_err(|reason| wrong(format!("the output {name:?} is no {}: {reason}", output.kind)));
    }
    plain_value(output.kind, said).map_err(|reason| wrong(format!("the output {name:?} {reason}")))
}

/// The largest whole number up to which a `number` keeps every one.
const EXACT_MAX: u64 = 1 << 53;

/// A number as it is kept; `None` for a whole number that would become another one.
pub fn exact_number(number: &Number) -> Option<f64> {
    let is_other = |whole: u64| whole > EXACT_MAX && (whole as f64) as u128 != u128::from(whole);
    let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    number.as_f64().filter(|_| !whole.is_some_and(is_other))
}

/// A value of a type that travels as JSON.
///
/// # Errors
/// The reason why it is none, to follow the name of an output.
pub fn plain_value(kind: &str, said: Json) -> Result<Value, String> {
    match (kind, said) {
        (JsonValue::TYPE, json) => Ok(Value::new(JsonValue(json))),
        (NumberValue::TYPE, Json::Number(number)) => {
            let exact = exact_number(&number).map(|number| Value::new(NumberValue(number)));
            exact.ok_or_else(|| {
                format!("is {number}, which has more digits than a number keeps; give it as json or text")
            })
        }
        (TextValue::TYPE, Json::String(text)) => Ok(Value::new(TextValue(text))),
        (StepReservations::TYPE, json) => {
            let checked = reservations::checked(json.to_string().as_bytes());
            checked.map(Value::new).map_err(|error| format!("cannot be taken: {error}"))
        }
        (_, json) => Err(format!("is {}, not a {kind}", last_words(json.to_string().as_bytes()))),
    }
}

/// The line of a call. Items, files and arrays are written into the folders.
///
/// # Errors
/// They cannot be written.
pub fn line(
    step: &StepDeclaration,
    call: &Call,
    batch: Option<&[Json]>,
    folders: &CallFolders,
) -> Result<Vec<u8>, ProgramFolderError> {
    let mut inputs = Map::new();
    for (index, input) in step.inputs.iter().enumerate() {
        // The values of the batch stand in the place of the first input.
        if batch.is_none() || index > 0 {
            inputs.insert(input.name.to_owned(), wired(call.inputs.get(input.name), input.name, folders)?);
        }
    }
    let parameters: Map<String, Json> =
        call.parameters.iter().map(|(name, setting)| (name.to_owned(), json!(setting))).collect();
    let line = CallLine { step: step.name, inputs, parameters, batch };
    Ok(serde_json::to_vec(&line).expect("it has only what JSON has"))
}

#[derive(Serialize)]
struct CallLine<'a> {
    step: &'static str,
    inputs: Map<String, Json>,
    parameters: Map<String, Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a [Json]>,
}

fn wired(wired: &WiredInput, name: &str, folders: &CallFolders) -> Result<Json, ProgramFolderError> {
    match wired {
        WiredInput::Absent => Ok(Json::Null),
        WiredInput::One(value) => sent(value, name, folders),
        WiredInput::Each(values) => {
            let numbered = values.iter().zip(1..);
            let all = numbered.map(|(value, number)| sent(value, &format!("{name}/{number:06}"), folders));
            Ok(json!({"each": all.collect::<Result<Vec<Json>, ProgramFolderError>>()?}))
        }
    }
}

/// A value as the program gets it.
fn sent(value: &Value, name: &str, folders: &CallFolders) -> Result<Json, ProgramFolderError> {
    let kind = value.kind();
    if let Some(item) = value.get::<Item>() {
        return Ok(json!({"type": kind, "name": item.name, "path": folders.lay_item(item, name)?}));
    }
    if let Some(request) = value.get::<Request>() {
        let numbered = request.items.iter().zip(1..);
        let items = numbered.map(|(item, number)| {
            let path = folders.lay_item(item, &format!("{name}/{number:06}"))?;
            Ok(json!({"name": item.name, "path": path}))
        });
        let items = items.collect::<Result<Vec<Json>, ProgramFolderError>>()?;
        let attributes = request.attributes.iter();
        let attributes: Map<String, Json> =
            attributes.map(|(name, values)| (name.clone(), values.iter().collect())).collect();
        return Ok(json!({"type": kind, "name": request.name, "attributes": attributes, "items": items}));
    }
    if let Some(files) = value.get::<ResponseFiles>() {
        let paths = folders.lay_files(files, name)?;
        let described = files.0.iter().zip(paths);
        let described = described
            .map(|(file, path)| json!({"name": file.name, "media_type": file.media_type, "path": path}));
        return Ok(json!({"type": kind, "files": described.collect::<Vec<Json>>()}));
    }
    if let Some(array) = ArrayForm::of(kind).and_then(|form| (form.view)(value)) {
        let path = folders.lay_array(&array, name)?;
        return Ok(json!({"type": kind, "path": path, "about": array.about}));
    }
    Ok(json!({"type": kind, "value": value.to_json().unwrap_or_default()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_that_would_become_another_one_is_none() {
        let exact = |text: &str| exact_number(&serde_json::from_str(text).unwrap());
        assert_eq!(exact("9007199254740992"), Some(9_007_199_254_740_992.0));
        assert_eq!(exact("9007199254740993"), None);
        assert_eq!(exact("-9007199254740993"), None);
        assert_eq!(exact("18446744073709551615"), None);
        assert_eq!(exact("9223372036854775808"), Some(9_223_372_036_854_775_808.0));
        assert_eq!(exact("0.1"), Some(0.1));
    }
}
