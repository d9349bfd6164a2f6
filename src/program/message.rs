//! Messages to a program: a line, and the column that its items may have behind it.

use serde_json::Value as Json;

use super::column::SentColumn;
use super::plain_item::PlainItem;

/// The way in which numbers and texts travel to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageForm {
    /// As JSON in lines.
    Lines,
    /// In columns behind lines: the program has declared that it knows them.
    Columns,
}

/// A message.
pub struct ProgramMessage<'a> {
    /// A JSON map, without the end of the line.
    pub line: Vec<u8>,
    /// The bytes behind the line.
    pub column: &'a [u8],
}

impl<'a> ProgramMessage<'a> {
    pub fn of_line(line: &Json) -> ProgramMessage<'a> {
        ProgramMessage { line: line.to_string().into_bytes(), column: &[] }
    }

    /// A message of items alone: a list with this key, or their column.
    pub fn of_items(items: &'a SentItems, key: &str) -> ProgramMessage<'a> {
        ProgramMessage { line: [b"{", &*items.field(key), b"}"].concat(), column: items.column() }
    }

    /// The line with the number of the call, and what is behind it.
    pub fn numbered(&self, call: u64) -> Vec<u8> {
        let head = format!("{{\"call\":{call},");
        let line = self.line.strip_prefix(b"{").unwrap_or(&self.line);
        [head.as_bytes(), line, b"\n", self.column].concat()
    }
}

/// Items as they are sent.
pub enum SentItems {
    /// A list.
    List(Vec<u8>),
    Column(SentColumn),
}

impl SentItems {
    pub fn of<A: PlainItem>(items: &[A], form: MessageForm) -> SentItems {
        let column = match form {
            MessageForm::Columns => A::to_column(items),
            MessageForm::Lines => None,
        };
        match column {
            Some(column) => SentItems::Column(column),
            None => SentItems::List(A::to_list(items)),
        }
    }

    pub fn of_json(items: &[Json]) -> SentItems {
        SentItems::List(serde_json::to_vec(items).expect("it is JSON"))
    }

    /// The field of a line that has the items: with this key a list, and otherwise the head of their column.
    pub fn field(&self, key: &str) -> Vec<u8> {
        match self {
            SentItems::List(list) => [b"\"", key.as_bytes(), b"\":", list].concat(),
            SentItems::Column(SentColumn { r#type, count, bytes, is_mixed }) => {
                let (bytes, mixed) = (bytes.len(), if *is_mixed { r#","mixed":true"# } else { "" });
                format!(r#""column":{{"type":"{type}","count":{count},"bytes":{bytes}{mixed}}}"#).into_bytes()
            }
        }
    }

    /// The bytes behind the line.
    pub fn column(&self) -> &[u8] {
        match self {
            SentItems::List(_) => &[],
            SentItems::Column(column) => &column.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{NumberValue, TextValue};

    fn said(items: SentItems) -> (String, Vec<u8>) {
        let message = ProgramMessage::of_items(&items, "items");
        (String::from_utf8(message.line.clone()).unwrap(), message.column.to_vec())
    }

    #[test]
    fn items_travel_as_the_program_declared() {
        let numbers = [NumberValue(1.0), NumberValue(0.5)];
        let (line, column) = said(SentItems::of(&numbers, MessageForm::Lines));
        assert_eq!((line.as_str(), column.len()), (r#"{"items":[1,0.5]}"#, 0));
        let (line, column) = said(SentItems::of(&numbers, MessageForm::Columns));
        assert_eq!(line, r#"{"column":{"type":"float64","count":2,"bytes":16,"mixed":true}}"#);
        assert_eq!(column, [1.0_f64.to_le_bytes(), 0.5_f64.to_le_bytes()].concat());
        let (line, _) = said(SentItems::of(&numbers[1..], MessageForm::Columns));
        assert_eq!(line, r#"{"column":{"type":"float64","count":1,"bytes":8}}"#);
        let (line, column) = said(SentItems::of(&numbers[..1], MessageForm::Columns));
        assert_eq!(line, r#"{"column":{"type":"int64","count":1,"bytes":8}}"#);
        assert_eq!(column, 1_i64.to_le_bytes());
        let texts = |texts: [&str; 2]| texts.map(|text| TextValue(text.to_owned()));
        let (line, column) = said(SentItems::of(&texts(["ä", ""]), MessageForm::Columns));
        assert_eq!(line, r#"{"column":{"type":"text","count":2,"bytes":4}}"#);
        assert_eq!(column, "ä\0\0".as_bytes());
        let (line, column) = said(SentItems::of(&texts(["a\0", "b"]), MessageForm::Columns));
        assert_eq!((line.as_str(), column.len()), (r#"{"items":["a\u0000","b"]}"#, 0));
    }
}
