//! The limit on requests under way. A thread that submits one more blocks.

use std::sync::{Condvar, Mutex, MutexGuard};

use crate::dataflow::RequestPriority;

pub struct RequestSlots {
    state: Mutex<SlotState>,
    total: isize,
    changed: Condvar,
}

#[derive(Default)]
struct SlotState {
    /// May be -1 for a moment, when a request leaves before its entering is counted.
    taken: isize,
    /// The taken slots of requests that do not begin because their dataflow is paused.
    held: isize,
    /// The number of threads that wait for a slot, by priority, and of those that wait for all.
    entering: [usize; RequestPriority::ALL.len()],
    settling: usize,
}

impl RequestSlots {
    pub fn new(total: usize) -> RequestSlots {
        let total = isize::try_from(total).unwrap_or(isize::MAX);
        RequestSlots { state: Mutex::default(), total, changed: Condvar::new() }
    }

    /// Takes a slot; blocks until one is free for the priority.
    pub fn enter(&self, priority: RequestPriority) {
        let mut state = self.lock();
        while state.taken >= self.limit(priority) {
            state.entering[priority as usize] += 1;
            state = self.changed.wait(state).expect(NO_PANIC);
            state.entering[priority as usize] -= 1;
        }
        state.taken += 1;
    }

    /// Takes a slot, also beyond the limit.
    pub fn enter_beyond(&self) {
        self.lock().taken += 1;
    }

    /// Whether a slot is free for the priority.
    pub fn has_room(&self, priority: RequestPriority) -> bool {
        self.lock().taken < self.limit(priority)
    }

    /// Says how many of the taken slots are those of requests that do not begin because their dataflow is paused.
    pub fn hold(&self, held: usize) {
        self.lock().held = isize::try_from(held).unwrap_or(isize::MAX);
        self.changed.notify_all();
    }

    /// Blocks until all slots are free.
    pub fn wait_for_all(&self) {
        self.settle(|_| 0);
    }

    /// Blocks until all slots are free but those that are held.
    pub fn wait_for_all_but_held(&self) {
        self.settle(|state| state.held);
    }

    pub fn leave(&self) {
        let mut state = self.lock();
        state.taken -= 1;
        let wakes = |priority: RequestPriority| {
            state.entering[priority as usize] > 0 && state.taken <= self.wakes_at(priority)
        };
        let settles = state.settling > 0 && state.taken <= state.held.max(0);
        let wakes = settles || RequestPriority::ALL.into_iter().any(wakes);
        drop(state);
        if wakes {
            self.changed.notify_all();
        }
    }

    /// The slots that requests of a priority can have: a flood of others leaves room for urgent ones.
    fn limit(&self, priority: RequestPriority) -> isize {
        match priority {
            RequestPriority::Urgent => self.total.saturating_mul(2),
            RequestPriority::Normal => self.total,
            RequestPriority::OffPeak => (self.total / 2).max(1),
        }
    }

    /// The number of taken slots at which waiting threads are woken: once a quarter is free, not at each
    /// slot.
    fn wakes_at(&self, priority: RequestPriority) -> isize {
        let limit = self.limit(priority);
        limit - (limit / 4).max(1)
    }

    fn settle(&self, rest: impl Fn(&SlotState) -> isize) {
        let mut state = self.lock();
        while state.taken > rest(&state) {
            state.settling += 1;
            state = self.changed.wait(state).expect(NO_PANIC);
            state.settling -= 1;
        }
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
            (0..total).for_each(|_| slots.enter(RequestPriority::Normal));
            let (tell, told) = channel();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    slots.enter(RequestPriority::Normal);
                    tell.send("in").unwrap();
                });
                while slots.lock().entering == [0; 3] {
                    std::thread::yield_now();
                }
                (0..(total / 4).max(1)).for_each(|_| slots.leave());
                assert_eq!(told.recv_timeout(LONG), Ok("in"), "of {total}");
            });
            (0..total + 1 - (total / 4).max(1)).for_each(|_| slots.leave());
            slots.wait_for_all();
        }
    }

    #[test]
    fn a_flood_leaves_room_for_urgent_requests_and_held_ones_can_be_left() {
        let slots = RequestSlots::new(8);
        (0..4).for_each(|_| slots.enter(RequestPriority::OffPeak));
        assert!(!slots.has_room(RequestPriority::OffPeak) && slots.has_room(RequestPriority::Normal));
        (0..4).for_each(|_| slots.enter(RequestPriority::Normal));
        assert!(!slots.has_room(RequestPriority::Normal) && slots.has_room(RequestPriority::Urgent));
        slots.enter(RequestPriority::Urgent);
        slots.hold(9);
        slots.wait_for_all_but_held();
        slots.hold(0);
        (0..9).for_each(|_| slots.leave());
        slots.wait_for_all();
    }
}
