//! The messages of a call: inputs and parameters for the program.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::step::{
    ArrayForm, Call, Item, NumberValue, Request, ResponseFiles, StepDeclaration, Value, WiredInput,
};

use super::call_folder::CallFolders;
use super::folder::ProgramFolderError;
use super::message::{ProgramMessage, SentItems};
use super::plain_item::json_number;

/// The items of a call that brings several.
#[derive(Clone, Copy)]
pub struct SentBatch<'a> {
    pub items: &'a SentItems,
    /// The steps that work on the results, one after the other.
    pub next: &'a [NextCall<'a>],
}

/// A further step of a call. Its first input has the results of the step before.
pub struct NextCall<'a> {
    pub step: &'a StepDeclaration,
    pub call: &'a Call<'a>,
    /// The bytes that a column of its items may have, if it takes batches.
    pub bytes: Option<usize>,
}

/// The message of a call. Items, files and arrays are written into the folders.
///
/// # Errors
/// They cannot be written.
pub fn message<'a>(
    step: &StepDeclaration,
    call: &Call,
    batch: Option<SentBatch<'a>>,
    folders: &CallFolders,
) -> Result<ProgramMessage<'a>, ProgramFolderError> {
    // The values of the batch stand in the place of the first input.
    let first = usize::from(batch.is_some());
    let mut line = call_line(step, call, first, folders)?;
    let next = batch.iter().flat_map(|batch| batch.next);
    let then =
        next.map(|next| Ok(CallLine { bytes: next.bytes, ..call_line(next.step, next.call, 1, folders)? }));
    line.then = then.collect::<Result<Vec<CallLine>, ProgramFolderError>>()?;
    let mut line = serde_json::to_vec(&line).expect("it has only what JSON has");
    if let Some(SentBatch { items, .. }) = batch {
        line.pop();
        line.push(b',');
        line.extend(items.field("batch"));
        line.push(b'}');
    }
    Ok(ProgramMessage { line, column: batch.map(|batch| batch.items.column()).unwrap_or_default() })
}

#[derive(Serialize)]
struct CallLine {
    step: &'static str,
    inputs: Map<String, Json>,
    parameters: Map<String, Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    then: Vec<CallLine>,
}

/// A step with its parameters, and with its inputs from this one on.
fn call_line(
    step: &StepDeclaration,
    call: &Call,
    first: usize,
    folders: &CallFolders,
) -> Result<CallLine, ProgramFolderError> {
    let input = |name: &'static str| Ok((name.to_owned(), wired(call.inputs.get(name), name, folders)?));
    let inputs = step.inputs.iter().skip(first).map(|declared| input(declared.name));
    Ok(CallLine {
        step: step.name,
        inputs: inputs.collect::<Result<Map<String, Json>, ProgramFolderError>>()?,
        parameters: call.parameters.iter().map(|(name, setting)| (name.to_owned(), json!(setting))).collect(),
        bytes: None,
        then: Vec::new(),
    })
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
    if let Some(NumberValue(number)) = value.get::<NumberValue>() {
        return Ok(json!({"type": kind, "value": json_number(*number)}));
    }
    Ok(json!({"type": kind, "value": value.to_json().unwrap_or_default()}))
}
