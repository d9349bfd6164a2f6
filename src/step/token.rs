//! How a step that runs long hears that nobody waits for its result any more.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Fault;

/// Set once, when a run is given up: it was cancelled or took too long. Clones are the same token.
#[derive(Clone, Default)]
pub struct Token(Arc<Shared>);

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    wake: Mutex<Option<Wake>>,
}

type Wake = Box<dyn FnOnce() + Send>;

impl Token {
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// For long loops, where it costs nothing: ends a run that has been given up.
    ///
    /// # Errors
    /// If it has been.
    pub fn check(&self) -> Result<(), Fault> {
        if self.is_cancelled() { Err(Fault::cancelled()) } else { Ok(()) }
    }

    pub fn cancel(&self) {
        let wake = {
            let mut wake = self.lock();
            self.0.cancelled.store(true, Ordering::Release);
            wake.take()
        };
        wake.into_iter().for_each(|wake| wake());
    }

    /// For a step that waits instead of computing: `wake` is called once, on another thread, when the
    /// token is set, and at once if it is set already. It takes the place of an earlier one.
    pub fn on_cancel(&self, wake: impl FnOnce() + Send + 'static) {
        let mut place = self.lock();
        if !self.is_cancelled() {
            *place = Some(Box::new(wake));
            return;
        }
        drop(place);
        wake();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Wake>> {
        self.0.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Token {
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
        let (token, (woken, wakes)) = (Token::default(), channel());
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
