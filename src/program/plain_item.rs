//! Types of items that travel as JSON.

use serde_json::Value as Json;

use crate::step::{Fault, JsonValue, NumberValue, StreamItem, TextValue};

use super::step_call::wrong;

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
        Self::of_json(json).ok_or_else(|| wrong(format!("the step gave no {} for an item", Self::TYPE)))
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
        json.as_f64().map(NumberValue)
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
