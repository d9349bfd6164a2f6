//! Types of items that travel as JSON or in columns.

use serde_json::{Number, Value as Json};

use crate::step::{Fault, JsonValue, NumberValue, Payload, StepDeclaration, StreamItem, TextValue};

use super::column::{self, GivenColumn, SentColumn};
use super::fault::wrong;

/// A type that travels item by item.
pub trait PlainItem: StreamItem {
    /// The reason of the fault for a result that is none.
    const NOT_ONE: &str;

    /// The items as a column; `None` if they travel as JSON.
    fn to_column(items: &[Self]) -> Option<SentColumn>;

    /// The items as a list in JSON.
    fn to_list(items: &[Self]) -> Vec<u8> {
        serde_json::to_vec(items).expect("plain items are JSON")
    }

    /// The items of a column.
    ///
    /// # Errors
    /// The reason why they are none, to follow "the column".
    fn of_column(column: GivenColumn) -> Result<Vec<Self>, String>;

    /// Whether an item of a column is one.
    fn is_one(&self) -> bool {
        true
    }

    /// The value of JSON; `None` if it is of another type.
    fn of_json(json: Json) -> Option<Self>;

    /// The value that a step gave for an item.
    ///
    /// # Errors
    /// The fault of the step, if it is of another type.
    fn made(json: Json) -> Result<Self, Fault> {
        Self::of_json(json).ok_or_else(|| wrong(Self::NOT_ONE.to_owned()))
    }
}

impl PlainItem for JsonValue {
    const NOT_ONE: &str = "the step gave no value for an item";

    fn to_column(_: &[JsonValue]) -> Option<SentColumn> {
        None
    }

    fn of_column(column: GivenColumn) -> Result<Vec<JsonValue>, String> {
        Err(format!("is of {}, and the step gives json", column.head.r#type))
    }

    fn of_json(json: Json) -> Option<JsonValue> {
        Some(JsonValue(json))
    }
}

impl PlainItem for NumberValue {
    const NOT_ONE: &str = "the step gave no number for an item, or one of more digits than a number keeps";

    fn to_column(items: &[NumberValue]) -> Option<SentColumn> {
        Some(column::of_numbers(items.iter().map(|number| number.0)))
    }

    fn to_list(items: &[NumberValue]) -> Vec<u8> {
        let numbers: Vec<Json> = items.iter().map(|number| json_number(number.0)).collect();
        serde_json::to_vec(&numbers).expect("numbers are JSON")
    }

    fn of_column(column: GivenColumn) -> Result<Vec<NumberValue>, String> {
        Ok(column.numbers()?.into_iter().map(NumberValue).collect())
    }

    fn is_one(&self) -> bool {
        self.0.is_finite()
    }

    fn of_json(json: Json) -> Option<NumberValue> {
        exact_number(json.as_number()?).map(NumberValue)
    }
}

impl PlainItem for TextValue {
    const NOT_ONE: &str = "the step gave no text for an item";

    fn to_column(items: &[TextValue]) -> Option<SentColumn> {
        column::of_texts(items.iter().map(|text| text.0.as_str()))
    }

    fn of_column(column: GivenColumn) -> Result<Vec<TextValue>, String> {
        Ok(column.texts()?.into_iter().map(TextValue).collect())
    }

    fn of_json(json: Json) -> Option<TextValue> {
        match json {
            Json::String(text) => Some(TextValue(text)),
            _ => None,
        }
    }
}

/// Makes something for the types of a step's items.
pub trait TypedMaker {
    type Made;

    /// Makes it for items of type `A`, and results of type `B`.
    fn make<A: PlainItem, B: PlainItem>(self) -> Self::Made;
}

/// What is made for the types of the first input and the output of a step.
pub fn for_types<M: TypedMaker>(step: &StepDeclaration, maker: M) -> M::Made {
    match step.inputs[0].kind {
        NumberValue::TYPE => for_output::<NumberValue, M>(step, maker),
        TextValue::TYPE => for_output::<TextValue, M>(step, maker),
        _ => for_output::<JsonValue, M>(step, maker),
    }
}

fn for_output<A: PlainItem, M: TypedMaker>(step: &StepDeclaration, maker: M) -> M::Made {
    match step.outputs[0].kind {
        NumberValue::TYPE => maker.make::<A, NumberValue>(),
        TextValue::TYPE => maker.make::<A, TextValue>(),
        _ => maker.make::<A, JsonValue>(),
    }
}

/// A number as JSON: a whole one without a point, as far as a `number` keeps every whole one. So a step in Python gets it
/// as an `int`, however it travels.
pub fn json_number(number: f64) -> Json {
    column::whole(number).map_or_else(|| Json::from(number), Json::from)
}

/// A number as it is kept; `None` for a whole number that would become another one.
pub fn exact_number(number: &Number) -> Option<f64> {
    let is_other = |whole: u64| whole > column::EXACT_MAX && (whole as f64) as u128 != u128::from(whole);
    let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    number.as_f64().filter(|_| !whole.is_some_and(is_other))
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

    #[test]
    fn whole_numbers_have_no_point() {
        let numbers =
            [3.0, -0.0, 0.5, -9_007_199_254_740_992.0, 9_007_199_254_740_994.0, 1e300].map(NumberValue);
        let list = String::from_utf8(NumberValue::to_list(&numbers)).unwrap();
        assert_eq!(list, "[3,0,0.5,-9007199254740992,9007199254740994.0,1e+300]");
    }
}
