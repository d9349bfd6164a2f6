//! A message on its way in: what a client sends, and the request that it becomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::step::{AttributeDeclaration, AttributeValues, BuiltInAttributes, Item, Request};

use super::message_type::{MessageOrder, MessageType};
use super::names::{ID_BYTES_MAX, NAME_BYTES_MAX, name_problem};
use super::token::ChatMember;

/// The value of the attribute `source` of messages.
pub(super) const SOURCE: &str = "chat";

/// The name of a message's one item.
pub(super) const MESSAGE_FILE: &str = "message.json";

pub(super) const CONVERSATION: &str = "conversation";
pub(super) const USER: &str = "user";
pub(super) const ROLE: &str = "role";
const MESSAGE: &str = "message";
const TYPE: &str = "type";
const ORDER: &str = "order";
const ORDERED: &str = "conversation";

pub(super) const ATTRIBUTES: &[AttributeDeclaration] = &[
    AttributeDeclaration::text(TYPE, "The type of a chat message."),
    AttributeDeclaration::text(CONVERSATION, "The conversation of a chat message."),
    AttributeDeclaration::text(USER, "Who sent a chat message."),
    AttributeDeclaration::text(ROLE, "The role of who sent a chat message."),
    AttributeDeclaration::text(MESSAGE, "The id that the client gave a chat message."),
    AttributeDeclaration::text(ORDER, "`conversation` if a chat message is answered in order, else `none`."),
];

inventory::submit! { BuiltInAttributes(ATTRIBUTES) }

/// A message as a client sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct SentMessage {
    /// The client's own id.
    pub id: String,
    pub conversation: String,
    pub message_type: String,
    pub content: Value,
}

/// Why a message is not accepted, for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRefusal {
    /// The id of the message, where it has one.
    pub id: Option<String>,
    pub reason: String,
    /// The field that the reason is about, as a JSON Pointer.
    pub field: Option<String>,
    pub remedy: Option<String>,
}

impl MessageRefusal {
    pub fn new(id: Option<&str>, reason: impl Into<String>) -> MessageRefusal {
        MessageRefusal { id: id.map(str::to_owned), reason: reason.into(), field: None, remedy: None }
    }

    #[must_use]
    pub fn at(self, field: impl Into<String>) -> MessageRefusal {
        MessageRefusal { field: Some(field.into()), ..self }
    }

    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> MessageRefusal {
        MessageRefusal { remedy: Some(remedy.into()), ..self }
    }
}

impl SentMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn read(value: Value) -> Result<SentMessage, MessageRefusal> {
        let Value::Object(mut fields) = value else {
            let refusal = MessageRefusal::new(None, "a message is a JSON object");
            return Err(refusal.remedy("send {\"id\", \"conversation\", \"type\", \"content\"}"));
        };
        let id = name(&mut fields, "id", None, ID_BYTES_MAX)?;
        let conversation = name(&mut fields, "conversation", Some(&id), NAME_BYTES_MAX)?;
        let message_type = name(&mut fields, "type", Some(&id), NAME_BYTES_MAX)?;
        let Some(content) = fields.remove("content") else {
            return Err(MessageRefusal::new(Some(&id), "it is missing").at("/content"));
        };
        if let Some(unknown) = fields.keys().next() {
            return Err(MessageRefusal::new(Some(&id), "there is no such field").at(format!("/{unknown}")));
        }
        Ok(SentMessage { id, conversation, message_type, content })
    }

    /// The request that the message becomes. `context` are the last events of the conversation.
    pub fn to_request(&self, from: &ChatMember, one: &MessageType, context: Vec<Value>) -> Request {
        let order = match one.order {
            MessageOrder::None => "none",
            MessageOrder::Conversation => ORDERED,
        };
        let attributes = [
            ("source", SOURCE),
            (TYPE, one.name()),
            (CONVERSATION, &self.conversation),
            (USER, &from.user),
            (ROLE, &from.role),
            (MESSAGE, &self.id),
            (ORDER, order),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), AttributeValues::from(value)));
        let item = json!({
            "id": self.id,
            "conversation": self.conversation,
            "from": {"user": &*from.user, "role": &*from.role},
            "type": self.message_type,
            "content": self.content,
            "context": context,
        });
        let bytes = serde_json::to_vec(&item).expect("keys are texts, so it can be written as JSON");
        let item = Item::inline(MESSAGE_FILE, bytes);
        // Nothing that a person wrote is in the name: it stands in logs.
        let name = format!("{}_{}", one.name(), item.digest.short());
        Request::new(name, BTreeMap::from(attributes), vec![item])
    }
}

/// The origin of a request that is a message, as its attributes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageOrigin {
    pub conversation: Arc<str>,
    pub user: Arc<str>,
    pub role: Arc<str>,
    /// The client's id.
    pub id: Arc<str>,
    pub message_type: Arc<str>,
    pub is_ordered: bool,
}

impl MessageOrigin {
    pub fn of(request: &Request) -> MessageOrigin {
        let text = |name: &str| Arc::from(request.attribute(name));
        MessageOrigin {
            conversation: text(CONVERSATION),
            user: text(USER),
            role: text(ROLE),
            id: text(MESSAGE),
            message_type: text(TYPE),
            is_ordered: request.attribute(ORDER) == ORDERED,
        }
    }

    /// The text by which the journal knows the message.
    pub fn lookup_text(&self) -> String {
        format!("{SOURCE}/{}/{}/{}", self.conversation, self.user, self.id)
    }
}

/// Whether two requests are the same message: type and content. What was attached does not count.
pub(super) fn is_same_message(one: &Request, other: &Request) -> bool {
    let parts = |request: &Request| {
        let item = request.items.iter().find(|item| item.name == MESSAGE_FILE)?;
        let mut value: Value = serde_json::from_slice(&item.open().ok()?).ok()?;
        Some((value.get_mut("type")?.take(), value.get_mut("content")?.take()))
    };
    parts(one).is_some_and(|one| Some(one) == parts(other))
}

fn name(
    fields: &mut Map<String, Value>,
    key: &str,
    id: Option<&str>,
    bytes_max: usize,
) -> Result<String, MessageRefusal> {
    let refused = |reason: String| Err(MessageRefusal::new(id, reason).at(format!("/{key}")));
    match fields.remove(key) {
        None => refused("it is missing".to_owned()),
        Some(Value::String(text)) => match name_problem(&text, bytes_max) {
            Some(problem) => refused(problem),
            None => Ok(text),
        },
        Some(_) => refused("it is not a text".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_none_names_the_field() {
        let refused = |value: Value| SentMessage::read(value).unwrap_err();
        let whole = json!({"id": "1", "conversation": "c", "type": "text", "content": {}});
        assert!(SentMessage::read(whole.clone()).is_ok());
        for (key, value) in
            [("id", json!(1)), ("conversation", json!("a/b")), ("type", json!("")), ("more", json!(1))]
        {
            let mut wrong = whole.clone();
            wrong[key] = value;
            let refusal = refused(wrong);
            assert_eq!(refusal.field.as_deref(), Some(&*format!("/{key}")));
            assert_eq!(refusal.id.is_some(), key != "id");
        }
        for key in ["id", "conversation", "type", "content"] {
            let mut wrong = whole.clone();
            wrong.as_object_mut().unwrap().remove(key);
            assert_eq!(refused(wrong).reason, "it is missing");
        }
        assert_eq!(refused(json!([1])).field, None);
    }
}
