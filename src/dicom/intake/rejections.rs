//! The log of rejected connections: the first ones are logged, the others are counted and logged as a sum. A
//! peer that connects a thousand times a second must not fill the disk with the log.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The number of rejections that are logged one by one in a period.
const TOLD_MAX: usize = 10;
const PERIOD: Duration = Duration::from_secs(10);

/// The most addresses that are counted; beyond it the log says "at least".
const ADDRESSES_MAX: usize = 1000;

#[derive(Default)]
pub struct RejectionLog(Mutex<RejectionPeriod>);

#[derive(Default)]
struct RejectionPeriod {
    began: Option<Instant>,
    told: usize,
    counted: u64,
    addresses: BTreeSet<IpAddr>,
}

impl RejectionLog {
    /// Whether a rejection is to be logged; otherwise it is counted.
    pub fn is_told(&self, address: IpAddr) -> bool {
        let mut period = self.lock();
        period.began.get_or_insert_with(Instant::now);
        if period.told < TOLD_MAX {
            period.told += 1;
            return true;
        }
        period.counted += 1;
        if period.addresses.len() < ADDRESSES_MAX {
            period.addresses.insert(address);
        }
        false
    }

    /// The text about the rejections that were counted in a period that has ended.
    pub fn sum(&self) -> Option<String> {
        let mut period = self.lock();
        let is_over = period.began.is_some_and(|began| began.elapsed() >= PERIOD);
        if is_over { std::mem::take(&mut *period).sum() } else { None }
    }

    /// The text about the rejections counted in the present period, when the receiver stops.
    pub fn last_sum(&self) -> Option<String> {
        std::mem::take(&mut *self.lock()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, RejectionPeriod> {
        self.0.lock().expect("nothing panics while it counts")
    }
}

impl RejectionPeriod {
    fn sum(self) -> Option<String> {
        let seconds = self.began?.elapsed().as_secs().max(1);
        let (counted, addresses) = (self.counted, self.addresses.len());
        let more = if addresses == ADDRESSES_MAX { " or more" } else { "" };
        let places = if addresses == 1 { "address" } else { "addresses" };
        (counted > 0).then(|| {
            format!("{counted} more connections from {addresses}{more} {places} rejected within {seconds} s")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_told_and_the_others_summed_up() {
        let log = RejectionLog::default();
        let told = (0..1000u32).filter(|number| log.is_told(IpAddr::from([10, 0, 0, (number % 7) as u8])));
        assert_eq!(told.count(), TOLD_MAX);
        assert_eq!(log.sum(), None, "the period is not over");
        assert_eq!(log.last_sum().unwrap(), "990 more connections from 7 addresses rejected within 1 s");
        assert_eq!(log.last_sum(), None);
    }
}
