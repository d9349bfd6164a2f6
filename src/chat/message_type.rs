//! A message type: a dataflow and what its file says of the messages that go through it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::dataflow::Dataflow;

/// A type of messages. Whoever holds one may rely on it: the schema is one, and every example fits or is meant not to.
#[derive(Clone, Debug)]
pub struct MessageType {
    /// The dataflow that answers a message.
    pub dataflow: Arc<Dataflow>,
    /// The roles that may send it; never empty.
    pub from: Vec<String>,
    pub answer: AnswerMode,
    pub order: MessageOrder,
    pub keep: MessageRetention,
    /// The number of the conversation's last events that are attached to a message.
    pub context: u32,
    pub content: ContentSchema,
    pub examples: Vec<MessageExample>,
}

/// When an answer is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerMode {
    /// At once.
    #[default]
    InLine,
    /// Later: clients show that it is being worked on.
    Background,
}

/// The order in which the events of several messages appear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageOrder {
    /// As they are ready.
    #[default]
    None,
    /// As the messages of their conversation were accepted, among those with this order.
    Conversation,
}

/// How long a message and its events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRetention {
    /// No record: the message runs at once, and its events go to who is there.
    Nothing,
    /// A record that is removed after this time.
    For(Duration),
    /// A record that stays.
    Always,
}

/// A message and what becomes of it. Each example is a test.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageExample {
    /// The role of the sender.
    pub from: String,
    pub content: Value,
    /// Earlier events of the conversation, the last one last.
    pub context: Vec<Value>,
    pub outcome: ExampleOutcome,
    /// The line in the file.
    pub line: usize,
}

/// The outcome of an example.
#[derive(Clone, Debug, PartialEq)]
pub enum ExampleOutcome {
    /// Events, as `events.json` has them.
    Events(Vec<Value>),
    /// The content does not fit, and the problem names this field.
    Refused(String),
}

/// Why a content does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentProblem {
    /// The field as a JSON Pointer (RFC 6901); empty for the content itself.
    pub field: String,
    /// A lowercase fragment without a value of the message: it may be logged.
    pub reason: String,
}

impl fmt::Display for ContentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.reason),
            field => write!(f, "{field}: {}", self.reason),
        }
    }
}

impl std::error::Error for ContentProblem {}

/// A JSON Schema (draft 2020-12), ready to check contents.
#[derive(Clone)]
pub struct ContentSchema {
    written: Value,
    validator: Arc<Validator>,
}

impl MessageType {
    /// The name of the type: that of its dataflow.
    pub fn name(&self) -> &str {
        self.dataflow.name()
    }

    /// Whether a role may send it.
    pub fn may_send(&self, role: &str) -> bool {
        self.from.iter().any(|known| known == role)
    }

    /// Checks the content of a message.
    ///
    /// # Errors
    /// The first problem, with the field that it is about.
    pub fn check(&self, content: &Value) -> Result<(), ContentProblem> {
        self.content.check(content)
    }
}

impl ContentSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn read(written: Value) -> Result<ContentSchema, String> {
        // Without look-around and back-references, a pattern takes time in proportion to the text, whoever wrote that.
        let options = jsonschema::draft202012::options().with_pattern_options(PatternOptions::regex());
        let validator = options.should_validate_formats(true).build(&written).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
            format!("{error}{place}")
        })?;
        Ok(ContentSchema { written, validator: Arc::new(validator) })
    }

    /// The schema as the file has it.
    pub fn written(&self) -> &Value {
        &self.written
    }

    /// Checks a content.
    ///
    /// # Errors
    /// The first problem, with the field that it is about.
    pub fn check(&self, content: &Value) -> Result<(), ContentProblem> {
        self.validator.validate(content).map_err(|error| problem(&error))
    }
}

impl fmt::Debug for ContentSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentSchema({})", self.written)
    }
}

fn problem(error: &ValidationError) -> ContentProblem {
    let place = error.instance_path().to_string();
    let (inside, reason) = match error.kind() {
        ValidationErrorKind::Required { property } => (property.as_str(), "it is missing".to_owned()),
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            (unexpected.first().map(String::as_str), "there is no such field".to_owned())
        }
        ValidationErrorKind::Enum { options } => (None, format!("it is none of {}", listed(options))),
        ValidationErrorKind::MinLength { limit: 1 } => (None, "it is empty".to_owned()),
        // The message says what it expects, and leaves out the value itself.
        _ => (None, error.masked_with("it").to_string()),
    };
    let field = match inside {
        // RFC 6901, section 3.
        Some(name) => format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")),
        None => place,
    };
    ContentProblem { field, reason }
}

fn listed(options: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    options.as_array().map(|all| all.iter().map(text).collect::<Vec<String>>().join(", ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem_of(content: Value) -> Option<(String, String)> {
        let schema = json!({
            "type": "object",
            "required": ["text"],
            "additionalProperties": false,
            "properties": {
                "text": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]*$"},
                "kind": {"enum": ["a", "b"]},
                "a/b": {"type": "object", "required": ["c~d"]},
                "day": {"type": "string", "format": "date"},
            },
        });
        let schema = ContentSchema::read(schema).unwrap();
        schema.check(&content).err().map(|problem| (problem.field, problem.reason))
    }

    #[test]
    fn a_problem_names_the_field_and_not_its_value() {
        assert_eq!(problem_of(json!({"text": "abc", "kind": "a", "day": "2026-02-28"})), None);
        let check = |content: Value, field: &str, part: &str| {
            let (found, reason) = problem_of(content).expect("it does not fit");
            assert_eq!(found, field, "{reason}");
            assert!(reason.contains(part) && !reason.contains("secret"), "{reason}");
        };
        check(json!({}), "/text", "it is missing");
        check(json!({"text": ""}), "/text", "it is empty");
        check(json!({"text": 7}), "/text", "string");
        check(json!({"text": "secret"}), "/text", "longer than 5");
        check(json!({"text": "SEC"}), "/text", "[a-z]");
        check(json!({"text": "a", "kind": "secret"}), "/kind", "it is none of a, b");
        check(json!({"text": "a", "other": "secret"}), "/other", "no such field");
        check(json!({"text": "a", "a/b": {}}), "/a~1b/c~0d", "missing");
        check(json!({"text": "a", "day": "secret"}), "/day", "date");
        check(json!("secret"), "", "object");
    }

    #[test]
    fn what_is_no_schema_is_refused_and_nothing_is_fetched() {
        let refused = |schema: Value| ContentSchema::read(schema).unwrap_err();
        assert!(refused(json!({"type": "strin"})).contains("/type"));
        assert!(!refused(json!({"$ref": "https://localhost/schema"})).is_empty());
        assert!(!refused(json!({"pattern": "(a"})).is_empty());
        assert!(!refused(json!({"pattern": "(?=a)"})).is_empty(), "look-around could take long");
    }
}
