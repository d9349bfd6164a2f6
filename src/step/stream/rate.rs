//! Rates: how often something may begin.

use std::fmt;
use std::time::Duration;

/// A limit on how often runs or calls begin, spread evenly: `10/s` is one every 100 ms.
///
/// ```
/// use std::time::Duration;
/// use flow::step::RateLimit;
///
/// let rate = RateLimit::parse("600/min").unwrap();
/// assert_eq!((rate.interval(), rate.to_string()), (Duration::from_millis(100), "600/min".to_owned()));
/// assert!(RateLimit::parse("10").is_none() && RateLimit::parse("0/s").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    count: u32,
    unit: &'static str,
    period: Duration,
}

/// The periods that a rate can have.
const PERIODS: [(&str, Duration); 3] =
    [("s", Duration::from_secs(1)), ("min", Duration::from_secs(60)), ("h", Duration::from_secs(60 * 60))];

impl RateLimit {
    /// The largest number of beginnings in a period.
    pub const COUNT_MAX: u32 = 1_000_000;

    /// The rate that a text names: a number, a slash, and `s`, `min` or `h`.
    pub fn parse(text: &str) -> Option<RateLimit> {
        let (count, unit) = text.split_once('/')?;
        let count = count.trim().parse().ok().filter(|count| (1..=RateLimit::COUNT_MAX).contains(count))?;
        let (unit, period) = PERIODS.into_iter().find(|(name, _)| *name == unit.trim())?;
        Some(RateLimit { count, unit, period })
    }

    /// The time between two beginnings.
    pub fn interval(self) -> Duration {
        self.period / self.count
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}
