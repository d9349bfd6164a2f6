//! Templates: JSON in whose texts `{/content/text}` stands for the field of an item, a JSON Pointer (RFC 6901).
//!
//! A text that is one such place and nothing else becomes the value of the field, whatever its kind. In a longer text the
//! value is written out: a text as it is, anything else as JSON. A field that is not there is a fault; with a question mark,
//! `{/content/note?}`, it is left out. A brace that is not followed by `/` means itself.

use serde_json::{Map, Value};

use crate::step::Fault;

use super::JsonItem;

/// Fills a template with the fields of an item; nothing if the whole template is a field that may be left out, and is not
/// there.
///
/// # Errors
/// If the item lacks a field.
pub fn filled(template: &Value, item: &JsonItem) -> Result<Option<Value>, Fault> {
    Ok(match template {
        Value::String(text) => filled_text(text, item)?,
        Value::Array(list) => {
            let parts = list.iter().map(|part| filled(part, item)).collect::<Result<Vec<_>, Fault>>()?;
            Some(parts.into_iter().flatten().collect())
        }
        Value::Object(fields) => {
            let mut all = Map::new();
            for (name, part) in fields {
                if let Some(value) = filled(part, item)? {
                    all.insert(name.clone(), value);
                }
            }
            Some(Value::Object(all))
        }
        plain => Some(plain.clone()),
    })
}

/// Fills a template that is a text, as a text.
///
/// # Errors
/// If the item lacks a field.
pub fn filled_as_text(template: &str, item: &JsonItem) -> Result<String, Fault> {
    let filled = filled_text(template, item)?.unwrap_or_default();
    Ok(written(&filled))
}

/// Says what is wrong with a template: a place without an end.
///
/// # Errors
/// The first mistake, in words that fit after "the parameter …: ".
pub fn check(template: &Value) -> Result<(), String> {
    match template {
        Value::String(text) => {
            let open = parts(text).find(|part| matches!(part, TemplatePart::Open(_)));
            open.map_or(Ok(()), |_| Err(format!("{text:?} has a place without a closing brace")))
        }
        Value::Array(list) => list.iter().try_for_each(check),
        Value::Object(fields) => fields.values().try_for_each(check),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

enum TemplatePart<'a> {
    Text(&'a str),
    Field {
        pointer: &'a str,
        may_lack: bool,
    },
    /// A place without an end.
    Open(&'a str),
}

fn parts(text: &str) -> impl Iterator<Item = TemplatePart<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = match rest.find("{/") {
            Some(0) => match rest.find('}') {
                Some(end) => {
                    let inside = &rest[1..end];
                    let pointer = inside.strip_suffix('?').unwrap_or(inside);
                    let may_lack = pointer.len() < inside.len();
                    (TemplatePart::Field { pointer, may_lack }, &rest[end + 1..])
                }
                None => (TemplatePart::Open(rest), ""),
            },
            Some(begin) => (TemplatePart::Text(&rest[..begin]), &rest[begin..]),
            None => (TemplatePart::Text(rest), ""),
        };
        rest = after;
        Some(part)
    })
}

fn filled_text(text: &str, item: &JsonItem) -> Result<Option<Value>, Fault> {
    let parts: Vec<TemplatePart> = parts(text).collect();
    if let [TemplatePart::Field { pointer, may_lack }] = parts.as_slice() {
        return match item.0.pointer(pointer) {
            None | Some(Value::Null) if *may_lack => Ok(None),
            None => Err(lacks(pointer)),
            Some(value) => Ok(Some(value.clone())),
        };
    }
    let mut filled = String::new();
    for part in parts {
        match part {
            TemplatePart::Text(text) | TemplatePart::Open(text) => filled.push_str(text),
            TemplatePart::Field { pointer, may_lack } => match item.0.pointer(pointer) {
                None | Some(Value::Null) if may_lack => {}
                None => return Err(lacks(pointer)),
                Some(value) => filled.push_str(&written(value)),
            },
        }
    }
    Ok(Some(Value::String(filled)))
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn lacks(pointer: &str) -> Fault {
    let remedy = format!("Correct the message, or write {{{pointer}?}} in the dataflow file.");
    Fault::new(format!("the field {pointer} is missing"), remedy)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(template: Value) -> Result<Option<Value>, Fault> {
        filled(&template, &JsonItem(json!({"a": {"b": [1, "x"]}, "n": 2.5, "t": "{/n}", "null": null})))
    }

    #[test]
    fn a_place_alone_is_the_value_and_in_a_text_it_is_written_out() {
        assert_eq!(fill(json!("{/a/b}")).unwrap(), Some(json!([1, "x"])));
        assert_eq!(
            fill(json!("n is {/n}, b {/a/b/1}{/a}.")).unwrap(),
            Some(json!("n is 2.5, b x{\"b\":[1,\"x\"]}."))
        );
        assert_eq!(fill(json!("{} {a} }{")).unwrap(), Some(json!("{} {a} }{")));
        assert_eq!(fill(json!([1, {"k": "{/n}"}, true])).unwrap(), Some(json!([1, {"k": 2.5}, true])));
    }

    #[test]
    fn what_a_sender_wrote_is_no_template() {
        assert_eq!(fill(json!("{/t}")).unwrap(), Some(json!("{/n}")));
        assert_eq!(fill(json!("said: {/t}")).unwrap(), Some(json!("said: {/n}")));
    }

    #[test]
    fn a_field_that_is_not_there_is_a_fault_or_left_out() {
        let fault = fill(json!({"k": "{/x/y}"})).unwrap_err();
        assert_eq!(fault.reason, "the field /x/y is missing");
        assert!(fault.remedy.contains("{/x/y?}"));
        assert_eq!(
            fill(json!({"k": "{/x?}", "l": ["{/null?}", "a{/x?}b"]})).unwrap(),
            Some(json!({"l": ["ab"]}))
        );
        assert_eq!(fill(json!("{/x?}")).unwrap(), None);
    }

    #[test]
    fn a_place_without_an_end_is_a_mistake() {
        assert!(check(&json!([{"k": "a {/b"}])).unwrap_err().contains("closing brace"));
        assert_eq!(check(&json!([{"k": "a {/b} {"}, 1, null])), Ok(()));
    }
}
