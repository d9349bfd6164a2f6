//! The way of answers to the devices: into the conversation log, then to who is connected. Whoever brings an answer
//! while nobody appends does so at once, with all that come meanwhile: these share a sync of the disk.

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

/// The sink of a chat. Old events are removed from the log until it is dropped.
pub struct ChatSink {
    log: Arc<AnswerLog>,
    pruner: Option<JoinHandle<()>>,
}

struct AnswerLog {
    state: Mutex<AnswerLogState>,
    /// Notified when nobody works on the log any more.
    idle: Condvar,
    /// Notified at the end: the thread that removes old events is not woken by each answer.
    closed: Condvar,
    /// Used by whoever has set `in_work`.
    appender: Mutex<AnswerAppender>,
}

struct AnswerLogState {
    pending: VecDeque<PendingDelivery>,
    /// Whether somebody works on the log.
    in_work: bool,
    is_closed: bool,
    next_prune: Instant,
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
    /// Starts the thread that removes old events.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(setup: SinkSetup) -> io::Result<ChatSink> {
        let state = AnswerLogState {
            pending: VecDeque::new(),
            in_work: false,
            is_closed: false,
            next_prune: Instant::now(),
        };
        let appender = Mutex::new(AnswerAppender { setup });
        let log = Arc::new(AnswerLog {
            state: Mutex::new(state),
            idle: Condvar::new(),
            closed: Condvar::new(),
            appender,
        });
        let pruned = Arc::clone(&log);
        let thread = std::thread::Builder::new().name("flow:chat-prune".to_owned());
        let pruner = thread.spawn(move || pruned.prune_until_closed())?;
        Ok(ChatSink { log, pruner: Some(pruner) })
    }
}

impl ResponseSink for ChatSink {
    fn deliver(&self, pending: PendingDelivery) {
        // Events of a message come once, when they are all there.
        if pending.response().verdict == ResponseVerdict::Unfinished {
            return pending.settle(Ok(()));
        }
        let mut state = self.log.lock();
        state.pending.push_back(pending);
        if !state.in_work {
            self.log.begin(state).append_all();
        }
    }

    /// The log has each answer once, so that it may come again after a crash.
    fn keeps_responses(&self) -> bool {
        true
    }

    fn drain(&self) {
        let busy = |state: &mut AnswerLogState| !state.pending.is_empty() || state.in_work;
        let waited = self.log.idle.wait_while(self.log.lock(), busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for ChatSink {
    fn drop(&mut self) {
        self.log.lock().is_closed = true;
        self.log.closed.notify_all();
        let _ = self.pruner.take().map(JoinHandle::join);
    }
}

impl AnswerLog {
    fn lock(&self) -> MutexGuard<'_, AnswerLogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to work on the log, which nobody else does.
    fn begin(&self, mut state: MutexGuard<'_, AnswerLogState>) -> AnswerWork<'_> {
        state.in_work = true;
        drop(state);
        let appender = self.appender.lock().unwrap_or_else(PoisonError::into_inner);
        AnswerWork { log: self, appender, is_over: false }
    }

    /// Removes old events when nobody brings answers for a while.
    fn prune_until_closed(&self) {
        let mut state = self.lock();
        while !state.is_closed {
            let wait = state.next_prune.saturating_duration_since(Instant::now());
            if wait.is_zero() && !state.in_work {
                self.begin(state).append_all();
                state = self.lock();
                continue;
            }
            // Who works on the log prunes it, too.
            let wait = if state.in_work { PRUNE_APART } else { wait };
            let waited = self.closed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The work on the log. Nobody has it any more once this is dropped.
struct AnswerWork<'a> {
    log: &'a AnswerLog,
    appender: MutexGuard<'a, AnswerAppender>,
    is_over: bool,
}

impl AnswerWork<'_> {
    /// Appends all answers, also those that come meanwhile, and removes old events when it is time.
    fn append_all(mut self) {
        loop {
            let mut state = self.log.lock();
            let is_prune_due = Instant::now() >= state.next_prune;
            let count = state.pending.len().min(GROUP_MAX);
            if count == 0 && !is_prune_due {
                // Together with the look, so that who brings an answer now begins to work.
                (state.in_work, self.is_over) = (false, true);
                return;
            }
            let group = state.pending.drain(..count).collect();
            drop(state);
            self.appender.finish(group);
            if is_prune_due {
                let wait = self.appender.prune();
                self.log.lock().next_prune = Instant::now() + wait;
            }
        }
    }
}

impl Drop for AnswerWork<'_> {
    fn drop(&mut self) {
        // After a panic.
        if !self.is_over {
            self.log.lock().in_work = false;
        }
        self.log.idle.notify_all();
    }
}

struct AnswerAppender {
    setup: SinkSetup,
}

impl AnswerAppender {
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

    /// Removes old events. Gives the time until it has to be done again.
    fn prune(&mut self) -> Duration {
        match self.setup.log.prune(now_ms()) {
            // Answers that wait come first.
            Ok(true) => Duration::from_millis(100),
            Ok(false) => PRUNE_APART,
            Err(error) => {
                tracing::warn!("{error}; old events are removed later");
                PRUNE_APART
            }
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
