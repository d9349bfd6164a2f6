//! The time limit of a run that is repeated: as in the engine, the run has failed when its time is over.
//!
//! The step is asked to stop, and its end is waited for: a replay makes its runs one after the other.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use crate::dataflow::perform::timed_out;
use crate::step::{CancelToken, Fault};

/// How often the watch looks whether the replay was cancelled, and whether the run has waited for others.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Makes a run, which is to end within this time.
///
/// # Errors
/// The fault of the run, or that its time was over.
pub fn within<T>(
    timeout: Option<Duration>,
    cancel: &CancelToken,
    run: impl FnOnce(&CancelToken) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let Some(timeout) = timeout else { return run(cancel) };
    let (token, (ended, end)) = (CancelToken::default(), channel::<()>());
    thread::scope(|scope| {
        let look = || is_late(timeout, cancel, &token, end);
        let Ok(watch) = Builder::new().name("flow:replay-time".to_owned()).spawn_scoped(scope, look) else {
            return run(cancel);
        };
        let result = run(&token);
        drop(ended);
        match watch.join() {
            Ok(true) => Err(timed_out(timeout)),
            Ok(false) | Err(_) => result,
        }
    })
}

/// Whether a run takes longer than its time. Then, or when the replay is cancelled, it is asked to stop.
fn is_late(timeout: Duration, cancel: &CancelToken, token: &CancelToken, end: Receiver<()>) -> bool {
    let began = Instant::now();
    loop {
        let left = timeout.saturating_sub(began.elapsed().saturating_sub(token.waited()));
        if left.is_zero() || cancel.is_cancelled() {
            token.cancel();
            return left.is_zero();
        }
        if end.recv_timeout(left.min(LOOK_INTERVAL)) == Err(RecvTimeoutError::Disconnected) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::step::FaultKind;

    /// A run that ends when it is asked to.
    fn waits(token: &CancelToken) -> Result<(), Fault> {
        let (woken, wakes) = sync_channel(1);
        token.on_cancel(move || _ = woken.send(()));
        let _ = wakes.recv();
        token.check()
    }

    #[test]
    fn a_run_is_stopped_when_its_time_is_over_and_when_the_replay_is_cancelled() {
        let (long, cancel) = (Duration::from_secs(3600), CancelToken::default());
        let kind = |result: Result<(), Fault>| result.map_err(|fault| fault.kind);
        assert_eq!(kind(within(Some(long), &cancel, |_| Ok(()))), Ok(()));
        let late = within(Some(Duration::from_millis(5)), &cancel, waits);
        assert_eq!(kind(late), Err(FaultKind::TimedOut));
        cancel.cancel();
        assert_eq!(kind(within(Some(long), &cancel, waits)), Err(FaultKind::Cancelled));
    }
}
