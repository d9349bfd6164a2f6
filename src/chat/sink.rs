//! The way of answers to the devices: into the conversation log, then to who is connected. Answers that come close
//! together share a sync of the disk.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::admission::StopSignal;
use crate::dataflow::ResponseVerdict;
use crate::engine::{PendingDelivery, ResponseSink, UndeliveredResponse};

use super::answer::events_of;
use super::event::ChatEvent;
use super::hub::ChatHub;
use super::log::{AnswerToAppend, LogError, LogWriter};
use super::message::MessageOrigin;
use super::message_type::MessageRetention;
use super::order::AnswerOrder;
use super::served_types::ServedTypes;
use super::under_way::MessagesUnderWay;

/// The order of the answers that are awaited. It is filled when messages are accepted.
pub type SharedOrder = Arc<Mutex<AnswerOrder<PendingDelivery>>>;

/// The parts that answers need on their way.
pub struct SinkSetup {
    pub log: LogWriter,
    pub hub: Arc<ChatHub>,
    pub types: Arc<ServedTypes>,
    pub order: SharedOrder,
    pub under_way: Arc<MessagesUnderWay>,
    /// After it, a disk that takes nothing is not waited for.
    pub stop: Arc<StopSignal>,
    /// Called when the log can no longer be written.
    pub when_broken: Box<dyn Fn(&LogError) + Send>,
}

/// The sink of a chat. It appends answers until it is dropped.
pub struct ChatSink {
    queue: Arc<AnswerQueueShared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct AnswerQueueShared {
    state: Mutex<AnswerQueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct AnswerQueueState {
    pending: VecDeque<PendingDelivery>,
    in_work: bool,
    is_closed: bool,
}

/// The answers that share a sync, at most.
const GROUP_MAX: usize = 512;

/// The time before a disk that took nothing is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The time between two looks for old events.
const PRUNE_APART: Duration = Duration::from_secs(60);

/// How long the events of a type are kept that is not served any more.
const KEEP_OTHERWISE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

impl ChatSink {
    /// Starts the thread of the log.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(setup: SinkSetup) -> io::Result<ChatSink> {
        let queue = Arc::<AnswerQueueShared>::default();
        let mut appender = AnswerAppender { setup, queue: Arc::clone(&queue), next_prune: Instant::now() };
        let thread = std::thread::Builder::new().name("flow:chat-log".to_owned());
        let thread = thread.spawn(move || appender.run())?;
        Ok(ChatSink { queue, thread: Some(thread) })
    }
}

impl ResponseSink for ChatSink {
    fn deliver(&self, pending: PendingDelivery) {
        // Events of a message come once, when they are all there.
        if pending.response().verdict == ResponseVerdict::Unfinished {
            return pending.settle(Ok(()));
        }
        self.queue.lock().pending.push_back(pending);
        self.queue.changed.notify_all();
    }

    /// The log has each answer once, so that it may come again after a crash.
    fn keeps_responses(&self) -> bool {
        true
    }

    fn drain(&self) {
        let busy = |state: &mut AnswerQueueState| !state.pending.is_empty() || state.in_work;
        let waited = self.queue.changed.wait_while(self.queue.lock(), busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for ChatSink {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl AnswerQueueShared {
    fn lock(&self) -> MutexGuard<'_, AnswerQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct AnswerAppender {
    setup: SinkSetup,
    queue: Arc<AnswerQueueShared>,
    next_prune: Instant,
}

impl AnswerAppender {
    fn run(&mut self) {
        while let Some(group) = self.group() {
            self.finish(group);
            self.queue.lock().in_work = false;
            self.queue.changed.notify_all();
            if Instant::now() >= self.next_prune {
                self.prune();
            }
        }
    }

    /// The answers that have come meanwhile, none when it is time to look for old events; `None` at the end.
    fn group(&self) -> Option<Vec<PendingDelivery>> {
        let wait = self.next_prune.saturating_duration_since(Instant::now());
        let idle = |state: &mut AnswerQueueState| state.pending.is_empty() && !state.is_closed;
        let waited = self.queue.changed.wait_timeout_while(self.queue.lock(), wait, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.pending.is_empty() && state.is_closed {
            return None;
        }
        let count = state.pending.len().min(GROUP_MAX);
        state.in_work = count > 0;
        Some(state.pending.drain(..count).collect())
    }

    fn finish(&mut self, group: Vec<PendingDelivery>) {
        let mut turns = Vec::with_capacity(group.len());
        for pending in group {
            let origin = MessageOrigin::of(pending.request());
            match pending.receipt().number().filter(|_| origin.is_ordered) {
                Some(number) => {
                    let mut order = self.setup.order.lock().unwrap_or_else(PoisonError::into_inner);
                    turns.extend(order.answer(&origin.conversation, number, pending));
                }
                None => turns.push(pending),
            }
        }
        if turns.is_empty() {
            return;
        }
        let settled = match self.append(&turns) {
            Some(events) => {
                self.setup.hub.publish(events);
                Ok(())
            }
            None => Err(UndeliveredResponse),
        };
        for pending in turns {
            self.setup.under_way.end(pending.request().id);
            pending.settle(settled);
        }
    }

    /// Appends answers, again and again while the disk is full. Gives the new events, `None` if it was given up.
    fn append(&mut self, turns: &[PendingDelivery]) -> Option<Vec<ChatEvent>> {
        loop {
            let now_ms = now_ms();
            let answers = turns.iter().map(|pending| self.answer(pending, now_ms)).collect();
            match self.setup.log.append(answers, now_ms) {
                Ok(events) => return Some(events),
                Err(error) if error.may_pass && !self.setup.stop.is_requested() => {
                    tracing::error!("{error}; trying again");
                    self.setup.stop.wait(PAUSE);
                }
                Err(error) => {
                    (self.setup.when_broken)(&error);
                    tracing::error!("{error}; the answers are appended after the next start");
                    return None;
                }
            }
        }
    }

    fn answer(&self, pending: &PendingDelivery, now_ms: i64) -> AnswerToAppend {
        let (response, origin) = (pending.response(), MessageOrigin::of(pending.request()));
        let answered =
            events_of(response, |place| pending.store().get(response.request, response.files[place].digest));
        let keep = self.setup.types.get(&origin.message_type).map(|one| one.keep);
        let keep = match keep.unwrap_or(MessageRetention::For(KEEP_OTHERWISE)) {
            MessageRetention::Always => None,
            MessageRetention::For(keep) => Some(keep),
            // The type was changed after the message was accepted.
            MessageRetention::Nothing => Some(KEEP_OTHERWISE),
        };
        let expires_ms =
            keep.map(|keep| now_ms.saturating_add(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)));
        AnswerToAppend {
            number: pending.receipt().number(),
            request: response.request,
            edition: pending.request().edition,
            expires_ms,
            events: answered.into_iter().map(|event| ChatEvent::of(event, &origin)).collect(),
        }
    }

    fn prune(&mut self) {
        match self.setup.log.prune(now_ms()) {
            // Answers that wait come first.
            Ok(true) => self.next_prune = Instant::now() + Duration::from_millis(100),
            Ok(false) => self.next_prune = Instant::now() + PRUNE_APART,
            Err(error) => {
                tracing::warn!("{error}; old events are removed later");
                self.next_prune = Instant::now() + PRUNE_APART;
            }
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
