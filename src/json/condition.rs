//! Conditions on the fields of an item.
//!
//! ```yaml
//! when: {/content/pain: {at_least: 7}, /content/breathing: [hard, none], /content/note: {present: true}}
//! ```
//!
//! A condition is a map from fields, JSON Pointers, to what their values have to be: a value, one of a list of values, or
//! bounds and words in a map. All of them have to hold. A field that is not there has none of these.

use serde_json::{Map, Value};

use super::JsonItem;

const AT_LEAST: &str = "at_least";
const AT_MOST: &str = "at_most";
const PRESENT: &str = "present";
const CONTAINS: &str = "contains";
const NOT: &str = "not";

/// Whether a condition, which was checked, holds for an item.
pub fn holds(condition: &Value, item: &JsonItem) -> bool {
    let fields = condition.as_object();
    fields.is_some_and(|fields| fields.iter().all(|(field, wanted)| fits(wanted, item.0.pointer(field))))
}

/// Says what is wrong with a condition.
///
/// # Errors
/// The first mistake, in words that fit after "the parameter …: ".
pub fn check(condition: &Value) -> Result<(), String> {
    let Some(fields) = condition.as_object() else {
        return Err(format!("the condition {condition} is not a map of fields"));
    };
    for (field, wanted) in fields {
        if !field.starts_with('/') {
            return Err(format!("{field:?} is not a field: write /{field}"));
        }
        check_wanted(field, wanted)?;
    }
    Ok(())
}

fn check_wanted(field: &str, wanted: &Value) -> Result<(), String> {
    let Some(tests) = wanted.as_object() else { return Ok(()) };
    if tests.is_empty() {
        return Err(format!("the condition on {field} says nothing"));
    }
    for (name, test) in tests {
        let fits = match name.as_str() {
            AT_LEAST | AT_MOST => test.is_number(),
            PRESENT => test.is_boolean(),
            CONTAINS => texts(test).is_some(),
            NOT => {
                check_wanted(field, test)?;
                true
            }
            _ => {
                let known = [AT_LEAST, AT_MOST, PRESENT, CONTAINS, NOT].join(", ");
                return Err(format!("the condition on {field} has {name:?}; known here: {known}"));
            }
        };
        if !fits {
            return Err(format!("{name:?} of the condition on {field} cannot be {test}"));
        }
    }
    Ok(())
}

fn fits(wanted: &Value, value: Option<&Value>) -> bool {
    match wanted {
        Value::Object(tests) => has_all(tests, value),
        Value::Array(any) => any.iter().any(|one| value.is_some_and(|value| is_same(one, value))),
        one => value.is_some_and(|value| is_same(one, value)),
    }
}

fn has_all(tests: &Map<String, Value>, value: Option<&Value>) -> bool {
    let number = || value.and_then(Value::as_f64);
    let is_there = || value.is_some_and(|value| !value.is_null());
    tests.iter().all(|(name, test)| match name.as_str() {
        AT_LEAST => number().zip(test.as_f64()).is_some_and(|(number, least)| number >= least),
        AT_MOST => number().zip(test.as_f64()).is_some_and(|(number, most)| number <= most),
        PRESENT => test.as_bool() == Some(is_there()),
        CONTAINS => {
            let words = texts(test).unwrap_or_default();
            words.iter().any(|word| value.is_some_and(|value| contains(value, word)))
        }
        _ => !fits(test, value),
    })
}

/// Equal, where 1 and 1.0 are the same number.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// A text, or a list of them.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Whether a text has a word or several in a row, in small or large letters; or a list has that element.
fn contains(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => contains_word(&text.to_lowercase(), &word.to_lowercase()),
        Value::Array(list) => list.iter().any(|one| one.as_str() == Some(word)),
        _ => false,
    }
}

fn contains_word(text: &str, word: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric();
    !word.is_empty()
        && text.match_indices(word).any(|(begin, found)| {
            let (before, after) = (&text[..begin], &text[begin + found.len()..]);
            !before.ends_with(is_letter) && !after.starts_with(is_letter)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn test(condition: Value) -> bool {
        assert_eq!(check(&condition), Ok(()));
        let item = json!({"n": 7, "t": "Severe CHEST pain, since noon", "f": true, "l": ["a"], "z": null});
        holds(&condition, &JsonItem(item))
    }

    #[test]
    fn fields_are_compared_with_values_lists_bounds_and_words() {
        assert!(test(json!({})));
        assert!(test(json!({"/n": 7.0, "/f": true})));
        assert!(test(json!({"/n": [1, 7]})) && !test(json!({"/n": ["7"]})));
        assert!(
            test(json!({"/n": {"at_least": 7, "at_most": 7}})) && !test(json!({"/n": {"at_least": 7.5}}))
        );
        assert!(test(json!({"/t": {"contains": ["fever", "chest pain"]}})));
        assert!(!test(json!({"/t": {"contains": "pai"}})), "a part of a word is another word");
        assert!(test(json!({"/l": {"contains": "a"}})));
        assert!(test(json!({"/x": {"present": false}, "/z": {"present": false}, "/t": {"present": true}})));
        assert!(test(json!({"/n": {"not": [1, 2]}})) && test(json!({"/x": {"not": 1}})));
        assert!(!test(json!({"/x": 1})) && !test(json!({"/x": {"at_most": 1}})));
        assert!(!test(json!({"/n": 7, "/f": false})), "all have to hold");
    }

    #[test]
    fn mistakes_are_named() {
        let mistake = |condition: Value| check(&condition).unwrap_err();
        assert!(mistake(json!([1])).contains("not a map"));
        assert!(mistake(json!({"n": 1})).contains("write /n"));
        assert!(mistake(json!({"/n": {"atleast": 1}})).contains("known here: at_least"));
        assert!(mistake(json!({"/n": {"at_least": "1"}})).contains("cannot be \"1\""));
        assert!(mistake(json!({"/n": {"not": {"present": 1}}})).contains("present"));
        assert!(mistake(json!({"/n": {}})).contains("says nothing"));
    }
}
