//! Retry: when a failed step runs again.

use std::time::Duration;

use crate::step::{CallFault, Fault, FaultKind};

/// The retry policy of a step: the kinds of fault, the number of runs, and the waits.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryRule {
    /// The number of runs after the first one, at most.
    pub(crate) count: u32,
    /// The wait before the first of these runs.
    pub(crate) first_delay: Duration,
    /// The factor by which each further wait grows.
    pub(crate) factor: f64,
    /// The longest wait.
    pub(crate) cap: Duration,
    /// The kinds of fault that are worth another run.
    pub(crate) on: Vec<FaultKind>,
}

impl RetryRule {
    pub(super) const COUNT_MAX: u32 = 100;
    pub(super) const FACTOR_MAX: f64 = 100.0;
    /// The kinds that a file can name. A cancelled run is not wanted any more, and a fault in the data would
    /// occur again.
    pub(super) const KINDS: [FaultKind; 4] =
        [FaultKind::Transient, FaultKind::TimedOut, FaultKind::Broken, FaultKind::Storage];

    /// The policy of a step that makes calls, if the file does not give one.
    pub(super) fn of_calls() -> RetryRule {
        RetryRule { count: 3, ..RetryRule::default() }
    }

    /// The longest time for which runs that called nobody do not count, as the service is left alone.
    pub(super) const HELD_BACK_MAX: Duration = Duration::from_secs(120);

    /// The runs that count, of `runs` in all with the one that ended in this fault. `held` is the time that was waited
    /// after runs that did not count.
    pub fn counted(&self, fault: &Fault, runs: u32, held: Duration) -> u32 {
        runs - u32::from(fault.held_back && held < RetryRule::HELD_BACK_MAX)
    }

    /// The wait before the next run, as [`RetryRule::delay`] has it, and as long as a service asks for. `None` if it asks
    /// for too long a wait.
    pub fn delay_after(&self, fault: &Fault, runs: u32, asked: Option<Duration>) -> Option<Duration> {
        let asked = asked.unwrap_or_default();
        let delay = self.delay(fault, runs.max(1)).filter(|_| asked <= CallFault::RETRY_AFTER_MAX)?;
        Some(delay.max(asked))
    }

    /// The wait before the next run, after a fault and `runs` runs in all; `None` if there is no next run.
    pub fn delay(&self, fault: &Fault, runs: u32) -> Option<Duration> {
        let again = self.on.contains(&fault.kind) && runs <= self.count;
        again.then(|| {
            let grown = self.factor.powf(f64::from(runs) - 1.0) * self.first_delay.as_secs_f64();
            Duration::try_from_secs_f64(grown).unwrap_or(self.cap).min(self.cap)
        })
    }
}

impl Default for RetryRule {
    /// The values that a file need not give.
    fn default() -> RetryRule {
        RetryRule {
            count: 0,
            first_delay: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(60),
            on: vec![FaultKind::Transient, FaultKind::TimedOut],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_a_service_asks_for_is_obeyed_up_to_an_hour() {
        let rule = RetryRule { count: 2, ..RetryRule::default() };
        let busy = Fault::transient("busy", "Wait.");
        let asked = |seconds| rule.delay_after(&busy, 1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(0), Some(Duration::from_secs(1)));
        assert_eq!(asked(3_600), Some(Duration::from_secs(3_600)));
        assert_eq!([asked(3_601), asked(99_999_999_999), asked(u64::MAX)], [None; 3]);
        let long = CallFault::busy(busy, Some(Duration::from_secs(99_999_999_999)));
        assert!(long.fault.reason.contains("a wait of 99999999999 s"), "{}", long.fault);
    }

    #[test]
    fn a_run_that_called_nobody_does_not_count_for_a_while() {
        let rule = RetryRule { count: 1, ..RetryRule::default() };
        let left_alone = Fault { held_back: true, ..Fault::transient("left alone", "Wait.") };
        assert_eq!(rule.counted(&left_alone, 2, Duration::ZERO), 1);
        assert_eq!(rule.counted(&left_alone, 2, RetryRule::HELD_BACK_MAX), 2);
        assert_eq!(rule.counted(&Fault::transient("busy", "Wait."), 2, Duration::ZERO), 2);
        assert!(rule.delay_after(&left_alone, 0, None).is_some());
    }

    #[test]
    fn waits_grow_up_to_the_cap_and_come_to_an_end() {
        let retry = RetryRule { count: 5, cap: Duration::from_secs(5), ..RetryRule::default() };
        let busy = Fault::transient("busy", "Wait.");
        let waits: Vec<Option<u64>> =
            (1..=6).map(|runs| retry.delay(&busy, runs).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(5), Some(5), None]);
        assert_eq!(retry.delay(&Fault::new("wrong data", ""), 1), None);
        let fast = RetryRule { count: 100, factor: 100.0, ..RetryRule::default() };
        assert_eq!(fast.delay(&busy, 100), Some(fast.cap));
    }
}
