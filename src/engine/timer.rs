//! A thread for delayed actions: timeouts, delays before retries, deadlines.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::panic_guard::PanicGuard;

pub struct TimerThread {
    shared: Arc<TimerShared>,
}

/// A pending action. Dropping this cancels it, unless it is already being performed.
pub struct TimerAlarm {
    shared: Arc<TimerShared>,
    key: TimerKey,
}

#[derive(Default)]
struct TimerShared {
    state: Mutex<TimerState>,
    changed: Condvar,
}

#[derive(Default)]
struct TimerState {
    actions: BTreeMap<TimerKey, TimerAction>,
    next: u64,
    thread: Option<JoinHandle<()>>,
    ended: bool,
}

/// The due time, and a number that distinguishes actions due at the same time.
type TimerKey = (Instant, u64);
type TimerAction = Box<dyn FnOnce() + Send>;

/// The largest delay, so that the sum with the present instant does not overflow.
const DELAY_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl TimerThread {
    /// # Errors
    /// If its thread cannot be started.
    pub fn start() -> std::io::Result<TimerThread> {
        let shared = Arc::<TimerShared>::default();
        let works = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("flow:clock".to_owned()).spawn(move || {
            // Without this thread no timeout would ever pass.
            let _guard = PanicGuard;
            works.work();
        })?;
        shared.lock().thread = Some(thread);
        Ok(TimerThread { shared })
    }

    /// Performs an action after a delay, on the timer's thread. It must be quick.
    pub fn after(&self, delay: Duration, action: impl FnOnce() + Send + 'static) -> TimerAlarm {
        self.at(Instant::now() + delay.min(DELAY_MAX), action)
    }

    pub fn at(&self, instant: Instant, action: impl FnOnce() + Send + 'static) -> TimerAlarm {
        TimerAlarm { shared: Arc::clone(&self.shared), key: self.set(instant, Box::new(action)) }
    }

    /// As `after`, for an action that is never cancelled.
    pub fn surely_after(&self, delay: Duration, action: impl FnOnce() + Send + 'static) {
        self.set(Instant::now() + delay.min(DELAY_MAX), Box::new(action));
    }

    /// Ends the thread. Pending actions are not performed.
    pub fn end(&self) {
        let (actions, thread) = {
            let mut state = self.shared.lock();
            state.ended = true;
            (std::mem::take(&mut state.actions), state.thread.take())
        };
        self.shared.changed.notify_one();
        // Dropped without the lock: actions may own alarms, whose drop takes the lock.
        drop(actions);
        // The last handle on the timer may be dropped by an action, on this very thread, which cannot join
        // itself.
        let other = thread.filter(|it| it.thread().id() != std::thread::current().id());
        other.into_iter().for_each(|thread| drop(thread.join()));
    }

    fn set(&self, instant: Instant, action: TimerAction) -> TimerKey {
        let mut state = self.shared.lock();
        let key = (instant, state.next);
        state.next += 1;
        if state.ended {
            return key;
        }
        let first = state.actions.first_key_value().is_none_or(|(first, _)| key < *first);
        state.actions.insert(key, action);
        drop(state);
        if first {
            self.shared.changed.notify_one();
        }
        key
    }
}

impl Drop for TimerThread {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for TimerAlarm {
    fn drop(&mut self) {
        let action = self.shared.lock().actions.remove(&self.key);
        drop(action);
    }
}

impl TimerShared {
    fn work(&self) {
        let mut state = self.lock();
        while !state.ended {
            let now = Instant::now();
            let wait =
                state.actions.first_key_value().map(|((due, _), _)| due.saturating_duration_since(now));
            state = match wait {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    let action = state.actions.pop_first();
                    drop(state);
                    action.into_iter().for_each(|(_, action)| action());
                    self.lock()
                }
                Some(wait) => {
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, TimerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_due_first_is_done_first_and_what_is_taken_back_is_not() {
        let timer = TimerThread::start().unwrap();
        let (told, done) = channel();
        let say = |what: &'static str| {
            let told = told.clone();
            move || told.send(what).unwrap()
        };
        let now = Instant::now();
        let never = timer.after(LONG, say("never"));
        let second = timer.at(now + Duration::from_millis(2), say("second"));
        let first = timer.at(now + Duration::from_millis(1), say("first"));
        drop(timer.at(now + Duration::from_millis(3), say("taken back")));
        assert_eq!(done.recv_timeout(LONG), Ok("first"));
        assert_eq!(done.recv_timeout(LONG), Ok("second"));
        let last = timer.after(Duration::ZERO, say("last"));
        assert_eq!(done.recv_timeout(LONG), Ok("last"));
        drop((told, never, first, second, last, timer));
        assert!(done.recv_timeout(LONG).is_err(), "nothing is done when the clock is gone");
    }
}
