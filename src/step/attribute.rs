//! Attributes of a request: facts about it beside its items.
//!
//! A source declares the attributes that its requests may have ([`AttributeDeclaration`]), and a request
//! has values for some of them ([`AttributeValues`]). A value is a text as the sender wrote it; the
//! declared kind says how a condition compares it, so that a date that is none is no reason to refuse a
//! request.
//!
//! In a journal the values are one text, joined by `\` as in DICOM (PS3.5 6.4); where a value has a `\`
//! in it, they are a list of texts.

use std::borrow::Cow;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The character between values that are written as one text.
const SEPARATOR: char = '\\';

/// An attribute that requests may have, as the source that sets it declares it.
///
/// ```
/// use flow::step::{AttributeDeclaration, StepTable};
///
/// const ATTRIBUTES: &[AttributeDeclaration] = &[
///     AttributeDeclaration::text("customer", "Who sent it."),
///     AttributeDeclaration::number("priority", "From 0, the least, to 9."),
/// ];
/// let table = StepTable::default().with_attributes(ATTRIBUTES);
/// assert_eq!(table.attributes().count(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeDeclaration {
    /// The name in `when` of a dataflow file, for example `modality`.
    pub name: &'static str,
    /// The type, which decides how values are compared.
    pub kind: AttributeKind,
    /// A sentence for people who write conditions.
    pub about: &'static str,
}

/// The way in which the values of an attribute are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// Letter by letter.
    Text,
    /// Finite decimal numbers: `3`, `-0.5`, `1e3`.
    Number,
    /// Days of the calendar: `2026-01-31` or `20260131` (DICOM PS3.5 6.2, DA).
    Date,
}

impl AttributeDeclaration {
    /// An attribute whose values are texts.
    pub const fn text(name: &'static str, about: &'static str) -> AttributeDeclaration {
        AttributeDeclaration { name, kind: AttributeKind::Text, about }
    }

    /// An attribute whose values are numbers.
    pub const fn number(name: &'static str, about: &'static str) -> AttributeDeclaration {
        AttributeDeclaration { name, kind: AttributeKind::Number, about }
    }

    /// An attribute whose values are dates.
    pub const fn date(name: &'static str, about: &'static str) -> AttributeDeclaration {
        AttributeDeclaration { name, kind: AttributeKind::Date, about }
    }
}

impl AttributeKind {
    /// The kind with its article, for messages.
    pub fn name(self) -> &'static str {
        match self {
            AttributeKind::Text => "a text",
            AttributeKind::Number => "a number",
            AttributeKind::Date => "a date",
        }
    }

    /// The place of a value in the order of its kind: the number itself, or a date as YYYYMMDD. `None` for
    /// a text, which has no order, and for what is not of this kind.
    ///
    /// ```
    /// use flow::step::AttributeKind;
    ///
    /// assert_eq!(AttributeKind::Number.rank("2.5"), Some(2.5));
    /// assert_eq!(AttributeKind::Date.rank("2026-01-31"), AttributeKind::Date.rank("20260131"));
    /// assert_eq!(AttributeKind::Date.rank("2026-02-30"), None);
    /// assert_eq!(AttributeKind::Text.rank("2.5"), None);
    /// ```
    pub fn rank(self, value: &str) -> Option<f64> {
        match self {
            AttributeKind::Text => None,
            AttributeKind::Number => value.parse().ok().filter(|number: &f64| number.is_finite()),
            AttributeKind::Date => date(value).map(f64::from),
        }
    }
}

/// A day as the number YYYYMMDD.
fn date(text: &str) -> Option<u32> {
    let digits: Cow<str> = match text.as_bytes() {
        [_, _, _, _, b'-', _, _, b'-', _, _] => text.replace('-', "").into(),
        _ => text.into(),
    };
    let number: u32 = digits.parse().ok().filter(|_| digits.len() == 8 && !digits.starts_with('+'))?;
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day).then_some(number)
}

/// The values of one attribute of a request, in the order of the source.
///
/// ```
/// use flow::step::AttributeValues;
///
/// let one = AttributeValues::from("CT");
/// let several = AttributeValues::from_iter(["CT".to_owned(), "SR".to_owned()]);
/// assert_eq!(several.iter().collect::<Vec<_>>(), ["CT", "SR"]);
/// assert_eq!((one.text(), several.text()), ("CT", "CT\\SR"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeValues(Values);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    One(String),
    Several { values: Vec<String>, joined: String },
}

impl AttributeValues {
    /// The values of a text that has them joined by `\`, as DICOM writes them.
    ///
    /// ```
    /// # use flow::step::AttributeValues;
    /// assert_eq!(AttributeValues::split("CT\\SR").iter().count(), 2);
    /// assert_eq!(AttributeValues::from("C:\\data").iter().count(), 1);
    /// ```
    pub fn split(text: impl Into<String>) -> AttributeValues {
        let joined = text.into();
        if !joined.contains(SEPARATOR) {
            return AttributeValues(Values::One(joined));
        }
        let values = joined.split(SEPARATOR).map(str::to_owned).collect();
        AttributeValues(Values::Several { values, joined })
    }

    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let values = match &self.0 {
            Values::One(value) => std::slice::from_ref(value),
            Values::Several { values, .. } => values,
        };
        values.iter().map(String::as_str)
    }

    /// The value; several are joined by `\`.
    pub fn text(&self) -> &str {
        match &self.0 {
            Values::One(value) => value,
            Values::Several { joined, .. } => joined,
        }
    }

    /// Whether the joined text alone says what the values are.
    fn is_plain(&self) -> bool {
        self.iter().all(|value| !value.contains(SEPARATOR))
    }

    /// The text by which values are told apart from others, for digests: that of the journal.
    pub(super) fn written(&self) -> Cow<'_, str> {
        match self.is_plain() {
            true => self.text().into(),
            false => serde_json::to_string(self).expect("a list of texts can be written").into(),
        }
    }
}

/// A single value, whatever is in it.
impl From<String> for AttributeValues {
    fn from(value: String) -> AttributeValues {
        AttributeValues(Values::One(value))
    }
}

impl From<&str> for AttributeValues {
    fn from(value: &str) -> AttributeValues {
        AttributeValues::from(value.to_owned())
    }
}

/// An empty list is the same as one empty value.
impl FromIterator<String> for AttributeValues {
    fn from_iter<I: IntoIterator<Item = String>>(values: I) -> AttributeValues {
        let mut values: Vec<String> = values.into_iter().collect();
        match values.len() {
            0 | 1 => AttributeValues(Values::One(values.pop().unwrap_or_default())),
            _ => {
                let joined = values.join("\\");
                AttributeValues(Values::Several { values, joined })
            }
        }
    }
}

impl Serialize for AttributeValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.is_plain() {
            true => serializer.serialize_str(self.text()),
            false => serializer.collect_seq(self.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for AttributeValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AttributeValues, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = AttributeValues;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AttributeValues, E> {
        Ok(AttributeValues::split(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<AttributeValues, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element()? {
            values.push(value);
        }
        Ok(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: AttributeValues, written: &str) {
        assert_eq!(serde_json::to_string(&values).unwrap(), written);
        assert_eq!(serde_json::from_str::<AttributeValues>(written).unwrap(), values, "{written}");
    }

    #[test]
    fn values_are_written_so_that_they_are_read_as_they_were() {
        let several = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        check(AttributeValues::from("CT"), r#""CT""#);
        check(AttributeValues::from(""), r#""""#);
        check(several(&["CT", "SR"]), r#""CT\\SR""#);
        check(AttributeValues::from("C:\\data"), r#"["C:\\data"]"#);
        check(several(&["a\\b", "c"]), r#"["a\\b","c"]"#);
        check(several(&[]), r#""""#);
        assert_eq!(AttributeValues::split("CT\\SR"), several(&["CT", "SR"]));
    }

    #[test]
    fn values_that_differ_are_told_apart() {
        let one = AttributeValues::from("a\\b");
        assert_eq!(one.text(), AttributeValues::split("a\\b").text());
        assert_ne!(one.written(), AttributeValues::split("a\\b").written());
    }

    #[test]
    fn dates_are_days_that_there_are() {
        let rank = |text| AttributeKind::Date.rank(text);
        assert_eq!(rank("20240229"), Some(20_240_229.0));
        for none in ["20250229", "20261301", "2026011", "2026-1-31", "+2026013", "", "today", "20260100"] {
            assert_eq!(rank(none), None, "{none:?}");
        }
    }
}
