//! `read-json-lines`: makes a stream of the lines of the request's files, each a JSON value.

use std::sync::Arc;

use crate::json::JsonItem;
use crate::step::{BuiltIn, Fault, FaultKind, ItemContent, Request, Step};

fn step() -> Step {
    Step::new("read-json-lines", 1, "Reads each line of the request's files as a JSON value.")
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
    /// The open file, and the position of its next line.
    open: Option<(ItemContent, usize)>,
}

impl Iterator for JsonLines {
    type Item = Result<JsonItem, Fault>;

    fn next(&mut self) -> Option<Result<JsonItem, Fault>> {
        loop {
            if let Some((content, at)) = &mut self.open {
                let rest = &content[*at..];
                if rest.is_empty() {
                    self.open = None;
                    continue;
                }
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let line = rest[..end].trim_ascii();
                *at = (*at + end + 1).min(content.len());
                if line.is_empty() {
                    continue;
                }
                let read = serde_json::from_slice(line).map(JsonItem);
                return Some(read.map_err(|error| {
                    Fault::new(format!("the line is no JSON value: {error}"), "Correct the line.")
                }));
            }
            let item = self.request.items.get(self.file)?;
            self.file += 1;
            match item.open() {
                Ok(content) => self.open = Some((content, 0)),
                Err(error) => {
                    let reason = format!("could not read {}: {error}", item.name);
                    return Some(Err(Fault::of(FaultKind::Storage, reason, "Send the request again.")));
                }
            }
        }
    }
}
