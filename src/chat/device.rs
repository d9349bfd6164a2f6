//! A connected device: how far it has seen each conversation, and what waits to be sent to it.
//!
//! The queue is bounded in number and in bytes, however slow the device is: of a conversation that it cannot follow, it
//! reads the events in the log when it comes to them. So a device that was away, a slow one and a quick one all see the same.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::conversation_cursor::ConversationCursor;
use super::event::ChatEvent;
use super::event_count::EventCount;
use super::outgoing::Outgoing;
use super::reply_count::ReplyCount;
use super::token::{ChatMember, MemberConversations};
use super::turn_queue::TurnQueue;

/// A device of a member.
pub struct Device {
    pub member: ChatMember,
    state: Mutex<DeviceState>,
    wake: Notify,
    /// Notified when a message is answered for whose acceptance the device has waited.
    room: Notify,
    /// The messages of the device on their way to the journal.
    pub(super) recorded: TurnQueue,
    /// The messages of the device that are not recorded.
    pub(super) unrecorded: TurnQueue,
}

/// How far a conversation is.
#[derive(Clone, Debug)]
pub struct ConversationPlace {
    pub conversation: Arc<str>,
    /// The number of its last event.
    pub last: u64,
    /// The number that the device has seen, where that is not known yet.
    pub seen: Option<u64>,
}

/// The next thing to do for a device.
#[derive(Debug, PartialEq)]
pub enum DeviceWork {
    Send(Outgoing),
    /// Read the events of a conversation after a number in the log; at least those up to `known` are there.
    Read {
        conversation: Arc<str>,
        after: u64,
        known: u64,
    },
    Nothing,
    /// End the connection: the device does not take the replies to what it sends.
    End,
}

#[derive(Default)]
struct DeviceState {
    queue: VecDeque<Outgoing>,
    /// The events in the queue.
    queued: EventCount,
    cursors: HashMap<Arc<str>, ConversationCursor>,
    /// The conversations whose next events are to be read in the log.
    behind: VecDeque<Arc<str>>,
    /// The last numbers of events that are not for the device, since the last one that is.
    skipped: BTreeMap<Arc<str>, u64>,
    /// Whether it is known how far each conversation is.
    is_ready: bool,
    /// The messages whose acceptance is under way.
    sending: usize,
    /// The replies in the queue.
    replies: ReplyCount,
    /// Whether events are being read in the log: one conversation at a time.
    is_reading: bool,
}

/// The places in the queue of an idle device, at most.
const QUEUE_IDLE: usize = 8;

/// The most messages of a device whose acceptance is under way.
const SENDING_MAX: usize = 64;

/// The cursors of a device of all conversations, beyond which those without news are dropped.
const CURSORS_MAX: usize = 10_000;

impl Device {
    /// A device that has seen the conversations up to these numbers.
    pub fn new(member: ChatMember, seen: &HashMap<String, u64>) -> Device {
        let mut state = DeviceState::default();
        if let MemberConversations::Named(names) = &member.conversations {
            let cursor = |name: &Arc<str>| {
                let seen = seen.get(&**name).copied().unwrap_or(0);
                (Arc::clone(name), ConversationCursor::at(seen))
            };
            state.cursors = names.iter().map(cursor).collect();
        }
        let (wake, room) = (Notify::new(), Notify::new());
        let (recorded, unrecorded) = (TurnQueue::default(), TurnQueue::default());
        Device { member, state: Mutex::new(state), wake, room, recorded, unrecorded }
    }

    /// Says how far conversations are; from then on events are sent.
    pub fn begin(&self, places: impl IntoIterator<Item = ConversationPlace>) {
        let mut state = self.lock();
        for ConversationPlace { conversation, last, seen } in places {
            let cursor = state.cursors.entry(conversation).or_insert(ConversationCursor::at(last));
            // An event that came before made a cursor that knows nothing of what the device has seen. A client may have
            // seen numbers of a log that is no more.
            cursor.handled = seen.unwrap_or(cursor.handled).min(last);
            cursor.queued = cursor.handled;
            cursor.known = last.max(if cursor.is_behind { cursor.known } else { 0 });
            cursor.is_behind = false;
        }
        state.behind.clear();
        let behind = state.cursors.iter_mut().filter(|(_, cursor)| cursor.queued < cursor.known);
        let behind: VecDeque<Arc<str>> = behind
            .map(|(conversation, cursor)| {
                cursor.is_behind = true;
                Arc::clone(conversation)
            })
            .collect();
        state.behind = behind;
        state.is_ready = true;
        drop(state);
        self.wake.notify_one();
    }

    /// Brings a recorded event.
    pub fn push(&self, event: &Arc<ChatEvent>) {
        let Some(seq) = event.seq else { return self.push_unrecorded(event) };
        let mut state = self.lock();
        state.push(event, seq);
        drop(state);
        self.wake.notify_one();
    }

    /// Brings an event that is not recorded. A device that is slow does not get it.
    fn push_unrecorded(&self, event: &Arc<ChatEvent>) {
        if event.is_for(&self.member) {
            self.push_passing(Outgoing::Event(Arc::clone(event)));
        }
    }

    /// Brings what is of no use later.
    pub fn push_passing(&self, outgoing: Outgoing) {
        let mut state = self.lock();
        let DeviceState { queue, queued, is_ready, .. } = &mut *state;
        if !*is_ready || !queued.has_room() {
            return;
        }
        queued.queue(outgoing, queue);
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until fewer messages are being accepted than may be: meanwhile nothing is read from the device.
    pub async fn has_room(&self) {
        while self.lock().sending >= SENDING_MAX {
            self.room.notified().await;
        }
    }

    /// Counts a message whose acceptance begins; `false` if there are too many.
    pub fn begin_sending(&self) -> bool {
        let mut state = self.lock();
        let has_room = state.sending < SENDING_MAX;
        state.sending += usize::from(has_room);
        has_room
    }

    /// Answers a message that was counted.
    pub fn end_sending(&self, reply: Outgoing) {
        let mut state = self.lock();
        state.sending = state.sending.saturating_sub(1);
        state.push_reply(reply);
        drop(state);
        self.room.notify_one();
        self.wake.notify_one();
    }

    /// Tells something at once.
    pub fn reply(&self, reply: Outgoing) {
        self.lock().push_reply(reply);
        self.wake.notify_one();
    }

    /// Whether more replies wait for the device than may be: its connection is to end.
    pub fn is_over(&self) -> bool {
        self.lock().replies.is_over()
    }

    /// Takes what is to be done next.
    pub fn take(&self) -> DeviceWork {
        self.lock().take(&self.member)
    }

    /// Takes what can be sent at once, if there is anything.
    pub fn take_ready(&self) -> Option<Outgoing> {
        let mut state = self.lock();
        if state.queue.is_empty() && state.skipped.is_empty() {
            return None;
        }
        let work = state.take(&self.member);
        // A read is not begun here, but asked for again.
        state.is_reading &= !matches!(work, DeviceWork::Read { .. });
        if let DeviceWork::Send(outgoing) = work { Some(outgoing) } else { None }
    }

    /// Brings events that were read in the log, as `take` asked for. `is_whole`: there were no more then.
    pub fn bring(&self, conversation: &Arc<str>, known: u64, events: Vec<ChatEvent>, is_whole: bool) {
        let mut state = self.lock();
        let state = &mut *state;
        state.is_reading = false;
        self.wake.notify_one();
        state.behind.retain(|name| name != conversation);
        let Some(cursor) = state.cursors.get_mut(conversation) else { return };
        for event in events {
            let Some(seq) = event.seq.filter(|seq| *seq > cursor.queued) else { continue };
            cursor.queued = seq;
            state.queued.queue(Outgoing::Event(Arc::new(event)), &mut state.queue);
        }
        if is_whole && cursor.queued < known {
            // The events behind the last one have expired.
            cursor.queued = known;
            if cursor.handled < known && state.queue.is_empty() {
                cursor.handled = known;
            }
        }
        cursor.known = cursor.known.max(cursor.queued);
        cursor.is_behind = cursor.queued < cursor.known;
        if cursor.is_behind {
            state.behind.push_back(Arc::clone(conversation));
        }
    }

    /// Ends a reading that has failed: it is asked for again.
    pub fn bring_nothing(&self) {
        self.lock().is_reading = false;
        self.wake.notify_one();
    }

    /// Waits until there may be something to do.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, DeviceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DeviceState {
    fn push(&mut self, event: &Arc<ChatEvent>, seq: u64) {
        if self.cursors.len() > CURSORS_MAX {
            self.cursors.retain(|_, cursor| cursor.handled < cursor.known);
        }
        let conversation = &event.conversation;
        let cursor = match self.cursors.get_mut(conversation) {
            Some(cursor) => cursor,
            // It is a conversation of all: from now on.
            None => {
                let cursor = ConversationCursor::at(seq.saturating_sub(1));
                self.cursors.entry(Arc::clone(conversation)).or_insert(cursor)
            }
        };
        if self.is_ready && seq <= cursor.queued {
            return;
        }
        // Before all is known, a number that the device claims to have seen says nothing.
        cursor.known = if cursor.is_behind || self.is_ready { cursor.known.max(seq) } else { seq };
        let follows = self.is_ready && !cursor.is_behind && seq == cursor.queued + 1;
        if follows && self.queued.has_room() {
            cursor.queued = seq;
            self.queued.queue(Outgoing::Event(Arc::clone(event)), &mut self.queue);
        } else if !cursor.is_behind {
            cursor.is_behind = true;
            self.behind.push_back(Arc::clone(conversation));
        }
    }

    /// Queues a reply. If too many wait, none of them matters any more.
    fn push_reply(&mut self, reply: Outgoing) {
        if self.replies.add(&reply) {
            self.queue.push_back(reply);
        } else {
            self.queue.clear();
        }
    }

    fn take(&mut self, member: &ChatMember) -> DeviceWork {
        if self.replies.is_over() {
            return DeviceWork::End;
        }
        while let Some(outgoing) = self.queue.pop_front() {
            let event = match &outgoing {
                Outgoing::Event(event) => event,
                Outgoing::Partial { .. } => {
                    self.queued.remove(&outgoing);
                    return DeviceWork::Send(outgoing);
                }
                Outgoing::Accepted { .. } | Outgoing::Refused { .. } | Outgoing::Seen { .. } => {
                    self.replies.remove(&outgoing);
                    return DeviceWork::Send(outgoing);
                }
            };
            self.queued.remove(&outgoing);
            let Some(seq) = event.seq else { return DeviceWork::Send(outgoing) };
            if let Some(cursor) = self.cursors.get_mut(&event.conversation) {
                cursor.handled = cursor.handled.max(seq);
            }
            if event.is_for(member) {
                self.skipped.remove(&event.conversation);
                return DeviceWork::Send(outgoing);
            }
            self.skipped.insert(Arc::clone(&event.conversation), seq);
        }
        if !self.is_ready {
            return DeviceWork::Nothing;
        }
        // It stays first until its events are brought.
        if !self.is_reading
            && let Some(conversation) = self.behind.front()
            && let Some(cursor) = self.cursors.get(conversation)
        {
            self.is_reading = true;
            let conversation = Arc::clone(conversation);
            return DeviceWork::Read { conversation, after: cursor.queued, known: cursor.known };
        }
        match self.skipped.pop_first() {
            Some((conversation, seq)) => DeviceWork::Send(Outgoing::Seen { conversation, seq }),
            None => {
                // Thousands of devices are idle at a time.
                self.queue.shrink_to(QUEUE_IDLE);
                DeviceWork::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::event::{AnsweredEvent, error_event};
    use super::super::event_count::EVENTS_MAX;
    use super::super::message::MessageOrigin;
    use super::*;

    fn member(conversations: &[&str]) -> ChatMember {
        let conversations = match conversations {
            ["*"] => MemberConversations::All,
            names => MemberConversations::Named(names.iter().map(|name| Arc::from(*name)).collect()),
        };
        ChatMember { user: "ann".into(), role: "patient".into(), conversations, expires_s: 0 }
    }

    fn place(conversation: &str, last: u64, seen: Option<u64>) -> ConversationPlace {
        ConversationPlace { conversation: conversation.into(), last, seen }
    }

    fn event(conversation: &str, seq: u64, to: &str) -> ChatEvent {
        let origin = MessageOrigin {
            conversation: conversation.into(),
            user: "bo".into(),
            role: "provider".into(),
            id: "1".into(),
            message_type: "text".into(),
            is_ordered: true,
        };
        let answered = AnsweredEvent { to: to.to_owned(), content: json!({}), ..error_event("", "") };
        ChatEvent { seq: Some(seq), ..ChatEvent::of(answered, &origin) }
    }

    /// Takes all, with the log having events for all up to `last`; gives the numbers of what was sent.
    fn drained(device: &Device, last: u64) -> Vec<u64> {
        let mut sent = Vec::new();
        loop {
            match device.take() {
                DeviceWork::Send(Outgoing::Event(event)) => sent.extend(event.seq),
                DeviceWork::Send(_) => {}
                DeviceWork::Read { conversation, after, known } => {
                    let read: Vec<ChatEvent> =
                        (after + 1..=last).take(5).map(|seq| event(&conversation, seq, "all")).collect();
                    let is_whole = read.len() < 5;
                    device.bring(&conversation, known, read, is_whole);
                }
                DeviceWork::Nothing | DeviceWork::End => return sent,
            }
        }
    }

    #[test]
    fn a_device_gets_what_it_has_not_seen_once_and_in_order_however_slow_it_is() {
        let device = Device::new(member(&["c"]), &HashMap::from([("c".to_owned(), 3)]));
        // One comes before it is known how far the conversation is.
        device.push(&Arc::new(event("c", 8, "all")));
        assert_eq!(device.take(), DeviceWork::Nothing);
        device.begin([place("c", 7, None)]);
        assert_eq!(drained(&device, 8), [4, 5, 6, 7, 8]);
        (9..=300).for_each(|seq| device.push(&Arc::new(event("c", seq, "all"))));
        assert!(device.lock().queue.len() <= EVENTS_MAX, "a bounded number waits in memory");
        assert_eq!(drained(&device, 301), (9..=301).collect::<Vec<u64>>());
        device.push(&Arc::new(event("c", 301, "all")));
        device.push(&Arc::new(event("c", 302, "all")));
        assert_eq!(drained(&device, 302), [302]);
        let content = Arc::new(json!("x".repeat(100 << 10)));
        let large = |seq: u64| ChatEvent { content: Arc::clone(&content), ..event("c", seq, "all") };
        (303..=340).for_each(|seq| device.push(&Arc::new(large(seq))));
        assert!(device.lock().queue.len() < 5 && drained(&device, 340).into_iter().eq(303..=340));
    }

    #[test]
    fn one_read_is_under_way_at_a_time_and_asked_for_again_if_it_fails() {
        let device = Device::new(member(&["c"]), &HashMap::new());
        device.begin([place("c", 2, None)]);
        let read = || DeviceWork::Read { conversation: "c".into(), after: 0, known: 2 };
        assert_eq!(device.take(), read());
        assert_eq!(device.take(), DeviceWork::Nothing);
        assert_eq!(device.take_ready(), None);
        device.bring_nothing();
        assert_eq!(device.take(), read());
        device.bring_nothing();
        assert_eq!(drained(&device, 2), [1, 2]);
        let device = Device::new(member(&["c", "d"]), &HashMap::new());
        device.begin([place("c", 0, None), place("d", 0, None)]);
        device.push(&Arc::new(event("c", 1, "provider")));
        device.push(&Arc::new(event("d", 2, "all")));
        assert_eq!(device.take_ready(), None, "what is for others is skipped, and no read is begun");
        assert!(matches!(device.take(), DeviceWork::Read { .. }));
    }

    #[test]
    fn a_device_that_takes_no_replies_is_given_up() {
        let device = &Device::new(member(&["c"]), &HashMap::new());
        let reply = |bytes: usize| Outgoing::Accepted { id: "x".repeat(bytes), ack: None };
        for _ in 0..10_000 {
            device.reply(reply(8));
            assert_eq!(device.take(), DeviceWork::Send(reply(8)));
        }
        assert!(!device.is_over(), "they were taken");
        let wait = |bytes: usize| {
            (0..10_000).take_while(move |_| {
                device.reply(reply(bytes));
                !device.is_over()
            })
        };
        assert!((100..5_000).contains(&wait(8).count()));
        assert_eq!((device.take(), device.lock().queue.len()), (DeviceWork::End, 0));
    }

    #[test]
    fn what_has_expired_or_was_never_there_is_passed_over() {
        let device = Device::new(member(&["c"]), &HashMap::from([("c".to_owned(), 100)]));
        device.begin([place("c", 6, None)]);
        device.push(&Arc::new(event("c", 7, "all")));
        assert_eq!(drained(&device, 7), [7], "100 was of another log");
        let late = Device::new(member(&["c"]), &HashMap::new());
        late.begin([place("c", 9, None)]);
        let DeviceWork::Read { conversation, known, .. } = late.take() else { panic!() };
        late.bring(&conversation, known, vec![event("c", 8, "all")], true);
        late.push(&Arc::new(event("c", 10, "all")));
        assert_eq!(drained(&late, 10), [8, 10]);
    }

    #[test]
    fn events_for_others_are_skipped_and_their_number_is_told() {
        let device = Device::new(member(&["c"]), &HashMap::new());
        device.begin([place("c", 0, None)]);
        for (seq, to) in [(1, "all"), (2, "provider"), (3, "sender"), (4, "others"), (5, "provider")] {
            device.push(&Arc::new(event("c", seq, to)));
        }
        let mut told = Vec::new();
        while let DeviceWork::Send(outgoing) = device.take() {
            told.push(match outgoing {
                Outgoing::Event(event) => ("event", event.seq.unwrap()),
                Outgoing::Seen { seq, .. } => ("seen", seq),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(told, [("event", 1), ("event", 4), ("seen", 5)]);
    }

    #[test]
    fn a_device_of_all_conversations_goes_on_from_what_it_has_seen_also_while_events_come() {
        let device = Device::new(member(&["*"]), &HashMap::new());
        (7..=9).for_each(|seq| device.push(&Arc::new(event("c", seq, "all"))));
        // The log was read after the first two had come.
        device.begin([place("c", 8, Some(3))]);
        assert_eq!(drained(&device, 9), [4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_device_of_all_conversations_begins_where_they_are() {
        let device = Device::new(member(&["*"]), &HashMap::new());
        device.push(&Arc::new(event("new", 1, "all")));
        device.begin([place("named", 4, Some(2))]);
        device.push(&Arc::new(event("other", 9, "all")));
        assert_eq!(drained(&device, 1).len(), 2, "1 of new and 9 of other; named has none in this log");
    }
}
