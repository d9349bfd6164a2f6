//! The limit on requests under way. A thread that submits one more blocks.
//!
//! Requests of a paused dataflow do not count: they hold up no thread, up to a bound that keeps memory small.

use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::dataflow::RequestPriority;

use super::room_signal::RoomSignal;

pub struct RequestSlots {
    /// The requests that are announced and have not left. It falls only while `state` is locked.
    present: AtomicIsize,
    state: Mutex<SlotState>,
    total: isize,
    changed: Condvar,
    /// Signalled whenever a request leaves.
    room: Arc<RoomSignal>,
}

#[derive(Default)]
struct SlotState {
    /// The taken slots, which are those of threads that block no more. May be -1 for a moment, when a request leaves
    /// before its entering is counted.
    taken: isize,
    /// The same by priority.
    taken_by: [isize; RequestPriority::ALL.len()],
    /// The requests that do not begin because their dataflow is paused; some of them may still be entering.
    held: isize,
    /// Whether nobody waits for held requests any more.
    is_ending: bool,
    /// The number of threads that wait for a slot, by priority, and of those that wait for all.
    entering: [usize; RequestPriority::ALL.len()],
    settling: usize,
}

/// Requests of a paused dataflow can have this many times the slots of others.
const HELD_FACTOR: isize = 16;

impl RequestSlots {
    pub fn new(total: usize, room: Arc<RoomSignal>) -> RequestSlots {
        let total = isize::try_from(total).unwrap_or(isize::MAX);
        RequestSlots {
            present: AtomicIsize::new(0),
            state: Mutex::default(),
            total,
            changed: Condvar::new(),
            room,
        }
    }

    /// Counts a request from now until it leaves. To be called before anything can hold it or answer it.
    pub fn announce(&self) {
        self.present.fetch_add(1, Ordering::AcqRel);
    }

    /// The requests that are announced and have not left.
    pub fn present(&self) -> usize {
        usize::try_from(self.present.load(Ordering::Acquire)).unwrap_or(0)
    }

    /// Takes a slot for an announced request; blocks until one is free for the priority, or the dataflow is paused.
    pub fn enter(&self, priority: RequestPriority) {
        let mut state = self.lock();
        while !self.has_slot(&state, priority) {
            state.entering[priority as usize] += 1;
            state = self.changed.wait(state).expect(NO_PANIC);
            state.entering[priority as usize] -= 1;
        }
        state.taken += 1;
        state.taken_by[priority as usize] += 1;
    }

    /// Takes a slot for an announced request without waiting, also where none is free.
    pub fn enter_at_once(&self, priority: RequestPriority) {
        let mut state = self.lock();
        state.taken += 1;
        state.taken_by[priority as usize] += 1;
    }

    /// Whether a slot is free for the priority.
    pub fn has_room(&self, priority: RequestPriority) -> bool {
        self.has_slot(&self.lock(), priority)
    }

    /// Says how many of the announced requests do not begin because their dataflow is paused.
    pub fn hold(&self, held: usize) {
        let held = isize::try_from(held).unwrap_or(isize::MAX);
        let is_change = std::mem::replace(&mut self.lock().held, held) != held;
        if is_change {
            self.changed.notify_all();
        }
    }

    /// From now on, no thread waits for requests that are held, neither to enter nor for all to leave.
    pub fn end(&self) {
        self.lock().is_ending = true;
        self.changed.notify_all();
    }

    /// Blocks until all requests have left; once the end has come, all but those that are held.
    pub fn wait_for_all(&self) {
        self.settle(|state| if state.is_ending { state.held } else { 0 });
    }

    /// Blocks until all requests have left but those that are held.
    pub fn wait_for_all_but_held(&self) {
        self.settle(|state| state.held);
    }

    /// Ends the count of a request.
    pub fn leave(&self, priority: RequestPriority) {
        let mut state = self.lock();
        let present = self.present.fetch_sub(1, Ordering::AcqRel) - 1;
        state.taken -= 1;
        state.taken_by[priority as usize] -= 1;
        let wakes = |priority: RequestPriority| {
            state.entering[priority as usize] > 0 && self.wakes_at(&state, priority)
        };
        let settles = state.settling > 0 && present <= state.held.max(0);
        let wakes = settles || RequestPriority::ALL.into_iter().any(wakes);
        drop(state);
        if wakes {
            self.changed.notify_all();
        }
        self.room.signal();
    }

    fn has_slot(&self, state: &SlotState, priority: RequestPriority) -> bool {
        let is_bounded = state.taken >= self.total.saturating_mul(HELD_FACTOR) && !state.is_ending;
        let is_free = state.taken - state.held < self.limit(priority) && !(state.held > 0 && is_bounded);
        is_free || self.starves(state, priority)
    }

    /// Whether requests off-peak would wait for ever while others come: one of them always has a slot, so that its
    /// turn comes.
    fn starves(&self, state: &SlotState, priority: RequestPriority) -> bool {
        priority == RequestPriority::OffPeak && state.taken_by[priority as usize] <= 0
    }

    /// The slots that requests of a priority can have: a flood of others leaves room for urgent ones.
    fn limit(&self, priority: RequestPriority) -> isize {
        match priority {
            RequestPriority::Urgent => self.total.saturating_mul(2),
            RequestPriority::Normal => self.total,
            RequestPriority::OffPeak => (self.total / 2).max(1),
        }
    }

    /// Whether threads that wait are woken: once a quarter of the slots is free, not at each slot.
    fn wakes_at(&self, state: &SlotState, priority: RequestPriority) -> bool {
        let limit = self.limit(priority);
        state.taken - state.held <= limit - (limit / 4).max(1) || self.starves(state, priority)
    }

    fn settle(&self, rest: impl Fn(&SlotState) -> isize) {
        let mut state = self.lock();
        while self.present.load(Ordering::Acquire) > rest(&state) {
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
    use RequestPriority::{Normal, OffPeak, Urgent};

    const LONG: Duration = Duration::from_secs(20);

    fn slots(total: usize) -> RequestSlots {
        RequestSlots::new(total, Arc::default())
    }

    fn bring(slots: &RequestSlots, priority: RequestPriority) {
        slots.announce();
        slots.enter(priority);
    }

    /// Has a thread bring one more request, acts when it is blocked, and waits until it is in.
    fn blocked_until(slots: &RequestSlots, priority: RequestPriority, act: impl FnOnce()) {
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                bring(slots, priority);
                tell.send("in").unwrap();
            });
            while slots.lock().entering == [0; 3] {
                std::thread::yield_now();
            }
            assert!(told.try_recv().is_err());
            act();
            if told.recv_timeout(LONG) != Ok("in") {
                // The thread has to end for the test to fail.
                (0..1_000).for_each(|_| slots.leave(priority));
                panic!("it still waits");
            }
        });
    }

    #[test]
    fn who_waits_is_let_in_when_a_quarter_is_free_and_at_the_latest_when_all_are() {
        for total in [1, 2, 8] {
            let slots = slots(total);
            (0..total).for_each(|_| bring(&slots, Normal));
            blocked_until(&slots, Normal, || (0..(total / 4).max(1)).for_each(|_| slots.leave(Normal)));
            (0..total + 1 - (total / 4).max(1)).for_each(|_| slots.leave(Normal));
            slots.wait_for_all();
        }
    }

    #[test]
    fn a_flood_leaves_room_for_urgent_requests_and_held_ones_can_be_left() {
        let slots = slots(8);
        (0..4).for_each(|_| bring(&slots, OffPeak));
        assert!(!slots.has_room(OffPeak) && slots.has_room(Normal));
        (0..4).for_each(|_| bring(&slots, Normal));
        assert!(!slots.has_room(Normal) && slots.has_room(Urgent));
        bring(&slots, Urgent);
        slots.hold(9);
        slots.wait_for_all_but_held();
        slots.hold(0);
        slots.leave(Urgent);
        (0..4).for_each(|_| slots.leave(OffPeak));
        (0..4).for_each(|_| slots.leave(Normal));
        slots.wait_for_all();
    }

    #[test]
    fn who_waits_is_let_in_when_its_dataflow_is_paused_and_nobody_waits_for_it_then() {
        let slots = slots(1);
        bring(&slots, Normal);
        blocked_until(&slots, Normal, || slots.hold(2));
        slots.wait_for_all_but_held();
        slots.end();
        slots.wait_for_all();
    }

    #[test]
    fn a_delivery_is_waited_for_while_held_requests_are_entering() {
        let slots = slots(1);
        bring(&slots, Normal);
        slots.announce();
        slots.hold(1);
        // One is in delivery and one is held, which has not entered yet.
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                slots.wait_for_all_but_held();
                tell.send(slots.present.load(Ordering::Acquire)).unwrap();
            });
            while slots.lock().settling == 0 {
                assert!(told.try_recv().is_err(), "a delivery is under way");
                std::thread::yield_now();
            }
            slots.leave(Normal);
            assert_eq!(told.recv_timeout(LONG), Ok(1));
        });
    }

    #[test]
    fn one_request_off_peak_has_a_slot_in_a_flood_of_others() {
        let slots = slots(8);
        (0..8).for_each(|_| bring(&slots, Normal));
        assert!(slots.has_room(OffPeak));
        bring(&slots, OffPeak);
        assert!(!slots.has_room(OffPeak));
        (0..2).for_each(|_| bring(&slots, Urgent));
        blocked_until(&slots, OffPeak, || slots.leave(OffPeak));
    }

    #[test]
    fn requests_of_a_paused_dataflow_are_bounded_until_the_end() {
        let slots = slots(2);
        for held in 1..=32 {
            slots.hold(held);
            bring(&slots, Normal);
        }
        slots.hold(33);
        assert!(!slots.has_room(Normal));
        blocked_until(&slots, Normal, || slots.end());
        slots.wait_for_all();
    }
}
