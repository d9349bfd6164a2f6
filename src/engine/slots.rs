//! The limit on requests under way. A thread that submits one more blocks.

use std::sync::{Condvar, Mutex, MutexGuard};

pub struct RequestSlots {
    state: Mutex<SlotState>,
    total: isize,
    changed: Condvar,
}

#[derive(Default)]
struct SlotState {
    /// May be -1 for a moment, when a request leaves before its entering is counted.
    taken: isize,
    /// The number of threads that wait.
    waiting: usize,
}

impl RequestSlots {
    pub fn new(total: usize) -> RequestSlots {
        let total = isize::try_from(total).unwrap_or(isize::MAX);
        RequestSlots { state: Mutex::default(), total, changed: Condvar::new() }
    }

    /// Takes a slot; blocks until one is free.
    pub fn enter(&self) {
        self.wait_while(|taken| taken >= self.total).taken += 1;
    }

    /// Blocks until all slots are free.
    pub fn wait_for_all(&self) {
        drop(self.wait_while(|taken| taken > 0));
    }

    pub fn leave(&self) {
        let mut state = self.lock();
        state.taken -= 1;
        let wakes = state.waiting > 0 && (state.taken <= self.wakes_at() || state.taken == 0);
        drop(state);
        if wakes {
            self.changed.notify_all();
        }
    }

    /// The number of taken slots at which waiting threads are woken: once a quarter is free, not at each
    /// slot.
    fn wakes_at(&self) -> isize {
        self.total - (self.total / 4).max(1)
    }

    fn wait_while(&self, busy: impl Fn(isize) -> bool) -> MutexGuard<'_, SlotState> {
        let mut state = self.lock();
        while busy(state.taken) {
            state.waiting += 1;
            state = self.changed.wait(state).expect(NO_PANIC);
            state.waiting -= 1;
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "nothing panics while it holds the lock";

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn who_waits_is_let_in_when_a_quarter_is_free_and_at_the_latest_when_all_are() {
        for total in [1, 2, 8] {
            let slots = RequestSlots::new(total);
            (0..total).for_each(|_| slots.enter());
            let (tell, told) = channel();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    slots.enter();
                    tell.send("in").unwrap();
                });
                while slots.lock().waiting == 0 {
                    std::thread::yield_now();
                }
                (0..(total / 4).max(1)).for_each(|_| slots.leave());
                assert_eq!(told.recv_timeout(LONG), Ok("in"), "of {total}");
            });
            (0..total + 1 - (total / 4).max(1)).for_each(|_| slots.leave());
            slots.wait_for_all();
        }
    }
}
