//! Values without a type of their own: JSON, numbers, texts. They are what programs of any language exchange.

use serde::{Deserialize, Serialize};

use super::Payload;

/// Any JSON value. Keys of objects are in alphabetical order, so that the same value has the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonValue(pub serde_json::Value);

impl Payload for JsonValue {
    const TYPE: &'static str = "json";

    fn bytes_in_memory(&self) -> usize {
        json_bytes(&self.0)
    }
}

/// A finite number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NumberValue(pub f64);

impl Payload for NumberValue {
    const TYPE: &'static str = "number";
}

/// A text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextValue(pub String);

impl Payload for TextValue {
    const TYPE: &'static str = "text";

    fn bytes_in_memory(&self) -> usize {
        size_of::<TextValue>() + self.0.len()
    }
}

fn json_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    let inside = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(json_bytes).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + 24 + json_bytes(value)).sum(),
    };
    size_of::<Value>() + inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Value;

    #[test]
    fn values_are_read_back_from_their_form_on_disk() {
        let json =
            serde_json::json!({"b": [1, 2.5, null, true], "a": {"text": "ä"}, "large": 9007199254740993_u64});
        let value = Value::new(JsonValue(json.clone()));
        let read = Value::read::<JsonValue>(&value.to_bytes(), &|_| None).unwrap();
        assert_eq!(read.get::<JsonValue>().unwrap().0, json);
        assert!(JsonValue(json).bytes_in_memory() > 100);
        for number in [0.1, -0.0, 1e300, 3.0] {
            let value = Value::new(NumberValue(number));
            let read = Value::read::<NumberValue>(&value.to_bytes(), &|_| None).unwrap();
            assert_eq!(read.get::<NumberValue>().unwrap().0.to_bits(), number.to_bits());
        }
    }
}
