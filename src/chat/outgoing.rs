//! The words of a server to a device, in the form that both protocols share: a name and an object.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::event::{ChatEvent, EventAuthor};
use super::message::MessageRefusal;
use super::token::ChatMember;

/// One thing that goes to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// A message is on the disk. `ack` is the number under which a Socket.IO client waits for it.
    Accepted {
        id: String,
        ack: Option<u64>,
    },
    Refused {
        refusal: MessageRefusal,
        ack: Option<u64>,
    },
    Event(Arc<ChatEvent>),
    /// The number of the last event of a conversation, where that one is not for the device.
    Seen {
        conversation: Arc<str>,
        seq: u64,
    },
    /// The text of an answer so far.
    Partial {
        conversation: Arc<str>,
        answers: Arc<str>,
        text: Arc<str>,
    },
}

/// The greeting of a device.
#[derive(Clone, Debug, Serialize)]
pub struct ChatWelcome {
    pub user: Arc<str>,
    pub role: Arc<str>,
    pub conversations: Vec<Arc<str>>,
    pub types: Vec<WelcomeType>,
}

/// A type in a greeting.
#[derive(Clone, Debug, Serialize)]
pub struct WelcomeType {
    #[serde(rename = "type")]
    pub name: String,
    pub from: Vec<String>,
    pub content: Value,
}

#[derive(Serialize)]
struct EventForm<'a> {
    conversation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    to: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    from: &'a EventAuthor,
    content: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<&'a str>,
}

#[derive(Serialize)]
struct AcceptedReply<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct RefusedReply<'a> {
    id: Option<&'a str>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

#[derive(Serialize)]
struct SeenForm<'a> {
    conversation: &'a str,
    seq: u64,
}

#[derive(Serialize)]
struct PartialForm<'a> {
    conversation: &'a str,
    answers: &'a str,
    text: &'a str,
}

impl Outgoing {
    /// The name of what is said.
    pub fn name(&self) -> &'static str {
        match self {
            Outgoing::Accepted { .. } => "accepted",
            Outgoing::Refused { .. } => "refused",
            Outgoing::Event(_) => "event",
            Outgoing::Seen { .. } => "seen",
            Outgoing::Partial { .. } => "partial",
        }
    }

    /// The number under which a Socket.IO client waits for it.
    pub fn ack(&self) -> Option<u64> {
        match self {
            Outgoing::Accepted { ack, .. } | Outgoing::Refused { ack, .. } => *ack,
            Outgoing::Event(_) | Outgoing::Seen { .. } | Outgoing::Partial { .. } => None,
        }
    }

    /// The bytes of a reply in memory, roughly; 0 of what is no reply.
    pub(super) fn reply_bytes(&self) -> usize {
        match self {
            Outgoing::Accepted { id, .. } => size_of::<Outgoing>() + id.len(),
            Outgoing::Refused { refusal, .. } => {
                let MessageRefusal { id, reason, field, remedy } = refusal;
                let parts = [id, field, remedy].into_iter().flatten().map(String::len);
                size_of::<Outgoing>() + reason.len() + parts.sum::<usize>()
            }
            Outgoing::Event(_) | Outgoing::Seen { .. } | Outgoing::Partial { .. } => 0,
        }
    }

    /// The object, for a member.
    pub fn object(&self, member: Option<&ChatMember>) -> String {
        match self {
            Outgoing::Accepted { id, .. } => written(&AcceptedReply { id }),
            Outgoing::Refused { refusal, .. } => {
                let MessageRefusal { id, reason, field, remedy } = refusal;
                let (id, field, remedy) = (id.as_deref(), field.as_deref(), remedy.as_deref());
                written(&RefusedReply { id, reason, field, remedy })
            }
            Outgoing::Event(event) => {
                let is_own = member.is_some_and(|member| member.user == event.sender);
                written(&EventForm {
                    conversation: &event.conversation,
                    seq: event.seq,
                    to: &event.to,
                    event_type: &event.event_type,
                    from: &event.from,
                    content: &event.content,
                    answers: is_own.then_some(&*event.answers),
                })
            }
            Outgoing::Seen { conversation, seq } => written(&SeenForm { conversation, seq: *seq }),
            Outgoing::Partial { conversation, answers, text } => {
                written(&PartialForm { conversation, answers, text })
            }
        }
    }

    /// The whole frame of the plain protocol.
    pub fn frame(&self, member: Option<&ChatMember>) -> String {
        format!("{{\"{}\":{}}}", self.name(), self.object(member))
    }
}

impl ChatWelcome {
    pub fn object(&self) -> String {
        written(self)
    }
}

fn written(form: &impl Serialize) -> String {
    serde_json::to_string(form).expect("keys are texts, so it can be written as JSON")
}
