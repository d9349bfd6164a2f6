//! The examples of a message type, run as its dataflow means: each is a test.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::dataflow::Response;
use crate::step::{Item, Request, ResponseFile};

use super::message_type::{ExampleOutcome, MessageExample, MessageType};
use super::steps::write_events::FILE;

/// The name of a message's item.
pub const MESSAGE_FILE: &str = "message.json";

/// The request of a message, without attributes.
pub fn message_request(name: &str, message: &Value) -> Request {
    let bytes = serde_json::to_vec(message).expect("JSON can be written as JSON");
    Request::new(name, BTreeMap::new(), vec![Item::inline(MESSAGE_FILE, bytes)])
}

/// An example whose answer is another.
#[derive(Clone, Debug)]
pub struct ExampleDifference {
    /// The line of the example in the file.
    pub line: usize,
    pub wanted: Vec<Value>,
    /// The events, or why there are none.
    pub found: Result<Vec<Value>, String>,
}

impl MessageType {
    /// Runs the examples on this thread, and returns those whose answers differ. Calls are made.
    pub fn run_examples(&self) -> Vec<ExampleDifference> {
        self.examples.iter().filter_map(|example| self.difference(example)).collect()
    }

    fn difference(&self, example: &MessageExample) -> Option<ExampleDifference> {
        // That a content is refused was seen when the file was read.
        let ExampleOutcome::Events(wanted) = &example.outcome else { return None };
        let message = json!({
            "conversation": "example",
            "from": {"user": "example", "role": example.from},
            "id": format!("line-{}", example.line),
            "type": self.name(),
            "content": example.content,
            "context": example.context,
        });
        let (response, files) = self.dataflow.interpret(&Arc::new(message_request(self.name(), &message)));
        let found = events(&response, &files);
        if found.as_ref().is_ok_and(|found| found == wanted) {
            return None;
        }
        Some(ExampleDifference { line: example.line, wanted: wanted.clone(), found })
    }
}

/// The events of an answer.
fn events(response: &Response, files: &[ResponseFile]) -> Result<Vec<Value>, String> {
    if !response.verdict.is_complete() {
        let faults: Vec<String> =
            response.faults().map(|(report, fault)| format!("{}: {fault}", report.step)).collect();
        return Err(faults.join("; "));
    }
    let file = files.iter().find(|file| file.name == FILE).ok_or_else(|| format!("there is no {FILE}"))?;
    serde_json::from_slice(&file.bytes).map_err(|error| format!("{FILE} is no list: {error}"))
}

impl fmt::Display for ExampleDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExampleDifference { line, wanted, found } = self;
        let wanted = Value::from(wanted.clone());
        write!(
            f,
            "the example on line {line} should be answered with\n  {wanted}\nand is answered with\n  "
        )?;
        match found {
            Ok(found) => write!(f, "{}", Value::from(found.clone())),
            Err(reason) => write!(f, "a fault: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::MessageTypes;
    use crate::step::StepTable;

    #[test]
    fn every_example_of_the_types_that_flow_carries_is_answered_as_it_says() {
        let types = MessageTypes::built_in(&StepTable::built_in()).unwrap_or_else(|error| panic!("{error}"));
        assert!(types.iter().len() >= 20);
        let mut wrong = Vec::new();
        for one in types.iter() {
            let is_answered = |example: &MessageExample| matches!(example.outcome, ExampleOutcome::Events(_));
            let (answered, refused): (Vec<_>, Vec<_>) = one.examples.iter().partition(|one| is_answered(one));
            assert!(!answered.is_empty() && !refused.is_empty(), "{} has examples of both kinds", one.name());
            assert!(!one.dataflow.about().is_empty(), "{} says what it is", one.name());
            wrong.extend(one.run_examples().iter().map(|found| format!("{}: {found}", one.name())));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn an_example_that_is_answered_otherwise_is_found() {
        let text = include_str!("../../dataflows/chat/text.yaml").replace("to: all", "to: sender");
        let text = text.replacen("to: sender", "to: others", 1);
        let one = MessageType::parse("text.yaml", &text, &StepTable::built_in()).unwrap();
        let [found] = one.run_examples().try_into().unwrap_or_else(|all: Vec<_>| panic!("{all:?}"));
        let shown = found.to_string();
        assert!(
            shown.contains("line 14") && shown.contains("\"others\"") && shown.contains("\"sender\""),
            "{shown}"
        );
    }
}
