//! Retry: when a failed step runs again.

use std::time::Duration;

use crate::step::{Fault, FaultKind};

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
