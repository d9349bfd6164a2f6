//! When a step that failed is run once more.

use std::time::Duration;

use crate::step::{Fault, FaultKind};

/// `retry` of a step: which faults are worth another run, how many, and how long before each.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// How often the step is run again at most, after its first run.
    pub(crate) count: u32,
    /// The wait before the first of them.
    pub(crate) first_delay: Duration,
    /// How many times as long each further wait is.
    pub(crate) factor: f64,
    /// No wait is longer.
    pub(crate) cap: Duration,
    pub(crate) on: Vec<FaultKind>,
}

impl Retry {
    pub(super) const COUNT_MAX: u32 = 100;
    pub(super) const FACTOR_MAX: f64 = 100.0;
    /// Those that a file may name. What is cancelled is not wanted, and the same data are at fault
    /// again.
    pub(super) const KINDS: [FaultKind; 4] =
        [FaultKind::Transient, FaultKind::TimedOut, FaultKind::Broken, FaultKind::Storage];

    /// How long to wait before the next run, after a fault and so many runs in all; `None` if that
    /// was the last one.
    pub fn delay(&self, fault: &Fault, runs: u32) -> Option<Duration> {
        let again = self.on.contains(&fault.kind) && runs <= self.count;
        again.then(|| {
            let grown = self.factor.powf(f64::from(runs) - 1.0) * self.first_delay.as_secs_f64();
            Duration::try_from_secs_f64(grown).unwrap_or(self.cap).min(self.cap)
        })
    }
}

impl Default for Retry {
    /// What a file that gives the count alone means.
    fn default() -> Retry {
        Retry {
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
        let retry = Retry { count: 5, cap: Duration::from_secs(5), ..Retry::default() };
        let busy = Fault::transient("busy", "Wait.");
        let waits: Vec<Option<u64>> =
            (1..=6).map(|runs| retry.delay(&busy, runs).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(5), Some(5), None]);
        assert_eq!(retry.delay(&Fault::new("wrong data", ""), 1), None);
        let fast = Retry { count: 100, factor: 100.0, ..Retry::default() };
        assert_eq!(fast.delay(&busy, 100), Some(fast.cap));
    }
}
