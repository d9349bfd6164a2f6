//! Cancellation tokens: a long-running step checks whether its result is still wanted.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Fault;

/// A flag that is set once, when a run is cancelled or exceeds its time-out. Clones share the flag.
///
/// ```
/// use flow::step::{FaultKind, CancelToken};
///
/// let token = CancelToken::default();
/// assert!(token.check().is_ok());
/// token.cancel();
/// assert_eq!(token.check().map_err(|fault| fault.kind), Err(FaultKind::Cancelled));
/// ```
#[derive(Clone, Default)]
pub struct CancelToken(Arc<TokenShared>);

#[derive(Default)]
struct TokenShared {
    cancelled: AtomicBool,
    wake: Mutex<Option<TokenWake>>,
}

type TokenWake = Box<dyn FnOnce() + Send>;

impl CancelToken {
    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Checks the flag, for use with `?` in long loops. The cost is one atomic read.
    ///
    /// # Errors
    /// A fault of kind `cancelled`, if the flag is set.
    pub fn check(&self) -> Result<(), Fault> {
        if self.is_cancelled() { Err(Fault::cancelled()) } else { Ok(()) }
    }

    /// Sets the flag, and calls the function that was registered with [`CancelToken::on_cancel`].
    pub fn cancel(&self) {
        let wake = {
            let mut wake = self.lock();
            self.0.cancelled.store(true, Ordering::Release);
            wake.take()
        };
        wake.into_iter().for_each(|wake| wake());
    }

    /// Registers a function for a step that waits instead of computing. It is called once, on another
    /// thread, when the flag is set; at once, if the flag is set already. A second registration replaces
    /// the first.
    pub fn on_cancel(&self, wake: impl FnOnce() + Send + 'static) {
        let mut place = self.lock();
        if !self.is_cancelled() {
            *place = Some(Box::new(wake));
            return;
        }
        drop(place);
        wake();
    }

    fn lock(&self) -> MutexGuard<'_, Option<TokenWake>> {
        self.0.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(cancelled: {})", self.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn whoever_waits_is_woken_once_also_when_it_comes_late() {
        let (token, (woken, wakes)) = (CancelToken::default(), channel());
        let early = woken.clone();
        token.on_cancel(move || early.send("early").unwrap());
        assert!(!token.is_cancelled() && wakes.try_recv().is_err());
        token.cancel();
        token.clone().cancel();
        token.on_cancel(move || woken.send("late").unwrap());
        assert!(token.is_cancelled());
        assert_eq!(wakes.iter().collect::<Vec<_>>(), ["early", "late"]);
    }
}
