//! The events that answer a message: those of its response's file `events.json`, or an error event.

use crate::dataflow::{Response, ResponseVerdict};

use super::event::{AnsweredEvent, error_event};

/// The file of a response with its events.
pub const EVENTS_FILE: &str = "events.json";

/// The events of a response. `read` gives the bytes of one of its files, by its place among them.
pub fn events_of(response: &Response, read: impl FnOnce(usize) -> Option<Vec<u8>>) -> Vec<AnsweredEvent> {
    if response.verdict == ResponseVerdict::Failed {
        let of_items = response.streams.iter().flat_map(|stream| &stream.faults).map(|item| &item.fault);
        let fault = response.faults().map(|(_, fault)| fault).chain(of_items).next();
        let said = fault.map(|fault| (fault.reason.as_str(), fault.remedy.as_str()));
        let (reason, remedy) = said.unwrap_or(("the message could not be answered", "Send it again."));
        return vec![error_event(reason, remedy)];
    }
    let bytes = response.files.iter().position(|file| file.name == EVENTS_FILE).and_then(read);
    let events = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    events.unwrap_or_else(|| {
        let reason = format!("the answer has no readable {EVENTS_FILE}");
        let remedy =
            "Report this to the authors of the message type: its response is the output of write-events.";
        vec![error_event(&reason, remedy)]
    })
}
