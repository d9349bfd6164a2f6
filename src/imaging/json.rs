//! JSON for human readers: an attribute per line, lists in one line.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Writes keys in the order of the fields, and a newline at the end.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let layout = JsonLayout(PrettyFormatter::new());
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, layout))
        .expect("writing to memory does not fail, and the keys are texts");
    bytes.push(b'\n');
    bytes
}

struct JsonLayout(PrettyFormatter<'static>);

impl Formatter for JsonLayout {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stay_in_one_line() {
        let value = serde_json::json!({"a": [1, 2], "b": {"c": [{"d": 1}]}});
        let text = String::from_utf8(to_json(&value)).unwrap();
        assert_eq!(text, "{\n  \"a\": [1, 2],\n  \"b\": {\n    \"c\": [{\n      \"d\": 1\n    }]\n  }\n}\n");
    }
}
