//! A part of a file as a JSON value: for owners whose keys hold data and no settings.

use serde_json::{Number, Value};

use super::collector::ProblemCollector;
use super::fields::entries;
use super::tree::{ScalarForm, YamlShape, YamlTree};

/// The value of a tree. Plain words that are JSON numbers, `true` and `false` are that, all other single values are
/// texts. Nothing if a problem was noted: a key that occurs twice.
pub(crate) fn json(tree: &YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<Value> {
    match &tree.value {
        YamlShape::Nothing => Some(Value::Null),
        YamlShape::Scalar(text, form) => Some(scalar_json(text, *form)),
        // Problems of all parts are noted, also of those after the first.
        YamlShape::List(list) => {
            let parts: Vec<Option<Value>> = list.iter().map(|one| json(one, what, collector)).collect();
            parts.into_iter().collect()
        }
        YamlShape::Map(_) => {
            let entries = entries(tree.clone(), what, collector)?;
            let parts: Vec<Option<(String, Value)>> = entries
                .into_iter()
                .map(|(key, tree)| Some((key.value, json(&tree, what, collector)?)))
                .collect();
            parts.into_iter().collect()
        }
    }
}

pub(super) fn scalar_json(text: &str, form: ScalarForm) -> Value {
    let plain = if form == ScalarForm::Plain { plain_json(text) } else { None };
    plain.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A word that means something else than a text in JSON.
pub(super) fn plain_json(text: &str) -> Option<Value> {
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => serde_json::from_str::<Number>(text).ok().map(Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::read;

    fn of(text: &str) -> Result<Value, String> {
        let mut collector = ProblemCollector::new("x.yaml", text);
        let value = read(text, &mut collector).and_then(|tree| json(&tree, "the example", &mut collector));
        collector.finish(value).map_err(|problems| problems.to_string())
    }

    #[test]
    fn plain_words_are_numbers_and_flags_and_quoted_ones_texts() {
        let read = of("{a: 1, b: '1', c: true, d: \"true\", e: ~, f: [1.5, 0151, x y], g: {}}").unwrap();
        let meant = serde_json::json!({
            "a": 1, "b": "1", "c": true, "d": "true", "e": null, "f": [1.5, "0151", "x y"], "g": {},
        });
        assert_eq!(read, meant);
    }

    #[test]
    fn keys_that_occur_twice_are_all_reported() {
        let problems = of("a: {b: 1, b: 2}\nc: [{d: 1, d: 2}]").unwrap_err();
        assert!(problems.contains("x.yaml:1:11: \"b\" stands here a second time"), "{problems}");
        assert!(problems.contains("x.yaml:2:12: \"d\" stands here a second time"), "{problems}");
    }
}
