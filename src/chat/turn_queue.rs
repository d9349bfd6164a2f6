//! Work for a device that is done piece by piece, in the order in which it came.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A piece of work.
pub(super) type TurnJob = Box<dyn FnOnce() + Send>;

/// The work that waits. The messages that a device has under way bound it.
#[derive(Default)]
pub(super) struct TurnQueue(Mutex<TurnQueueState>);

#[derive(Default)]
struct TurnQueueState {
    waiting: VecDeque<TurnJob>,
    is_running: bool,
}

impl TurnQueue {
    /// Whether all that came is done.
    pub fn is_idle(&self) -> bool {
        !self.lock().is_running
    }

    /// Adds a piece of work. Gives whether the caller has to call [`TurnQueue::run`], on any thread.
    pub fn push(&self, job: TurnJob) -> bool {
        let mut state = self.lock();
        state.waiting.push_back(job);
        !std::mem::replace(&mut state.is_running, true)
    }

    /// Does all that waits.
    pub fn run(&self) {
        while !self.run_for(Duration::MAX) {}
    }

    /// Does what waits, and begins nothing more once this time is over. Gives whether nothing is left: otherwise the
    /// caller has to call it again.
    pub fn run_for(&self, time: Duration) -> bool {
        let began = Instant::now();
        while let Some(job) = self.next() {
            // What waits behind it is done in any case.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("the work on a message panicked");
            }
            if began.elapsed() >= time {
                return false;
            }
        }
        true
    }

    fn next(&self) -> Option<TurnJob> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.is_running = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, TurnQueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn work_is_done_in_its_order_and_goes_on_after_a_panic() {
        let (queue, done) = (TurnQueue::default(), Arc::<Mutex<Vec<u32>>>::default());
        let push = |number: u32| {
            let done = Arc::clone(&done);
            queue.push(Box::new(move || {
                assert_ne!(number, 2, "a panic on purpose");
                done.lock().unwrap().push(number);
            }))
        };
        assert!(queue.is_idle());
        assert_eq!([push(1), push(2), push(3)], [true, false, false], "one runs them all");
        assert!(!queue.is_idle());
        queue.run();
        assert!(queue.is_idle() && push(4));
        queue.run();
        assert_eq!(*done.lock().unwrap(), [1, 3, 4]);
    }
}
