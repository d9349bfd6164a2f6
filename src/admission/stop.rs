//! The signal to sources that they are to bring no more requests.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A signal that ends sources, from any thread. What has been accepted is still answered.
///
/// ```
/// use std::time::Duration;
/// use flow::admission::StopSignal;
///
/// let stop = StopSignal::default();
/// assert!(!stop.wait(Duration::from_millis(1)));
/// stop.request();
/// assert!(stop.wait(Duration::from_secs(60)), "it does not wait any more");
/// ```
#[derive(Default)]
pub struct StopSignal {
    stopping: Mutex<Stopping>,
    changed: Condvar,
}

#[derive(Default)]
struct Stopping {
    requested: bool,
    listeners: Vec<Box<dyn FnOnce() + Send>>,
}

impl StopSignal {
    /// Asks for the end. Asking again changes nothing.
    pub fn request(&self) {
        let listeners = {
            let mut stopping = self.lock();
            stopping.requested = true;
            self.changed.notify_all();
            std::mem::take(&mut stopping.listeners)
        };
        listeners.into_iter().for_each(|then| then());
    }

    /// Whether the end has been asked for.
    pub fn is_requested(&self) -> bool {
        self.lock().requested
    }

    /// Waits for at most `time`. Gives whether the end has been asked for.
    pub fn wait(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |stopping| !stopping.requested);
        waited.unwrap_or_else(PoisonError::into_inner).0.requested
    }

    /// Waits until the end is asked for.
    pub fn wait_until_requested(&self) {
        let waited = self.changed.wait_while(self.lock(), |stopping| !stopping.requested);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Calls `then` when the end is asked for, at once if it has been. For a source that is blocked
    /// elsewhere, for example in `accept` of a socket.
    pub fn when_requested(&self, then: impl FnOnce() + Send + 'static) {
        let mut stopping = self.lock();
        if !stopping.requested {
            return stopping.listeners.push(Box::new(then));
        }
        drop(stopping);
        then();
    }

    fn lock(&self) -> MutexGuard<'_, Stopping> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
