//! A JSON value that steps exchange.

use serde_json::Value as JsonValue;

use crate::step::Fault;

/// One JSON value, most often an object. Fields are named by JSON Pointers (RFC 6901): `/answer/price`.
pub use crate::step::JsonValue as JsonItem;

impl JsonItem {
    /// The field as a text: a string as it is, anything else as JSON.
    ///
    /// # Errors
    /// If there is no such field.
    pub fn text(&self, pointer: &str) -> Result<String, Fault> {
        Ok(match self.field(pointer)? {
            JsonValue::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// The field as JSON, in which the number 1 and the text "1" differ.
    ///
    /// # Errors
    /// If there is no such field.
    pub fn as_json(&self, pointer: &str) -> Result<String, Fault> {
        self.field(pointer).map(JsonValue::to_string)
    }

    /// The field as a whole number.
    ///
    /// # Errors
    /// If there is no such field, or it is none.
    pub fn whole(&self, pointer: &str) -> Result<i64, Fault> {
        let field = self.field(pointer)?;
        let not_whole = || fault(format!("the field {pointer:?} is {field}, which is not a whole number"));
        field.as_i64().ok_or_else(not_whole)
    }

    /// The item with another value in a field of its object.
    ///
    /// # Errors
    /// If the item is not an object.
    pub fn with(mut self, name: &str, value: JsonValue) -> Result<JsonItem, Fault> {
        match &mut self.0 {
            JsonValue::Object(fields) => {
                fields.insert(name.to_owned(), value);
                Ok(self)
            }
            _ => Err(fault("it is not a JSON object, and takes no field".to_owned())),
        }
    }

    fn field(&self, pointer: &str) -> Result<&JsonValue, Fault> {
        self.0.pointer(pointer).ok_or_else(|| fault(format!("it has no field {pointer:?}")))
    }
}

/// Says what is wrong with a JSON Pointer.
///
/// # Errors
/// In words that fit after "the parameter …: ".
pub fn check_pointer(pointer: &str) -> Result<(), String> {
    match pointer.is_empty() || pointer.starts_with('/') {
        true => Ok(()),
        false => Err(format!("{pointer:?} is not a field: write /{pointer}")),
    }
}

/// Says what is wrong with the name of a field that a step sets.
///
/// # Errors
/// In words that fit after "the parameter …: ".
pub fn check_name(name: &str) -> Result<(), String> {
    match name.starts_with('/') {
        false => Ok(()),
        true => Err(format!("{name:?} is a JSON Pointer; it takes the name of a field of the item itself")),
    }
}

fn fault(reason: String) -> Fault {
    Fault::new(reason, "Correct the item, or the names of fields in the dataflow file.")
}
