//! Values of a step's inputs and outputs as files, for `flow step`.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dicom::folder;
use crate::files::PlainFiles;
use crate::printable::with_causes;
use crate::program::npy;
use crate::step::{
    ArrayForm, ArrayView, Item, ItemPlace, JsonValue, NumberValue, OutputDeclaration, Parameter,
    ParameterKind, ParameterValue, Payload, Request, ResponseFile, ResponseFiles, StepTable, TextValue,
    Value,
};

/// Reads the value of an input of this type.
///
/// # Errors
/// The reason why it is none.
pub fn read(kind: &str, written: &str, table: &StepTable) -> Result<Value, String> {
    match kind {
        Item::TYPE => item(written),
        Request::TYPE => request(written).map(Value::new),
        ResponseFiles::TYPE => files(written).map(Value::new),
        JsonValue::TYPE => {
            let text = if is_file(written) { text_of(written)? } else { written.to_owned() };
            let json = serde_json::from_str(&text).map_err(|error| format!("it is no JSON: {error}"))?;
            Ok(Value::new(JsonValue(json)))
        }
        NumberValue::TYPE => {
            let number = written.parse().ok().filter(|number: &f64| number.is_finite());
            number.map(|number| Value::new(NumberValue(number))).ok_or_else(|| "it is no number".to_owned())
        }
        TextValue::TYPE => {
            let text = if is_file(written) { text_of(written)? } else { written.to_owned() };
            Ok(Value::new(TextValue(text)))
        }
        _ if written.ends_with(".npy") => array(kind, written),
        _ => other(kind, written, table),
    }
}

fn is_file(written: &str) -> bool {
    Path::new(written).is_file()
}

fn text_of(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn item(path: &str) -> Result<Value, String> {
    let mut request = plain(path)?;
    match request.items.len() {
        1 => Ok(Value::new(request.items.remove(0))),
        count => Err(format!("{path} has {count} files: an item is one")),
    }
}

/// A DICOM study if the folder has one, else plain files.
fn request(path: &str) -> Result<Request, String> {
    let found = folder::find(&[PathBuf::from(path)]).ok();
    match found.map(|found| found.studies) {
        Some(mut studies) if studies.len() == 1 => Ok(studies.remove(0)),
        _ => plain(path),
    }
}

fn plain(path: &str) -> Result<Request, String> {
    let found = PlainFiles::find(&[PathBuf::from(path)]).map_err(|error| with_causes(&error))?;
    found.requests().first().cloned().ok_or_else(|| format!("{path} has no files"))
}

fn files(path: &str) -> Result<ResponseFiles, String> {
    let request = plain(path)?;
    let file = |item: &Item| {
        let ItemPlace::File(path) = &item.place else { return Err(format!("{} is no file", item.name)) };
        let media_type = "application/octet-stream";
        Ok(ResponseFile::new(item.name.clone(), media_type, bytes_of(path)?))
    };
    request.items.iter().map(file).collect::<Result<_, String>>().map(ResponseFiles)
}

/// An array, and what belongs to it from the file `NAME.about.json` beside it.
fn array(kind: &str, path: &str) -> Result<Value, String> {
    let form = ArrayForm::of(kind).ok_or_else(|| format!("a {kind} is no array"))?;
    let about = PathBuf::from(path).with_extension("about.json");
    let about = if about.is_file() {
        serde_json::from_slice(&bytes_of(&about)?).map_err(|error| format!("{}: {error}", about.display()))?
    } else {
        serde_json::Value::Null
    };
    npy::parse(bytes_of(Path::new(path))?, about).and_then(form.make)
}

/// A value in its form on disk, as `flow step` writes it.
fn other(kind: &str, path: &str, table: &StepTable) -> Result<Value, String> {
    let mut outputs = table.iter().flat_map(|step| &step.declaration.outputs);
    let output: Option<&OutputDeclaration> = outputs.find(|output| output.kind == kind);
    let output = output.ok_or_else(|| format!("no step gives {kind}, so there is no way to read one"))?;
    let bytes = bytes_of(Path::new(path))?;
    (output.read)(&bytes, &|_| None)
        .map_err(|error| format!("{path} is no {kind} as flow writes it: {error}"))
}

/// Writes an output below a folder; returns lines that say what it is.
///
/// # Errors
/// A file cannot be written.
pub fn write(name: &str, value: &Value, folder: &Path) -> std::io::Result<Vec<String>> {
    let kind = value.kind();
    let said = |what: String| vec![format!("{name}  {kind}  {what}")];
    if let Some(files) = value.get::<ResponseFiles>() {
        let mut lines = Vec::new();
        for file in &files.0 {
            let path = folder.join(name).join(&file.name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, &file.bytes)?;
            lines.push(format!("{name}  {kind}  {} ({} bytes)", path.display(), file.bytes.len()));
        }
        return Ok(lines);
    }
    fs::create_dir_all(folder)?;
    if let Some(number) = value.get::<NumberValue>() {
        return Ok(said(number.0.to_string()));
    }
    if let Some(text) = value.get::<TextValue>() {
        let path = folder.join(format!("{name}.txt"));
        fs::write(&path, &text.0)?;
        return Ok(said(path.display().to_string()));
    }
    if let Some(json) = value.get::<JsonValue>() {
        let path = folder.join(format!("{name}.json"));
        fs::write(&path, format!("{:#}\n", json.0))?;
        return Ok(said(format!("{}  ({})", json.0, path.display())));
    }
    if let Some(array) = ArrayForm::of(kind).and_then(|form| (form.view)(value)) {
        return write_array(name, &array, folder).map(said);
    }
    let path = folder.join(format!("{name}.cbor"));
    fs::write(&path, value.to_bytes())?;
    Ok(said(path.display().to_string()))
}

fn write_array(name: &str, array: &ArrayView, folder: &Path) -> std::io::Result<String> {
    let path = folder.join(format!("{name}.npy"));
    let header = Cow::Owned(npy::header(array.element, &array.shape));
    let parts: [Cow<[u8]>; 2] = [header, Cow::Borrowed(&array.bytes)];
    fs::write(&path, parts.concat())?;
    fs::write(folder.join(format!("{name}.about.json")), format!("{:#}\n", array.about))?;
    Ok(format!("{:?} {:?}  {}", array.element, array.shape, path.display()))
}

/// The value of a parameter on the command line; a list is separated by commas.
///
/// # Errors
/// What the parameter takes.
pub fn setting(parameter: &Parameter, written: &str) -> Result<ParameterValue, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let parts = || written.split(',').filter(|part| !part.is_empty());
    let setting = match &parameter.kind {
        ParameterKind::Flag => written.parse().ok().map(ParameterValue::Flag),
        ParameterKind::Number { .. } | ParameterKind::Whole { .. } => {
            number(written).map(ParameterValue::Number)
        }
        ParameterKind::Text { .. } => Some(ParameterValue::Text(written.to_owned())),
        ParameterKind::Numbers { .. } => {
            parts().map(number).collect::<Option<_>>().map(ParameterValue::Numbers)
        }
        ParameterKind::Texts => Some(ParameterValue::Texts(parts().map(str::to_owned).collect())),
        ParameterKind::Json { .. } => serde_json::from_str(written).ok().map(ParameterValue::Json),
    };
    let setting = setting.ok_or_else(|| parameter.range())?;
    parameter.accepts(&setting).map(|()| setting)
}
