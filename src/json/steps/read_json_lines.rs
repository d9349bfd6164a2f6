//! `read-json-lines`: makes a stream of the lines of the request's files, each a JSON value.

use std::io::BufRead;
use std::sync::Arc;

use crate::json::JsonItem;
use crate::step::{BuiltIn, Digester, Fault, FaultKind, Item, Request, Step};

fn step() -> Step {
    Step::new("read-json-lines", 2, "Reads each line of the request's files as a JSON value.")
        .takes::<Request>("request")
        .gives_many::<JsonItem>("items")
        .runs_many(|call| {
            let request = call.shared::<Request>("request");
            Ok(JsonLines { request, file: 0, open: None })
        })
}

inventory::submit! { BuiltIn(step) }

struct JsonLines {
    request: Arc<Request>,
    /// The index of the next file.
    file: usize,
    open: Option<OpenLines>,
}

/// A file that is being read.
struct OpenLines {
    item: Item,
    reader: Box<dyn BufRead + Send>,
    digester: Digester,
    /// The number of lines that were read.
    line: u64,
}

/// Some programs on Windows begin a text in UTF-8 with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl OpenLines {
    fn open(item: &Item) -> Result<OpenLines, Fault> {
        let reader = item.reader().map_err(|error| unreadable(item, &error.to_string()))?;
        Ok(OpenLines { item: item.clone(), reader, digester: Digester::default(), line: 0 })
    }

    /// The value of the next line that is not empty.
    fn next(&mut self) -> Option<Result<JsonItem, Fault>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match self.reader.read_until(b'\n', &mut bytes) {
                Ok(0) => return self.changed().map(Err),
                Ok(_) => {}
                Err(error) => return Some(Err(unreadable(&self.item, &error.to_string()))),
            }
            self.digester.update(&bytes);
            self.line += 1;
            let line = bytes.strip_prefix(BYTE_ORDER_MARK).filter(|_| self.line == 1).unwrap_or(&bytes);
            let line = line.trim_ascii();
            if !line.is_empty() {
                return Some(
                    serde_json::from_slice(line).map(JsonItem).map_err(|error| self.no_json(&error)),
                );
            }
        }
    }

    /// The fault of a file that is not what was accepted.
    fn changed(&mut self) -> Option<Fault> {
        let digest = std::mem::take(&mut self.digester).digest();
        let is_same = self.item.path().is_none() || digest == self.item.digest;
        (!is_same).then(|| unreadable(&self.item, "it was changed after it was accepted"))
    }

    fn no_json(&self, error: &serde_json::Error) -> Fault {
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        let (name, line, column) = (&self.item.name, self.line, error.column());
        let place = format!("{name}, line {line}, column {column}");
        Fault::new(format!("{place}: it is no JSON value: {reason}"), "Correct the line.")
    }
}

/// A fault of the whole stream.
fn unreadable(item: &Item, reason: &str) -> Fault {
    let remedy = "Keep its files as they are until it is answered. If they were changed, send the request again, else run \
                  it again with `flow retry`.";
    Fault::of(FaultKind::Storage, format!("could not read {}: {reason}", item.name), remedy)
}

impl Iterator for JsonLines {
    type Item = Result<JsonItem, Fault>;

    fn next(&mut self) -> Option<Result<JsonItem, Fault>> {
        loop {
            if let Some(next) = self.open.as_mut().and_then(OpenLines::next) {
                return Some(next);
            }
            self.open = None;
            let item = self.request.items.get(self.file)?;
            self.file += 1;
            match OpenLines::open(item) {
                Ok(open) => self.open = Some(open),
                Err(fault) => return Some(Err(fault)),
            }
        }
    }
}
