//! The bound on attempts of calls that a step has under way at once, whichever requests they belong to.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::step::CancelToken;

/// How often a wait looks whether the run was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(20);

/// The attempts under way in this process, by step.
#[derive(Default)]
pub struct CallGates {
    under_way: Mutex<BTreeMap<String, usize>>,
    changed: Condvar,
}

impl CallGates {
    /// Counts an attempt of a step as soon as fewer than `max` are under way, or the run is cancelled.
    pub fn begin(&self, step: &str, max: usize, token: &CancelToken) {
        let mut under_way = self.lock();
        while under_way.get(step).is_some_and(|count| *count >= max) && !token.is_cancelled() {
            let waited = self.changed.wait_timeout(under_way, CANCEL_INTERVAL);
            under_way = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *under_way.entry(step.to_owned()).or_default() += 1;
    }

    /// Ends an attempt that was begun.
    pub fn end(&self, step: &str) {
        if let Some(count) = self.lock().get_mut(step) {
            *count -= 1;
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn no_more_than_the_bound_are_under_way_and_a_cancelled_run_does_not_wait() {
        let (gates, token) = (CallGates::default(), CancelToken::default());
        gates.begin("a", 1, &token);
        gates.begin("b", 1, &token);
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            let gates = &gates;
            scope.spawn(move || {
                gates.begin("a", 1, &CancelToken::default());
                tell.send(()).unwrap();
            });
            assert!(told.try_recv().is_err());
            gates.end("a");
            assert!(told.recv_timeout(Duration::from_secs(20)).is_ok());
        });
        token.cancel();
        gates.begin("a", 1, &token);
        assert_eq!(gates.lock()["a"], 2);
    }
}
