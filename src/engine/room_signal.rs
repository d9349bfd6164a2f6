//! A signal that a slot of some dataflow is free, for the thread that hands on deferred requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A signal that stays until it is waited for. Repeating it meanwhile costs next to nothing.
#[derive(Default)]
pub struct RoomSignal {
    is_signalled: AtomicBool,
    /// Locked between a look at the flag and the wait for it.
    looking: Mutex<()>,
    changed: Condvar,
}

impl RoomSignal {
    pub fn signal(&self) {
        if !self.is_signalled.load(Ordering::SeqCst) && !self.is_signalled.swap(true, Ordering::SeqCst) {
            drop(self.looking.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }

    /// Waits until it is signalled, or was since the last wait, for at most `time`.
    pub fn wait(&self, time: Duration) {
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |_: &mut ()| !self.is_signalled.load(Ordering::SeqCst);
        let waited = self.changed.wait_timeout_while(looking, time, is_silent);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.is_signalled.swap(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_before_a_wait_and_one_during_it_end_it() {
        let signal = RoomSignal::default();
        let long = Duration::from_secs(3600);
        (0..2).for_each(|_| signal.signal());
        signal.wait(long);
        assert!(!signal.is_signalled.load(Ordering::SeqCst), "both were for this wait");
        std::thread::scope(|scope| {
            scope.spawn(|| signal.signal());
            signal.wait(long);
        });
    }
}
