//! Types of items that travel as JSON.

use serde_json::Value as Json;

use crate::step::{Fault, JsonValue, NumberValue, Payload, StreamItem, TextValue};

use super::step_call::{exact_number, wrong};

/// A type that travels as JSON, item by item.
pub trait PlainItem: StreamItem {
    /// The value as JSON.
    fn into_json(self) -> Json;

    /// The value of JSON; `None` if it is of another type.
    fn of_json(json: Json) -> Option<Self>;

    /// What a step gave for an item.
    ///
    /// # Errors
    /// The fault of the step, if it is of another type.
    fn made(json: Json) -> Result<Self, Fault> {
        let not_one = || match Self::TYPE {
            NumberValue::TYPE => {
                "the step gave no number for an item, or one of more digits than a number keeps"
            }
            TextValue::TYPE => "the step gave no text for an item",
            _ => "the step gave no value for an item",
        };
        Self::of_json(json).ok_or_else(|| wrong(not_one().to_owned()))
    }
}

impl PlainItem for JsonValue {
    fn into_json(self) -> Json {
        self.0
    }

    fn of_json(json: Json) -> Option<JsonValue> {
        Some(JsonValue(json))
    }
}

impl PlainItem for NumberValue {
    fn into_json(self) -> Json {
        self.0.into()
    }

    fn of_json(json: Json) -> Option<NumberValue> {
        exact_number(json.as_number()?).map(NumberValue)
    }
}

impl PlainItem for TextValue {
    fn into_json(self) -> Json {
        self.0.into()
    }

    fn of_json(json: Json) -> Option<TextValue> {
        json.as_str().map(|text| TextValue(text.to_owned()))
    }
}
