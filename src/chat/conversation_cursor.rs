//! How far a device is in a conversation.

/// How far a device is in a conversation, by numbers of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ConversationCursor {
    /// Up to here the events were sent or skipped.
    pub handled: u64,
    /// Up to here they are in the queue.
    pub queued: u64,
    /// Up to here they are in the log.
    pub known: u64,
    pub is_behind: bool,
}

impl ConversationCursor {
    pub fn at(seq: u64) -> ConversationCursor {
        ConversationCursor { handled: seq, queued: seq, known: seq, is_behind: false }
    }
}
