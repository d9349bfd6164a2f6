//! How many requests may be under way: who brings one more waits outside.

use std::sync::{Condvar, Mutex};

pub struct RequestSlots {
    /// Below nothing for a moment, when one leaves that has not yet been seen to enter.
    taken: Mutex<isize>,
    total: isize,
    changed: Condvar,
}

impl RequestSlots {
    pub fn new(total: usize) -> RequestSlots {
        let total = isize::try_from(total).unwrap_or(isize::MAX);
        RequestSlots { taken: Mutex::new(0), total, changed: Condvar::new() }
    }

    /// Takes a place, as soon as one is free.
    pub fn enter(&self) {
        let taken = self.taken.lock().expect("nothing panics while it holds the lock");
        let mut taken = self
            .changed
            .wait_while(taken, |taken| *taken >= self.total)
            .expect("nothing panics while it holds the lock");
        *taken += 1;
    }

    /// Waits until none is taken.
    pub fn wait_for_all(&self) {
        let taken = self.taken.lock().expect("nothing panics while it holds the lock");
        let all = self.changed.wait_while(taken, |taken| *taken > 0);
        drop(all.expect("nothing panics while it holds the lock"));
    }

    pub fn leave(&self) {
        *self.taken.lock().expect("nothing panics while it holds the lock") -= 1;
        self.changed.notify_all();
    }
}
