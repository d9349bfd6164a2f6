//! Patience with a service that is left alone: counted once for all calls of a step for a request.
//!
//! Otherwise the time that a request takes would grow with the number of its batches. Nothing here reads a clock: what a
//! batch has waited is added to what others had waited when it began to wait, so that waits at the same time count once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::retry::RetryRule;

/// The patience of the calls of a step. An answer of the service renews it.
#[derive(Default)]
pub(super) struct ServicePatience(Mutex<PatienceSoFar>);

/// The patience that was used so far.
#[derive(Clone, Copy, Default)]
pub(super) struct PatienceSoFar {
    /// The time that was waited since the service answered for the last time.
    pub held: Duration,
    /// Whether a batch has given up after that.
    pub has_ended: bool,
    /// The answers before.
    answers: u64,
}

impl ServicePatience {
    pub fn so_far(&self) -> PatienceSoFar {
        *self.lock()
    }

    /// Notes that the service answers.
    pub fn answered(&self) {
        let mut now = self.lock();
        *now = PatienceSoFar { answers: now.answers + 1, ..PatienceSoFar::default() };
    }

    /// Notes that a batch has waited, since it looked.
    pub fn waited(&self, before: PatienceSoFar, wait: Duration) {
        let mut now = self.lock();
        if now.answers == before.answers {
            now.held = now.held.max(before.held.saturating_add(wait));
        }
    }

    /// Notes that a batch gives up.
    pub fn gave_up(&self) {
        let mut now = self.lock();
        now.has_ended = now.held >= RetryRule::HELD_BACK_MAX;
    }

    fn lock(&self) -> MutexGuard<'_, PatienceSoFar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_at_the_same_time_count_once_and_an_answer_renews_the_patience() {
        let (patience, half) = (ServicePatience::default(), RetryRule::HELD_BACK_MAX / 2);
        let [one, other] = [patience.so_far(), patience.so_far()];
        patience.waited(one, half);
        patience.waited(other, half);
        patience.gave_up();
        assert_eq!((patience.so_far().held, patience.so_far().has_ended), (half, false));
        let late = patience.so_far();
        patience.waited(late, half);
        patience.gave_up();
        assert!(patience.so_far().has_ended);
        patience.answered();
        patience.waited(late, half);
        assert_eq!((patience.so_far().held, patience.so_far().has_ended), (Duration::ZERO, false));
    }
}
