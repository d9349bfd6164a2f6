//! The retry policy of a destination.

use std::num::NonZero;
use std::time::Duration;

use super::DeliveryWindow;
use super::window::opens_in;

/// The retry policy of a destination.
#[derive(Clone, Debug)]
pub struct DeliveryPolicy {
    /// The delays before the first further attempts, for troubles of a moment. These attempts are made also
    /// while flow is stopping.
    pub quick: Vec<Duration>,
    /// The delay after these, while flow runs.
    pub first_delay: Duration,
    /// The factor by which each further delay is longer.
    pub factor: f64,
    /// The longest delay.
    pub cap: Duration,
    /// The time after the first attempt at which a response is given up; zero: after the quick attempts.
    pub give_up_after: Duration,
    /// The times at which the destination may be sent to; none: always.
    pub windows: Vec<DeliveryWindow>,
    /// The minutes by which the local time of the windows is ahead of UTC.
    pub utc_offset_min: i32,
    /// The most responses that are sent there at the same time.
    pub associations_max: NonZero<usize>,
}

/// The next step after an attempt that did not complete a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    Quick(Duration),
    Patient(Duration),
    GiveUp,
}

impl Default for DeliveryPolicy {
    fn default() -> DeliveryPolicy {
        DeliveryPolicy {
            quick: [1, 5, 15].map(Duration::from_secs).into(),
            first_delay: Duration::from_secs(60),
            factor: 2.0,
            cap: Duration::from_secs(15 * 60),
            give_up_after: Duration::from_secs(12 * 60 * 60),
            windows: Vec::new(),
            utc_offset_min: 0,
            associations_max: NonZero::<usize>::MIN,
        }
    }
}

impl DeliveryPolicy {
    /// The next step after `fruitless` attempts in a row without progress, `waited` since the first attempt.
    pub fn next(&self, fruitless: usize, waited: Duration) -> NextAttempt {
        let last = fruitless.saturating_sub(1);
        if let Some(wait) = self.quick.get(last) {
            return NextAttempt::Quick(*wait);
        }
        let delay = self.delay(last - self.quick.len());
        if waited.saturating_add(delay) > self.give_up_after {
            NextAttempt::GiveUp
        } else {
            NextAttempt::Patient(delay)
        }
    }

    /// The time until the destination may be sent to.
    pub fn opens_in(&self, wall: Duration) -> Duration {
        opens_in(&self.windows, wall, self.utc_offset_min)
    }

    fn delay(&self, before: usize) -> Duration {
        let times = self.factor.powi(i32::try_from(before).unwrap_or(i32::MAX));
        let delay = Duration::try_from_secs_f64(self.first_delay.as_secs_f64() * times);
        // A delay that overflows is longer than the cap.
        delay.map_or(self.cap, |delay| delay.min(self.cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn quick_tries_come_first_then_longer_and_longer_waits_then_it_is_given_up() {
        let policy = DeliveryPolicy { quick: vec![minutes(0), minutes(1)], ..DeliveryPolicy::default() };
        let next: Vec<NextAttempt> = (1..8).map(|tries| policy.next(tries, minutes(0))).collect();
        let patient = [1, 2, 4, 8, 15].map(|wait| NextAttempt::Patient(minutes(wait)));
        assert_eq!(next[..2], [NextAttempt::Quick(minutes(0)), NextAttempt::Quick(minutes(1))]);
        assert_eq!(next[2..], patient);
        assert_eq!(policy.next(usize::MAX, minutes(60)), NextAttempt::Patient(minutes(15)));
        assert_eq!(policy.next(9, minutes(12 * 60 - 15)), NextAttempt::Patient(minutes(15)));
        assert_eq!(policy.next(9, minutes(12 * 60 - 14)), NextAttempt::GiveUp);
        assert_eq!(policy.next(1, minutes(1000)), NextAttempt::Quick(minutes(0)), "these are always taken");
    }

    #[test]
    fn without_patience_there_are_the_quick_tries_only() {
        let policy =
            DeliveryPolicy { quick: Vec::new(), give_up_after: Duration::ZERO, ..DeliveryPolicy::default() };
        assert_eq!(policy.next(1, Duration::ZERO), NextAttempt::GiveUp);
    }
}
