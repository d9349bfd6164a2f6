//! Limits on clients: connections, and messages a second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The connections, or the sessions, that are open.
pub struct ConnectionCounts {
    /// The name of what is counted, for the log.
    kind: &'static str,
    counts: Mutex<OpenConnections>,
    max: usize,
    per_address_max: usize,
}

#[derive(Default)]
struct OpenConnections {
    all: usize,
    /// When the log last said that there are too many.
    told: Option<Instant>,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection that counts until this is dropped.
pub struct ConnectionPlace {
    counts: Arc<ConnectionCounts>,
    address: IpAddr,
}

/// The time between two lines in the log about too many.
const TELL_APART: Duration = Duration::from_secs(60);

impl ConnectionCounts {
    pub fn new(kind: &'static str, max: usize, per_address_max: usize) -> ConnectionCounts {
        ConnectionCounts { kind, counts: Mutex::default(), max, per_address_max }
    }

    /// Counts a connection from an address; `None` if there are too many.
    pub fn open(self: &Arc<ConnectionCounts>, address: IpAddr) -> Option<ConnectionPlace> {
        let mut counts = self.lock();
        let of_address = counts.by_address.get(&address).copied().unwrap_or(0);
        if counts.all >= self.max || of_address >= self.per_address_max {
            if counts.told.is_none_or(|told| told.elapsed() >= TELL_APART) {
                counts.told = Some(Instant::now());
                let (kind, all) = (self.kind, counts.all);
                tracing::warn!(%address, all, of_address, "there are too many {kind}; further ones are refused");
            }
            return None;
        }
        counts.all += 1;
        counts.by_address.insert(address, of_address + 1);
        Some(ConnectionPlace { counts: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.all -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// The messages that a device may send: so many a second, and twice as many in a burst.
#[derive(Clone, Copy, Debug)]
pub struct MessageRate {
    per_s: f64,
    left: f64,
    since: Instant,
    /// The messages that were too many, less by those that might have been sent since.
    refused: f64,
}

/// The verdict on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateVerdict {
    Fits,
    TooMany,
    /// The device goes on after hundreds of refusals: its connection is closed.
    Flood,
}

const REFUSED_MAX: f64 = 500.0;

impl MessageRate {
    pub fn new(per_s: usize, now: Instant) -> MessageRate {
        let per_s = f64::from(u32::try_from(per_s).unwrap_or(u32::MAX));
        MessageRate { per_s, left: 2.0 * per_s, since: now, refused: 0.0 }
    }

    /// Counts a message.
    pub fn count(&mut self, now: Instant) -> RateVerdict {
        let passed_s = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = now;
        self.left = (self.left + passed_s * self.per_s).min(2.0 * self.per_s);
        // One that fits now and then is none that keeps to the rate.
        self.refused = (self.refused - passed_s * self.per_s).max(0.0);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return RateVerdict::Fits;
        }
        self.refused += 1.0;
        if self.refused > REFUSED_MAX { RateVerdict::Flood } else { RateVerdict::TooMany }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_by_address() {
        let counts = Arc::new(ConnectionCounts::new("connections", 3, 2));
        let open = |last: u8| counts.open(IpAddr::from([10, 0, 0, last]));
        let first = open(1);
        let places = [open(1), open(2)];
        assert!(places.iter().all(Option::is_some));
        assert!(open(1).is_none() && open(2).is_none(), "two of an address, three in all");
        drop(first);
        assert!(open(1).is_some());
        drop(places);
        assert!(counts.lock().by_address.is_empty());
    }

    #[test]
    fn a_burst_is_followed_by_so_many_a_second_and_a_flood_is_known() {
        let begin = Instant::now();
        let mut rate = MessageRate::new(10, begin);
        let fits = |rate: &mut MessageRate, now: Instant| {
            (0..100).filter(|_| rate.count(now) == RateVerdict::Fits).count()
        };
        assert_eq!(fits(&mut rate, begin), 20);
        assert_eq!(fits(&mut rate, begin + Duration::from_secs(1)), 10);
        assert!((0..=500).any(|_| rate.count(begin) == RateVerdict::Flood));
        assert_eq!(fits(&mut rate, begin + Duration::from_secs(60)), 20);
    }

    #[test]
    fn a_flood_is_known_also_where_some_fit() {
        let begin = Instant::now();
        let verdicts = |per_s: u32, seconds: u32| {
            let mut rate = MessageRate::new(20, begin);
            let at = move |number: u32| begin + Duration::from_secs(1) * number / per_s;
            (0..per_s * seconds).map(|number| rate.count(at(number))).collect::<Vec<RateVerdict>>()
        };
        assert!(verdicts(500, 2).contains(&RateVerdict::Flood));
        let somewhat = verdicts(30, 600);
        assert!(somewhat.contains(&RateVerdict::TooMany) && !somewhat.contains(&RateVerdict::Flood));
    }
}
