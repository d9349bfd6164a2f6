//! The comparison of two values part by part, with the differences in words.
//!
//! Maps are compared by key. Lists are compared by position after the common elements at both ends are
//! removed, so that an inserted or removed element is one change. Floats are compared bit by bit.

use std::collections::BTreeMap;
use std::fmt;

use ciborium::Value;

use super::ComparedNumber;

/// The differences between two values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueDifference {
    /// The changes in the order of the first value, up to the requested number.
    pub changes: Vec<ValueChange>,
    /// The number of further changes.
    pub more: usize,
}

/// A part of a value that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueChange {
    /// The path, for example `regions[0].mean_hu`; empty for the whole value.
    pub path: String,
    pub what: ChangeKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ChangeKind {
    Number {
        before: ComparedNumber,
        after: ComparedNumber,
    },
    /// Byte strings: their lengths, and the number of differing bytes in the common part.
    Bytes {
        before: usize,
        after: usize,
        differing: usize,
    },
    /// Any other values, abbreviated.
    Other {
        before: String,
        after: String,
    },
    Removed(String),
    Added(String),
}

impl ValueDifference {
    /// Compares two values. At most `listed` changes are kept; the others are counted.
    pub fn between(before: &Value, after: &Value, listed: usize) -> ValueDifference {
        let mut comparison =
            ValueComparison { listed, path: String::new(), found: ValueDifference::default() };
        comparison.compare(before, after);
        comparison.found
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.more == 0
    }
}

struct ValueComparison {
    listed: usize,
    path: String,
    found: ValueDifference,
}

impl ValueComparison {
    fn compare(&mut self, before: &Value, after: &Value) {
        match (before, after) {
            (Value::Map(before), Value::Map(after)) => self.maps(before, after),
            (Value::Array(before), Value::Array(after)) => self.lists(before, after),
            _ if same(before, after) => {}
            _ => self.note(what(before, after)),
        }
    }

    fn maps(&mut self, before: &[(Value, Value)], after: &[(Value, Value)]) {
        let mut unseen: BTreeMap<String, &Value> =
            after.iter().map(|(key, value)| (name(key), value)).collect();
        for (key, value) in before {
            let key = name(key);
            let other = unseen.remove(&key);
            self.at(&key, |inner| match other {
                Some(other) => inner.compare(value, other),
                None => inner.note(ChangeKind::Removed(short(value))),
            });
        }
        for key in after.iter().map(|(key, _)| name(key)) {
            if let Some(value) = unseen.remove(&key) {
                self.at(&key, |inner| inner.note(ChangeKind::Added(short(value))));
            }
        }
    }

    fn lists(&mut self, before: &[Value], after: &[Value]) {
        let alike = |(before, after): &(&Value, &Value)| same(before, after);
        let start = before.iter().zip(after).take_while(alike).count();
        let (before, after) = (&before[start..], &after[start..]);
        let end = before.iter().rev().zip(after.iter().rev()).take_while(alike).count();
        let (before, after) = (&before[..before.len() - end], &after[..after.len() - end]);
        for place in 0..before.len().max(after.len()) {
            let pair = (before.get(place), after.get(place));
            self.at(&format!("[{}]", start + place), |inner| match pair {
                (Some(before), Some(after)) => inner.compare(before, after),
                (Some(before), None) => inner.note(ChangeKind::Removed(short(before))),
                (None, Some(after)) => inner.note(ChangeKind::Added(short(after))),
                (None, None) => {}
            });
        }
    }

    fn at(&mut self, part: &str, work: impl FnOnce(&mut ValueComparison)) {
        let length = self.path.len();
        if length > 0 && !part.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(part);
        work(self);
        self.path.truncate(length);
    }

    fn note(&mut self, what: ChangeKind) {
        if self.found.changes.len() < self.listed {
            self.found.changes.push(ValueChange { path: self.path.clone(), what });
        } else {
            self.found.more += 1;
        }
    }
}

fn what(before: &Value, after: &Value) -> ChangeKind {
    match (before, after, ComparedNumber::of(before), ComparedNumber::of(after)) {
        (_, _, Some(before), Some(after)) => ChangeKind::Number { before, after },
        (Value::Bytes(before), Value::Bytes(after), ..) => ChangeKind::Bytes {
            before: before.len(),
            after: after.len(),
            differing: before.iter().zip(after).filter(|(before, after)| before != after).count(),
        },
        _ => ChangeKind::Other { before: short(before), after: short(after) },
    }
}

/// Equality under which a value always equals itself, also with NaN inside.
fn same(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Float(before), Value::Float(after)) => before.to_bits() == after.to_bits(),
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| same(before, after))
        }
        (Value::Map(before), Value::Map(after)) => {
            let pairs = || before.iter().zip(after);
            before.len() == after.len()
                && pairs().all(|(before, after)| same(&before.0, &after.0) && same(&before.1, &after.1))
        }
        (Value::Tag(before, value), Value::Tag(after, other)) => before == after && same(value, other),
        _ => before == after,
    }
}

/// A key as part of a path.
fn name(key: &Value) -> String {
    match key {
        Value::Text(text)
            if text.chars().all(|letter| letter.is_alphanumeric() || " _-(),".contains(letter)) =>
        {
            text.clone()
        }
        other => format!("[{}]", short(other)),
    }
}

/// A value on one line of limited length.
fn short(value: &Value) -> String {
    match value {
        Value::Text(text) if text.chars().count() > TEXT_MAX => {
            format!("{:?}…", text.chars().take(TEXT_MAX).collect::<String>())
        }
        Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Map(map) => format!("a record of {}", map.len()),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => "nothing".to_owned(),
        Value::Tag(_, inner) => short(inner),
        other => {
            ComparedNumber::of(other).map_or_else(|| "something else".to_owned(), |number| number.to_string())
        }
    }
}

/// The length that long texts are cut to, in characters.
const TEXT_MAX: usize = 60;

/// Writes each change on a line of its own.
impl fmt::Display for ValueDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.changes.iter().map(|change| change.path.chars().count()).max().unwrap_or(0);
        for ValueChange { path, what } in &self.changes {
            writeln!(f, "{path:width$}  {what}")?;
        }
        if self.more > 0 { writeln!(f, "and {} more", self.more) } else { Ok(()) }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeKind::Number { before, after } => {
                write!(f, "{before} → {after}  ({})", before.to(*after))
            }
            ChangeKind::Bytes { before, after, differing } if before == after => {
                write!(f, "{differing} of {before} bytes differ")
            }
            ChangeKind::Bytes { before, after, differing } => {
                let common = before.min(after);
                write!(f, "{before} → {after} bytes; {differing} of the first {common} differ")
            }
            ChangeKind::Other { before, after } => write!(f, "{before} → {after}"),
            ChangeKind::Removed(value) => write!(f, "removed: {value}"),
            ChangeKind::Added(value) => write!(f, "added: {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ciborium::cbor;

    use super::*;

    fn check(before: Value, after: Value, expected: &[&str]) {
        let found = ValueDifference::between(&before, &after, 3).to_string();
        let lines: Vec<String> =
            found.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn parts_are_named_and_put_in_words() {
        let value = |mean: f64, name: &str| {
            cbor!({ "regions" => [{ "mean_hu" => mean, "name" => name }], "count" => 3 }).unwrap()
        };
        check(value(-838.02, "right"), value(-838.02, "right"), &[]);
        check(
            value(-838.02, "right"),
            value(-836.11, "left"),
            &[
                "regions[0].mean_hu -838.02 → -836.11 (+1.910, +0.2279 %)",
                "regions[0].name \"right\" → \"left\"",
            ],
        );
    }

    #[test]
    fn a_part_more_or_less_in_a_list_is_one_change() {
        let before = cbor!(["a", "b", "c", "d"]).unwrap();
        check(before.clone(), cbor!(["a", "c", "d"]).unwrap(), &["[1] removed: \"b\""]);
        check(before.clone(), cbor!(["a", "b", "x", "c", "d"]).unwrap(), &["[2] added: \"x\""]);
        check(before, cbor!(["a", "b", "c", "e"]).unwrap(), &["[3] \"d\" → \"e\""]);
    }

    #[test]
    fn bytes_and_kinds() {
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
        check(bytes(b"abcd"), bytes(b"abxy"), &["2 of 4 bytes differ"]);
        check(bytes(b"abcd"), bytes(b"xb"), &["4 → 2 bytes; 1 of the first 2 differ"]);
        check(bytes(b"abcd"), Value::Null, &["4 bytes → nothing"]);
        check(cbor!({ "a\n.b" => 1 }).unwrap(), cbor!({}).unwrap(), &["[\"a\\n.b\"] removed: 1"]);
        let not_a_number = cbor!([f64::NAN, { "x" => f64::NAN }]).unwrap();
        check(not_a_number.clone(), not_a_number, &[]);
        check(
            cbor!({ "gone" => 1, "kept" => [] }).unwrap(),
            cbor!({ "kept" => {}, "new" => true }).unwrap(),
            &["gone removed: 1", "kept a list of 0 → a record of 0", "new added: true"],
        );
    }

    #[test]
    fn the_list_of_changes_is_bounded() {
        let list = |first: i32| Value::Array((first..first + 100).map(|number| number.into()).collect());
        let difference = ValueDifference::between(&list(0), &list(1000), 3);
        assert_eq!((difference.changes.len(), difference.more), (3, 97));
        check(
            Value::Text("ä".repeat(100)),
            Value::Bool(false),
            &[&format!("\"{}\"… → false", "ä".repeat(60))],
        );
    }
}
