//! The answers of a program: outputs, results of items, or a fault.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};

use crate::step::{
    ArrayForm, Fault, FaultKind, JsonValue, NumberValue, OutputDeclaration, Payload, ResponseFiles,
    StepDeclaration, StepOutputs, StepReservations, TextValue, Value,
};

use super::call_folder::CallFolders;
use super::column::{ColumnHead, GivenColumn};
use super::fault::{of_folder, wrong};
use super::folder::{both_ends, last_words};
use super::hidden_places::HiddenPlaces;
use super::item_results::ItemResults;
use super::plain_item::{PlainItem, exact_number};
use super::{npy, reservations};

/// The answer of a program.
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
    /// The head of a column of results or items.
    #[serde(default)]
    column: Option<ColumnHead>,
    /// The faults among the results or items of a column.
    #[serde(default)]
    faults: Vec<PlacedFault>,
    /// The bytes of the column.
    #[serde(skip)]
    bytes: Vec<u8>,
    /// The number of further steps that were performed.
    #[serde(default)]
    after: usize,
    /// The items that failed in the steps before the last one.
    #[serde(default)]
    before: Vec<ChainFault>,
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

/// The fault of an item beside a column.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlacedFault {
    /// The place among all results, from 0.
    at: usize,
    fault: AnswerFault,
}

/// The fault of an item in a step that is not the last one of its call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainFault {
    /// The place among the items of the call, from 0.
    at: usize,
    /// The number of the step, from 0.
    step: usize,
    fault: AnswerFault,
}

/// How far the items of a call came.
pub struct ChainProgress {
    /// The number of further steps that were performed. The answer is that of the last one.
    pub after: usize,
    /// The items that failed before it, in their order.
    pub before: Vec<LostItem>,
}

/// An item that failed in a step before the last one: its place and the number of the step, both from 0.
pub struct LostItem {
    pub at: usize,
    pub step: usize,
    pub fault: Fault,
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
        answer.column.map_or(Ok(()), ColumnHead::check)?;
        if answer.column.is_none() && !answer.faults.is_empty() {
            return Err("it has faults without a column".to_owned());
        }
        let single = [answer.outputs.is_some(), answer.fault.is_some()];
        let several = [answer.results.is_some(), answer.values.is_some()];
        let streams = [answer.items.is_some(), answer.next.is_some()];
        let said = [single, several, streams];
        let said = said.iter().flatten().chain([&answer.column.is_some()]).filter(|said| **said).count();
        match said {
            1 => Ok(answer),
            _ => {
                Err("it has not one of outputs, results, values, items, next and fault, nor a column"
                    .to_owned())
            }
        }
    }

    /// Takes the paths of private folders out of what its faults say.
    pub fn hide(&mut self, places: &HiddenPlaces) {
        let items = self.results.iter_mut().chain(&mut self.items).flatten();
        let of_items = items.filter_map(|item| item.fault.as_mut());
        let placed = self.faults.iter_mut().map(|placed| &mut placed.fault);
        let before = self.before.iter_mut().map(|lost| &mut lost.fault);
        for fault in self.fault.iter_mut().chain(of_items).chain(placed).chain(before) {
            for text in [&mut fault.reason, &mut fault.remedy, &mut fault.log] {
                places.hide(text);
            }
        }
    }

    /// The head of the column that follows the line.
    pub fn column(&self) -> Option<ColumnHead> {
        self.column
    }

    /// The answer with the bytes that followed it, as many as the head of the column says.
    #[must_use]
    pub fn with_column(self, bytes: Vec<u8>) -> StepAnswer {
        StepAnswer { bytes, ..self }
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
    pub fn results<B: PlainItem>(self, mut log: Vec<u8>) -> Result<ItemResults<B>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault.into_fault(log));
        }
        if let Some(values) = self.values {
            return Ok(values.into_iter().map(B::made).collect());
        }
        if let Some(head) = self.column {
            return in_column(GivenColumn { head, bytes: self.bytes }, self.faults, log);
        }
        self.results
            .map(|results| results.into_iter().map(|one| one.into_result(&mut log)).collect())
            .ok_or_else(|| {
                let lacking = "the step takes batches, and gave no \"results\", \"values\" or \"column\"";
                wrong(lacking.to_owned())
            })
    }

    /// The items of a stream, and whether there are more.
    ///
    /// # Errors
    /// The fault of the whole stream.
    pub fn items<B: PlainItem>(self, mut log: Vec<u8>) -> Result<(ItemResults<B>, bool), Fault> {
        if let Some(fault) = self.fault {
            return Err(fault.into_fault(log));
        }
        let items = match (self.items, self.column) {
            (Some(items), _) => items.into_iter().map(|one| one.into_result(&mut log)).collect(),
            (None, Some(head)) => in_column(GivenColumn { head, bytes: self.bytes }, self.faults, log)?,
            (None, None) => {
                return Err(wrong("the step makes a stream, and gave no \"items\" or \"column\"".to_owned()));
            }
        };
        let more = self.more.ok_or_else(|| {
            wrong("the step gave items of a stream, and no \"more\" beside them".to_owned())
        })?;
        Ok((items, more))
    }

    /// How far the items of a call came, of so many items and further steps; `None` if that cannot be.
    pub fn progress(&mut self, items: usize, further: usize) -> Option<ChainProgress> {
        let after = self.after;
        let before = std::mem::take(&mut self.before);
        let is_ascending = before.is_sorted_by(|one, next| one.at < next.at);
        let are_known = before.iter().all(|lost| lost.at < items && lost.step < after);
        let lost = |lost: ChainFault| LostItem {
            at: lost.at,
            step: lost.step,
            // What was written to standard error belongs to the last step.
            fault: lost.fault.into_fault(Vec::new()),
        };
        let before = before.into_iter().map(lost).collect();
        (after <= further && is_ascending && are_known).then_some(ChainProgress { after, before })
    }

    /// Whether the step asks for items.
    pub fn asks(&self) -> bool {
        self.next.is_some()
    }
}

/// The items of a column, with the faults among them.
fn in_column<B: PlainItem>(
    column: GivenColumn,
    faults: Vec<PlacedFault>,
    mut log: Vec<u8>,
) -> Result<ItemResults<B>, Fault> {
    let items = B::of_column(column).map_err(|reason| wrong(format!("the step's column {reason}")))?;
    if faults.is_empty() && items.iter().all(B::is_one) {
        return Ok(ItemResults::of_values(items));
    }
    let len = items.len() + faults.len();
    let (mut results, mut items, mut faults) =
        (ItemResults::with_capacity(len), items.into_iter(), faults.into_iter().peekable());
    for index in 0..len {
        if let Some(placed) = faults.next_if(|placed| placed.at == index) {
            results.push(Err(placed.fault.into_fault(std::mem::take(&mut log))));
            continue;
        }
        let Some(item) = items.next() else { break };
        results.push(if item.is_one() { Ok(item) } else { Err(wrong(B::NOT_ONE.to_owned())) });
    }
    match faults.next() {
        None => Ok(results),
        Some(placed) => {
            let reason = format!("the step has a fault at {} beside a column of {len}, or twice", placed.at);
            Err(wrong(reason))
        }
    }
}

impl ItemAnswer {
    /// The result. A fault takes the log.
    fn into_result<B: PlainItem>(self, log: &mut Vec<u8>) -> Result<B, Fault> {
        match (self.value, self.fault) {
            (Some(value), None) => B::made(value),
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
            (false, _) => both_ends(&self.remedy),
            (true, FaultKind::Broken) => {
                "Correct the step; `flow explain` shows the whole message.".to_owned()
            }
            (true, _) => "Follow the message of the step.".to_owned(),
        };
        let log = [self.log.into_bytes(), errors].concat();
        Fault::of(kind, both_ends(&self.reason), remedy).of_program().with_log(log)
    }
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
        return named(name, said, &files).map_or(Ok(Value::new(files)), |reason| Err(wrong(reason)));
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

/// The reason why the files of an output are not those that the step names, if it names them.
fn named(output: &str, said: Option<Json>, files: &ResponseFiles) -> Option<String> {
    let names = match said? {
        Json::Null => return None,
        Json::Array(names) => names,
        _ => {
            return Some(format!(
                "the output {output:?} is not null or the list of its files in out/{output}/"
            ));
        }
    };
    let found: BTreeSet<&str> = files.0.iter().map(|file| file.name.as_str()).collect();
    let is_there = |name: &&Json| name.as_str().is_some_and(|name| found.contains(name));
    let lacking = names.iter().find(|name| !is_there(name))?;
    Some(format!("the step gave the file {lacking} of its output {output:?}, and it is not in out/{output}/"))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of an answer with a column of results: numbers, and reasons of faults.
    fn results<B: PlainItem>(line: &str, column: &[u8]) -> Result<Vec<Result<B, String>>, String> {
        let answer = StepAnswer::read(line.as_bytes(), 1)?.with_column(column.to_vec());
        assert_eq!(answer.column().map(|head| head.bytes), Some(column.len()));
        let results = answer.results::<B>(Vec::new()).map_err(|fault| fault.reason)?;
        Ok(results.into_iter().map(|result| result.map_err(|fault| fault.reason)).collect())
    }

    fn floats(numbers: &[f64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn faults_stand_between_the_numbers_of_a_column() {
        let line = r#"{"call": 1, "column": {"type": "float64", "count": 4, "bytes": 32},
            "faults": [{"at": 0, "fault": {"reason": "first"}}, {"at": 3, "fault": {"reason": "fourth"}}]}"#;
        let results = results::<NumberValue>(line, &floats(&[1.0, f64::NAN, 2.5, f64::INFINITY])).unwrap();
        let said: Vec<String> = results
            .into_iter()
            .map(|result| result.map_or_else(|reason| reason, |number| number.0.to_string()))
            .collect();
        assert_eq!(said, ["first", "1", NumberValue::NOT_ONE, "fourth", "2.5", NumberValue::NOT_ONE]);
    }

    #[test]
    fn whole_numbers_and_texts_come_in_columns_too() {
        let line = r#"{"column": {"type": "int64", "count": 2, "bytes": 16}}"#;
        let whole = [(-3_i64).to_le_bytes(), ((1_i64 << 53) + 1).to_le_bytes()].concat();
        let numbers = results::<NumberValue>(line, &whole).unwrap();
        assert_eq!(numbers, [Ok(NumberValue(-3.0)), Err(NumberValue::NOT_ONE.to_owned())]);
        let line = r#"{"column": {"type": "text", "count": 2, "bytes": 4}}"#;
        let texts = results::<TextValue>(line, "ä\0\0".as_bytes()).unwrap();
        assert_eq!(texts, [Ok(TextValue("ä".to_owned())), Ok(TextValue(String::new()))]);
    }

    #[test]
    fn what_is_no_column_is_refused_as_a_whole() {
        let column = |head: &str, more: &str| format!(r#"{{"column": {{{head}}}{more}}}"#);
        let good = r#""type": "float64", "count": 1, "bytes": 8"#;
        assert!(StepAnswer::read(column(&format!("{good}, \"mixed\": true"), "").as_bytes(), 1).is_ok());
        for (line, reason) in [
            (column(r#""type": "float64", "count": 1, "bytes": 9"#, ""), "cannot have 9 bytes"),
            (column(r#""type": "float64", "count": -1, "bytes": 8"#, ""), "invalid value"),
            (column(r#""type": "float64", "count": 1.5, "bytes": 8"#, ""), "invalid type"),
            (column(r#""type": "float64", "count": 99999999999999999999, "bytes": 8"#, ""), "invalid"),
            (column(r#""type": "float64", "count": 2305843009213693953, "bytes": 8"#, ""), "are the most"),
            (column(r#""type": "float32", "count": 2, "bytes": 8"#, ""), "unknown variant"),
            (column(r#""type": "float64", "count": 1"#, ""), "missing field"),
            (column(&format!(r#"{good}, "order": "big""#), ""), "unknown field"),
            (column(good, r#", "values": [1]"#), "it has not one of"),
            (column(good, r#", "outputs": {}"#), "it has not one of"),
            (column(good, r#", "faults": [{"at": -1, "fault": {"reason": "a"}}]"#), "invalid value"),
            (
                r#"{"values": [1], "faults": [{"at": 0, "fault": {"reason": "a"}}]}"#.to_owned(),
                "faults without",
            ),
            (column(good, r#", "call": 2"#), "it answers call 2"),
        ] {
            let said = StepAnswer::read(line.as_bytes(), 1).err().unwrap_or_default();
            assert!(said.contains(reason), "{line}: {said}");
        }
        for faults in [
            r#"{"at": 2, "fault": {"reason": "a"}}"#,
            r#"{"at": 0, "fault": {"reason": "a"}}, {"at": 0, "fault": {"reason": "a"}}"#,
            r#"{"at": 1, "fault": {"reason": "a"}}, {"at": 0, "fault": {"reason": "a"}}"#,
            r#"{"at": 18446744073709551615, "fault": {"reason": "a"}}"#,
        ] {
            let line = column(good, &format!(r#", "faults": [{faults}]"#));
            let said = results::<NumberValue>(&line, &[0; 8]).unwrap_err();
            assert!(said.starts_with("the step has a fault at"), "{said}");
        }
    }

    #[test]
    fn a_column_of_another_type_is_a_fault() {
        let number = r#"{"column": {"type": "float64", "count": 1, "bytes": 8}}"#;
        let text = r#"{"column": {"type": "text", "count": 1, "bytes": 2}}"#;
        assert!(results::<TextValue>(number, &[0; 8]).unwrap_err().contains("the step gives texts"));
        assert!(results::<NumberValue>(text, b"a\0").unwrap_err().contains("the step gives numbers"));
        assert!(results::<JsonValue>(text, b"a\0").unwrap_err().contains("the step gives json"));
        let said = results::<TextValue>(text, b"\xff\0").unwrap_err();
        assert!(said.contains("is not UTF-8"), "{said}");
        let said = results::<TextValue>(text, b"ab").unwrap_err();
        assert!(said.contains("zero bytes"), "{said}");
    }
}
