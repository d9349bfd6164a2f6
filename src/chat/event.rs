//! Events: what appears in a conversation, and who may see it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::MessageOrigin;
use super::token::ChatMember;

/// An event in the file `events.json` of a response.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AnsweredEvent {
    /// `all`, `sender`, `others`, or a role.
    pub to: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub content: Value,
    /// The author; the sender of the message, unless said.
    #[serde(default)]
    pub from: Option<EventAuthor>,
}

/// The author of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAuthor {
    pub user: Arc<str>,
    pub role: Arc<str>,
}

/// An event of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatEvent {
    pub conversation: Arc<str>,
    /// The number in the conversation, from 1; `None` for one that is not recorded.
    pub seq: Option<u64>,
    pub to: Arc<str>,
    pub event_type: Arc<str>,
    pub from: EventAuthor,
    /// The user whose message it answers, and the id of that message.
    pub sender: Arc<str>,
    pub answers: Arc<str>,
    pub content: Arc<Value>,
}

pub(super) const TO_ALL: &str = "all";
pub(super) const TO_SENDER: &str = "sender";
pub(super) const TO_OTHERS: &str = "others";

impl ChatEvent {
    /// An event of an answer, before it has a number.
    pub(super) fn of(answered: AnsweredEvent, origin: &MessageOrigin) -> ChatEvent {
        let AnsweredEvent { to, event_type, content, from } = answered;
        let sender = || EventAuthor { user: Arc::clone(&origin.user), role: Arc::clone(&origin.role) };
        ChatEvent {
            conversation: Arc::clone(&origin.conversation),
            seq: None,
            to: to.into(),
            event_type: event_type.into(),
            from: from.unwrap_or_else(sender),
            sender: Arc::clone(&origin.user),
            answers: Arc::clone(&origin.id),
            content: Arc::new(content),
        }
    }

    /// The bytes in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        size_of::<ChatEvent>() + value_bytes(&self.content)
    }

    /// Whether a member may see it.
    pub fn is_for(&self, member: &ChatMember) -> bool {
        match &*self.to {
            TO_ALL => true,
            TO_SENDER => self.sender == member.user,
            TO_OTHERS => self.sender != member.user,
            role => *role == *member.role,
        }
    }
}

/// The error event of a message that could not be answered.
pub(super) fn error_event(reason: &str, remedy: &str) -> AnsweredEvent {
    AnsweredEvent {
        to: TO_SENDER.to_owned(),
        event_type: "error".to_owned(),
        content: serde_json::json!({"reason": reason, "remedy": remedy}),
        from: Some(EventAuthor { user: "flow".into(), role: "service".into() }),
    }
}

/// The bytes of a value in memory, roughly.
fn value_bytes(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(value_bytes).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| size_of::<String>() + name.len() + value_bytes(value)).sum()
        }
    };
    size_of::<Value>() + inner
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::token::MemberConversations;

    #[test]
    fn an_event_is_seen_by_whom_it_is_for() {
        let origin = MessageOrigin {
            conversation: "c".into(),
            user: "ann".into(),
            role: "patient".into(),
            id: "1".into(),
            message_type: "text".into(),
            is_ordered: true,
        };
        let member = |user: &str, role: &str| ChatMember {
            user: user.into(),
            role: role.into(),
            conversations: MemberConversations::All,
            expires_s: 0,
        };
        let members = [member("ann", "patient"), member("bo", "patient"), member("cy", "provider")];
        let seen = |to: &str| {
            let answered = AnsweredEvent { to: to.to_owned(), ..error_event("r", "r") };
            let event = ChatEvent::of(answered, &origin);
            members.each_ref().map(|member| event.is_for(member))
        };
        assert_eq!(seen("all"), [true, true, true]);
        assert_eq!(seen("sender"), [true, false, false]);
        assert_eq!(seen("others"), [false, true, true]);
        assert_eq!(seen("provider"), [false, false, true]);
        assert_eq!(seen("nurse"), [false, false, false]);
    }

    #[test]
    fn a_value_counts_with_all_that_it_holds() {
        let (small, large) = (json!({"text": "x"}), json!({"list": [{"text": "x".repeat(1_000)}, 1, null]}));
        assert!(value_bytes(&small) < 200);
        assert!((1_000..1_500).contains(&value_bytes(&large)));
        assert!(value_bytes(&json!(vec![1; 1_000])) >= 8_000);
    }
}
