//! The message types that are served now. A reload replaces them.

use std::sync::{Arc, PoisonError, RwLock};

use crate::admission::DataflowSelector;
use crate::dataflow::RequestPriority;
use crate::step::Request;

use super::message_type::{AnswerMode, MessageRetention, MessageType};
use super::message_types::MessageTypes;
use super::outgoing::WelcomeType;

/// The types of a server.
pub struct ServedTypes(RwLock<Arc<MessageTypes>>);

impl ServedTypes {
    pub fn new(types: MessageTypes) -> ServedTypes {
        ServedTypes(RwLock::new(Arc::new(types)))
    }

    pub fn now(&self) -> Arc<MessageTypes> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn get(&self, name: &str) -> Option<Arc<MessageType>> {
        self.now().get(name).cloned()
    }

    /// Serves others from now on.
    pub fn replace(&self, types: MessageTypes) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(types);
    }

    /// The types for the greeting of a device.
    pub fn welcome(&self) -> Vec<WelcomeType> {
        let of_type = |one: &Arc<MessageType>| WelcomeType {
            name: one.name().to_owned(),
            from: one.from.clone(),
            content: one.content.written().clone(),
        };
        self.now().iter().map(of_type).collect()
    }
}

/// The dataflows of types, each for the messages of its type; `None` if no type is recorded.
pub fn selector(types: &MessageTypes) -> Option<DataflowSelector> {
    let recorded: Vec<Arc<MessageType>> =
        types.iter().filter(|one| one.keep != MessageRetention::Nothing).cloned().collect();
    if recorded.is_empty() {
        return None;
    }
    let dataflows: Vec<_> = recorded.iter().map(|one| Arc::clone(&one.dataflow)).collect();
    let place = |recorded: &[Arc<MessageType>], request: &Request| {
        recorded.iter().position(|one| one.name() == request.attribute("type"))
    };
    let all = recorded.clone();
    let choose = move |request: &Request| place(&all, request).unwrap_or_default();
    let prioritise =
        move |request: &Request| place(&recorded, request).map(|place| priority(&recorded[place]));
    Some(DataflowSelector::by(dataflows, choose).with_priorities(prioritise))
}

/// The priority of messages: what is answered in line goes first.
pub fn priority(one: &MessageType) -> RequestPriority {
    one.dataflow.priority().unwrap_or(match one.answer {
        AnswerMode::InLine => RequestPriority::Urgent,
        AnswerMode::Background => RequestPriority::Normal,
    })
}
