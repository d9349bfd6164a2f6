//! Entry point for the target in `fuzz`: what a program of steps says and writes.

use serde_json::Value as Json;

use crate::step::{
    ArrayForm, ArrayValue, JsonValue, NumberValue, Payload, StepReservations, TextValue, Value,
};

use super::hello::ProgramHello;
use super::npy;
use super::plain_item::PlainItem;
use super::step_answer::{StepAnswer, plain_value};

/// The types that travel as JSON.
const PLAIN: [&str; 4] = [JsonValue::TYPE, NumberValue::TYPE, TextValue::TYPE, StepReservations::TYPE];

/// The first line of a program, the answer to a call, or an array in a file: `about` as JSON in the first line, and
/// then the file.
pub fn said(bytes: &[u8]) -> bool {
    [declared(bytes), answered(bytes), array(bytes)].contains(&true)
}

fn declared(line: &[u8]) -> bool {
    let Ok(hello) = ProgramHello::read(line) else { return false };
    match hello.steps() {
        Ok(steps) => {
            assert!(!steps.is_empty());
            true
        }
        Err(reason) => {
            assert!(!reason.is_empty());
            false
        }
    }
}

/// The line of an answer, and behind it the bytes of its column.
fn answered(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
    let (line, behind) = bytes.split_at(end);
    let read = || {
        let answer = StepAnswer::read(line, 1)?;
        let column = answer.column().map_or(0, |head| head.bytes);
        let column = behind.get(..column).ok_or("its column is cut off")?;
        Ok::<StepAnswer, String>(answer.with_column(column.to_vec()))
    };
    let Ok(mut answer) = read() else { return false };
    answer.asks();
    assert!(answer.progress(5, 2).is_none_or(|progress| progress.after <= 2 && progress.before.len() <= 5));
    results_of::<JsonValue>(&read);
    results_of::<NumberValue>(&read);
    results_of::<TextValue>(&read);
    true
}

/// The results and items of an answer, as values of a type.
fn results_of<B: PlainItem>(read: &dyn Fn() -> Result<StepAnswer, String>) {
    let read = || read().expect("it was read before");
    let results = [read().results::<B>(Vec::new()), read().items::<B>(Vec::new()).map(|said| said.0)];
    for results in results.into_iter().flatten() {
        let len = results.len();
        let values = results.into_iter().inspect(|result| {
            if let Ok(value) = result {
                assert!(value.is_one());
                let json = Value::new(value.clone()).to_json().unwrap_or_default();
                for kind in PLAIN {
                    if let Ok(value) = plain_value(kind, json.clone()) {
                        assert_eq!(value.kind(), kind);
                        value.to_bytes();
                    }
                }
            }
        });
        assert_eq!(values.count(), len);
    }
}

fn array(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return false };
    let Ok(about) = serde_json::from_slice::<Json>(&bytes[..end]) else { return false };
    let Ok(array) = npy::parse(bytes[end + 1..].to_vec(), about) else { return false };
    let forms = ["array", "volume", "lungs"].into_iter().filter_map(ArrayForm::of);
    let made: Vec<Value> = forms.filter_map(|form| (form.make)(array.clone()).ok()).collect();
    for value in &made {
        let form = ArrayForm::of(value.kind()).expect("it was made by one");
        let view = (form.view)(value).expect("a value of its form");
        let file = [npy::header(view.element, &view.shape).as_slice(), &view.bytes].concat();
        let again: ArrayValue = npy::parse(file, view.about).expect("what is written can be read");
        assert_eq!(again.shape, view.shape);
    }
    !made.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_does_no_harm() {
        crate::fuzzed::check("program", said);
    }
}
