//! Types of items that travel as JSON.

use serde_json::Value as Json;

use crate::step::{JsonValue, NumberValue, StreamItem, TextValue};

/// A type that travels as JSON, item by item.
pub trait PlainItem: StreamItem {
    /// The value as JSON.
    fn into_json(self) -> Json;

    /// The value of JSON; `None` if it is of another type.
    fn of_json(json: Json) -> Option<Self>;
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
