//! The messages that are accepted and not answered: a bound on memory, by type and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::step::Digest;

use super::message::MessageOrigin;

/// The messages under way.
#[derive(Default)]
pub struct MessagesUnderWay(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    requests: HashMap<Digest, Arc<MessageOrigin>>,
    types: HashMap<Arc<str>, usize>,
    conversations: HashMap<Arc<str>, usize>,
}

/// Whether a message is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountOutcome {
    New,
    /// The same message is under way: it counts once.
    Counted,
    TooMany,
}

/// The most messages under way, of one type, and of one conversation: many of one do not keep others out.
const MAX: usize = 8_000;
const OF_TYPE_MAX: usize = 2_000;
const OF_CONVERSATION_MAX: usize = 1_000;

impl MessagesUnderWay {
    /// Counts a message.
    pub fn begin(&self, request: Digest, origin: &Arc<MessageOrigin>) -> CountOutcome {
        let (message_type, conversation) = (&origin.message_type, &origin.conversation);
        let mut under_way = self.lock();
        let of_type = under_way.types.get(message_type).copied().unwrap_or(0);
        let of_conversation = under_way.conversations.get(conversation).copied().unwrap_or(0);
        let is_full = under_way.requests.len() >= MAX;
        if is_full || of_type >= OF_TYPE_MAX || of_conversation >= OF_CONVERSATION_MAX {
            return CountOutcome::TooMany;
        }
        if under_way.requests.insert(request, Arc::clone(origin)).is_some() {
            return CountOutcome::Counted;
        }
        under_way.types.insert(Arc::clone(message_type), of_type + 1);
        under_way.conversations.insert(Arc::clone(conversation), of_conversation + 1);
        CountOutcome::New
    }

    /// Ends the count of a message, if it counts.
    pub fn end(&self, request: Digest) {
        let mut under_way = self.lock();
        let Some(origin) = under_way.requests.remove(&request) else { return };
        if let Some(count) = under_way.types.get_mut(&origin.message_type) {
            *count -= 1;
        }
        if let Some(count) = under_way.conversations.get_mut(&origin.conversation) {
            *count -= 1;
            if *count == 0 {
                under_way.conversations.remove(&origin.conversation);
            }
        }
    }

    /// Where a message comes from that is under way.
    pub fn origin(&self, request: Digest) -> Option<Arc<MessageOrigin>> {
        self.lock().requests.get(&request).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{AttributeValues, Request};

    fn origin(message_type: &str, conversation: &str) -> Arc<MessageOrigin> {
        let attributes = [("type", message_type), ("conversation", conversation)];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), AttributeValues::from(value)));
        Arc::new(MessageOrigin::of(&Request::new("r", attributes.into(), Vec::new())))
    }

    fn request(number: usize) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    #[test]
    fn many_of_one_type_do_not_keep_others_out() {
        let under_way = MessagesUnderWay::default();
        let (slow, quick) = (origin("slow", "c"), origin("quick", "c"));
        let begin = |number: usize, origin: &Arc<MessageOrigin>| under_way.begin(request(number), origin);
        let each = |number: usize| origin("slow", &number.to_string());
        assert!((0..OF_TYPE_MAX).all(|number| begin(number, &each(number)) == CountOutcome::New));
        assert_eq!(begin(OF_TYPE_MAX, &slow), CountOutcome::TooMany);
        assert_eq!(begin(OF_TYPE_MAX, &quick), CountOutcome::New);
        under_way.end(request(0));
        under_way.end(request(0));
        assert_eq!(begin(OF_TYPE_MAX + 1, &slow), CountOutcome::New);
        assert_eq!(begin(OF_TYPE_MAX + 2, &slow), CountOutcome::TooMany);
        under_way.end(request(1));
        assert_eq!([begin(2, &slow), begin(2, &slow)], [CountOutcome::Counted; 2]);
    }

    #[test]
    fn many_of_one_conversation_do_not_keep_others_of_their_type_out() {
        let under_way = MessagesUnderWay::default();
        let begin = |number: usize, name: &str| under_way.begin(request(number), &origin("text", name));
        assert!((0..OF_CONVERSATION_MAX).all(|number| begin(number, "flood") == CountOutcome::New));
        assert_eq!(begin(OF_CONVERSATION_MAX, "flood"), CountOutcome::TooMany);
        assert_eq!(begin(OF_CONVERSATION_MAX, "other"), CountOutcome::New);
        under_way.end(request(0));
        assert_eq!(begin(OF_CONVERSATION_MAX + 1, "flood"), CountOutcome::New);
        (0..=OF_CONVERSATION_MAX + 1).for_each(|number| under_way.end(request(number)));
        assert!(under_way.lock().conversations.is_empty());
    }
}
