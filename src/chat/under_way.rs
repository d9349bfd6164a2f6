//! The messages that are accepted and not answered: a bound on memory, by type, by conversation and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::step::Digest;

use super::message::MessageOrigin;

/// The messages under way.
#[derive(Default)]
pub struct MessagesUnderWay(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    requests: HashMap<Digest, CountedMessage>,
    types: HashMap<Arc<str>, usize>,
    conversations: HashMap<Arc<str>, MessageCount>,
    bytes: u64,
}

struct CountedMessage {
    origin: Arc<MessageOrigin>,
    bytes: u64,
}

#[derive(Clone, Copy, Default)]
struct MessageCount {
    messages: usize,
    bytes: u64,
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

/// The bytes of these messages, with the events that are attached to them, beyond which no further one is taken.
const BYTES_MAX: u64 = 256 << 20;
const OF_CONVERSATION_BYTES_MAX: u64 = 64 << 20;

impl MessagesUnderWay {
    /// Counts a message that has so many bytes.
    pub fn begin(&self, request: Digest, origin: &Arc<MessageOrigin>, bytes: u64) -> CountOutcome {
        let (message_type, conversation) = (&origin.message_type, &origin.conversation);
        let mut under_way = self.lock();
        let of_type = under_way.types.get(message_type).copied().unwrap_or(0);
        let MessageCount { messages, bytes: bytes_before } =
            under_way.conversations.get(conversation).copied().unwrap_or_default();
        let is_full = under_way.requests.len() >= MAX || under_way.bytes >= BYTES_MAX;
        let is_much = messages >= OF_CONVERSATION_MAX || bytes_before >= OF_CONVERSATION_BYTES_MAX;
        if is_full || is_much || of_type >= OF_TYPE_MAX {
            return CountOutcome::TooMany;
        }
        if under_way.requests.contains_key(&request) {
            return CountOutcome::Counted;
        }
        let counted = CountedMessage { origin: Arc::clone(origin), bytes };
        under_way.requests.insert(request, counted);
        under_way.types.insert(Arc::clone(message_type), of_type + 1);
        let count = MessageCount { messages: messages + 1, bytes: bytes_before + bytes };
        under_way.conversations.insert(Arc::clone(conversation), count);
        under_way.bytes += bytes;
        CountOutcome::New
    }

    /// Ends the count of a message, if it counts.
    pub fn end(&self, request: Digest) {
        let mut under_way = self.lock();
        let Some(CountedMessage { origin, bytes }) = under_way.requests.remove(&request) else { return };
        under_way.bytes = under_way.bytes.saturating_sub(bytes);
        if let Some(count) = under_way.types.get_mut(&origin.message_type) {
            *count -= 1;
        }
        if let Some(count) = under_way.conversations.get_mut(&origin.conversation) {
            count.messages -= 1;
            count.bytes = count.bytes.saturating_sub(bytes);
            if count.messages == 0 {
                under_way.conversations.remove(&origin.conversation);
            }
        }
    }

    /// Where a message comes from that is under way.
    pub fn origin(&self, request: Digest) -> Option<Arc<MessageOrigin>> {
        self.lock().requests.get(&request).map(|counted| Arc::clone(&counted.origin))
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
        let begin = |number: usize, origin: &Arc<MessageOrigin>| under_way.begin(request(number), origin, 1);
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
        let begin = |number: usize, name: &str| under_way.begin(request(number), &origin("text", name), 1);
        assert!((0..OF_CONVERSATION_MAX).all(|number| begin(number, "flood") == CountOutcome::New));
        assert_eq!(begin(OF_CONVERSATION_MAX, "flood"), CountOutcome::TooMany);
        assert_eq!(begin(OF_CONVERSATION_MAX, "other"), CountOutcome::New);
        under_way.end(request(0));
        assert_eq!(begin(OF_CONVERSATION_MAX + 1, "flood"), CountOutcome::New);
        (0..=OF_CONVERSATION_MAX + 1).for_each(|number| under_way.end(request(number)));
        assert!(under_way.lock().conversations.is_empty());
    }

    #[test]
    fn few_large_messages_are_too_many_as_well() {
        let under_way = MessagesUnderWay::default();
        let begin = |number: usize, name: &str| {
            under_way.begin(request(number), &origin("text", name), OF_CONVERSATION_BYTES_MAX / 2)
        };
        assert_eq!([0, 1].map(|number| begin(number, "flood")), [CountOutcome::New; 2]);
        assert_eq!(begin(2, "flood"), CountOutcome::TooMany);
        let others =
            (3..).take_while(|number| begin(*number, &number.to_string()) == CountOutcome::New).count();
        assert_eq!(others as u64, 2 * BYTES_MAX / OF_CONVERSATION_BYTES_MAX - 2);
        under_way.end(request(0));
        assert_eq!(begin(2, "flood"), CountOutcome::New);
        (0..100).for_each(|number| under_way.end(request(number)));
        assert_eq!(under_way.lock().bytes, 0);
    }
}
