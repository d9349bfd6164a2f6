//! A tree as text: what was put together from several files, as one that says the same.

use std::fmt::Write;

use super::json::plain_json;
use super::tree::{ScalarForm, YamlShape, YamlTree};

/// The text of a tree. Reading it gives the same tree, with other places.
pub(crate) fn rendered(tree: &YamlTree) -> String {
    let mut text = String::new();
    block(&tree.value, 0, &mut text);
    text.trim_start_matches('\n').to_owned() + "\n"
}

/// Writes a value behind its key: on the same line, or on lines of its own.
fn block(shape: &YamlShape, depth: usize, text: &mut String) {
    match shape {
        YamlShape::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                _ = write!(text, "\n{:1$}{2}:", "", 2 * depth, scalar(&key.value, ScalarForm::Plain));
                let inline = flow(&value.value);
                if inline.len() + 2 * depth + key.value.len() < LINE_LETTERS || !is_map(&value.value) {
                    _ = write!(text, " {inline}");
                } else {
                    block(&value.value, depth + 1, text);
                }
            }
        }
        other => text.push_str(&flow(other)),
    }
}

const LINE_LETTERS: usize = 100;

fn is_map(shape: &YamlShape) -> bool {
    matches!(shape, YamlShape::Map(entries) if !entries.is_empty())
}

/// A value on one line.
fn flow(shape: &YamlShape) -> String {
    match shape {
        YamlShape::Nothing => "~".to_owned(),
        YamlShape::Scalar(text, form) => scalar(text, *form),
        YamlShape::List(list) => {
            let parts: Vec<String> = list.iter().map(|one| flow(&one.value)).collect();
            format!("[{}]", parts.join(", "))
        }
        YamlShape::Map(entries) => {
            let part = |(key, value): &(_, YamlTree)| {
                let key: &super::PlacedValue<String> = key;
                format!("{}: {}", scalar(&key.value, ScalarForm::Plain), flow(&value.value))
            };
            format!("{{{}}}", entries.iter().map(part).collect::<Vec<String>>().join(", "))
        }
    }
}

/// A word as it is where it can only mean itself, otherwise in quotation marks as JSON has them.
fn scalar(text: &str, form: ScalarForm) -> String {
    if plain_json(text).is_some() {
        return match form {
            ScalarForm::Plain => text.to_owned(),
            ScalarForm::Quoted => quoted(text),
        };
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-/".contains(letter);
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/');
    let number = text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let words = text.split(' ').all(|word| !word.is_empty() && word.chars().all(plain) && word != "-");
    if (begins || number) && words && text != "null" { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{ProblemCollector, read};

    fn tree(text: &str) -> YamlTree {
        let mut collector = ProblemCollector::new("x", text);
        let tree = read(text, &mut collector);
        collector.finish(tree).unwrap()
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let text = "a: {b: [1, '1', -2.5, 1e+5, 'true', 'null', ~, \"x: y\"], 'c d': \"\u{e4}\\e[31m\\n # no\"}\ne: >\n  long text of\n  \
                    two lines: yes\nf: {}\ng: []\nh: ''\ni: - \nj: 5 min\nk: '*x'\nl: {m: {n: {o: \
                    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, p: q}}}\n";
        let text = text.replace("i: - \n", "");
        let once = rendered(&tree(&text));
        assert_eq!(rendered(&tree(&once)), once);
        for (from, word) in [(&text, "read"), (&once, "written")] {
            let all = format!("{:?}", without_places(&tree(from)));
            assert!(
                all.contains("\"null\"") && all.contains("[31m") && all.contains("x: y"),
                "{word}: {all}"
            );
        }
        assert_eq!(without_places(&tree(&text)), without_places(&tree(&once)));
    }

    fn without_places(tree: &YamlTree) -> serde_json::Value {
        match &tree.value {
            YamlShape::Nothing => serde_json::Value::Null,
            YamlShape::Scalar(text, form) => crate::yaml::json::scalar_json(text, *form),
            YamlShape::List(list) => list.iter().map(without_places).collect(),
            YamlShape::Map(entries) => {
                entries.iter().map(|(key, value)| (key.value.clone(), without_places(value))).collect()
            }
        }
    }
}
