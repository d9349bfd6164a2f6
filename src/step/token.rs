//! Cancellation tokens: a long-running step checks whether its result is still wanted.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
    waits: Mutex<PlaceWaits>,
}

/// The time in which a run has waited for its place.
#[derive(Default)]
struct PlaceWaits {
    /// The time of waits that are over.
    over: Duration,
    /// The waits under way, and the begin of the first of them.
    open: usize,
    since: Option<WaitClock>,
}

/// Says how long a wait has taken so far: this folder has no clock.
type WaitClock = Box<dyn Fn() -> Duration + Send>;

/// A run that waits for its place, until this is dropped.
pub struct PlaceWait(CancelToken);

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

    /// Notes that the run waits for others until the result is dropped: for a process that they use, and not for its
    /// own work. That time, which `elapsed` gives, does not count against its time-out.
    #[must_use]
    pub fn wait_for_place(&self, elapsed: impl Fn() -> Duration + Send + 'static) -> PlaceWait {
        let mut waits = self.waits();
        waits.open += 1;
        waits.since.get_or_insert_with(|| Box::new(elapsed));
        PlaceWait(self.clone())
    }

    /// The time in which the run has waited for others so far.
    pub fn waited(&self) -> Duration {
        let waits = self.waits();
        waits.over + waits.since.as_ref().map_or(Duration::ZERO, |elapsed| elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Option<TokenWake>> {
        self.0.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waits(&self) -> MutexGuard<'_, PlaceWaits> {
        self.0.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PlaceWait {
    fn drop(&mut self) {
        let mut waits = self.0.waits();
        waits.open -= 1;
        if waits.open == 0 {
            let last = waits.since.take().map_or(Duration::ZERO, |elapsed| elapsed());
            waits.over += last;
        }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(cancelled: {})", self.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
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

    #[test]
    fn the_time_of_waits_grows_as_long_as_one_is_under_way() {
        let (token, seconds) = (CancelToken::default(), Arc::new(AtomicU64::new(0)));
        let wait = |token: &CancelToken| {
            let (seconds, began) = (Arc::clone(&seconds), seconds.load(Ordering::Relaxed));
            token.wait_for_place(move || Duration::from_secs(seconds.load(Ordering::Relaxed) - began))
        };
        let (first, second) = (wait(&token), wait(&token.clone()));
        let mut waited = Vec::new();
        let mut pass = || {
            seconds.fetch_add(1, Ordering::Relaxed);
            waited.push(token.waited().as_secs());
        };
        pass();
        drop(first);
        pass();
        drop(second);
        pass();
        let third = wait(&token);
        pass();
        drop(third);
        pass();
        assert_eq!(waited, [1, 2, 2, 3, 3]);
    }
}
