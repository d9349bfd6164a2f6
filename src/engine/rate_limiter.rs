//! Rate limits: when something may begin again.
//!
//! Beginnings are spread evenly. The time of the next one stands in a small file that processes lock, so that those
//! which share a folder share the limit, and a restart changes nothing. Their clocks have to agree.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::step::RateLimit;

/// The time in ns that a late beginning is caught up: waiting threads wake some milliseconds late, and the rate would
/// never be reached otherwise.
const CATCH_UP_NS: u64 = 50_000_000;

/// The limits of one process, by name.
pub struct RateLimiter {
    /// The folder of the files; without it the limits hold in this process alone.
    folder: Option<PathBuf>,
    limits: Mutex<BTreeMap<String, NextBeginning>>,
}

/// When the next beginning may be: nanoseconds of Unix time, in memory or in a file.
enum NextBeginning {
    Here(u64),
    There(File),
}

impl RateLimiter {
    pub fn new(folder: Option<PathBuf>) -> RateLimiter {
        RateLimiter { folder, limits: Mutex::default() }
    }

    /// Begins something now.
    ///
    /// # Errors
    /// The wait before it may be tried again, if that is too early.
    pub fn begin(&self, name: &str, rate: RateLimit) -> Result<(), Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.begin_at(name, rate, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    fn begin_at(&self, name: &str, rate: RateLimit, now_ns: u64) -> Result<(), Duration> {
        let interval_ns = u64::try_from(rate.interval().as_nanos()).unwrap_or(u64::MAX);
        let mut limits = self.lock();
        let next = match limits.get_mut(name) {
            Some(next) => next,
            None => limits.entry(name.to_owned()).or_insert(self.opened(name)),
        };
        let begun = match next {
            NextBeginning::Here(next_ns) => {
                after(*next_ns, now_ns, interval_ns).map(|following| *next_ns = following)
            }
            NextBeginning::There(file) => match begin_in(file, now_ns, interval_ns) {
                Ok(begun) => begun,
                Err(error) => {
                    warn(name, &error);
                    *next = NextBeginning::Here(now_ns.saturating_add(interval_ns));
                    Ok(())
                }
            },
        };
        begun.map_err(Duration::from_nanos)
    }

    fn opened(&self, name: &str) -> NextBeginning {
        let Some(folder) = &self.folder else { return NextBeginning::Here(0) };
        match open(folder, name) {
            Ok(file) => NextBeginning::There(file),
            Err(error) => {
                warn(name, &error);
                NextBeginning::Here(0)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, NextBeginning>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(name: &str, error: &io::Error) {
    tracing::warn!(limit = name, %error, "a rate limit holds in this process alone: its file cannot be used");
}

fn open(folder: &Path, name: &str) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    File::options().read(true).write(true).create(true).truncate(false).open(folder.join(name))
}

/// Begins something by the time in a file. The lock ends with the process at the latest.
fn begin_in(file: &File, now_ns: u64, interval_ns: u64) -> io::Result<Result<(), u64>> {
    file.lock()?;
    let begun = read(file).and_then(|next_ns| match after(next_ns, now_ns, interval_ns) {
        Ok(following) => file.write_all_at(&following.to_le_bytes(), 0).map(Ok),
        Err(wait_ns) => Ok(Err(wait_ns)),
    });
    file.unlock()?;
    begun
}

/// The time in the file; an empty one says that nothing has begun yet.
fn read(file: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(if length == bytes.len() { u64::from_le_bytes(bytes) } else { 0 })
}

/// The time of the beginning after one now, or the wait until it may be. After a clock was set back, no wait is longer
/// than an interval.
fn after(next_ns: u64, now_ns: u64, interval_ns: u64) -> Result<u64, u64> {
    let next_ns = next_ns.min(now_ns.saturating_add(interval_ns));
    if next_ns > now_ns {
        return Err(next_ns - now_ns);
    }
    Ok(next_ns.max(now_ns.saturating_sub(CATCH_UP_NS)).saturating_add(interval_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn wait_ms(begun: Result<(), Duration>) -> Option<u128> {
        begun.err().map(|wait| wait.as_millis())
    }

    #[test]
    fn beginnings_are_spread_evenly_and_late_ones_are_caught_up() {
        let (limiter, rate) = (RateLimiter::new(None), RateLimit::parse("10/s").unwrap());
        let begin = |ms: u64| wait_ms(limiter.begin_at("a", rate, (1_000_000 + ms) * MS));
        assert_eq!(begin(0), None, "the first one begins at once");
        assert_eq!(begin(20), Some(30), "50 ms are caught up after a long time without any");
        assert_eq!(begin(70), None, "20 ms late");
        assert_eq!((begin(149), begin(150)), (Some(1), None));
        assert_eq!(wait_ms(limiter.begin_at("b", rate, 0)), None, "another limit is not concerned");
        assert_eq!(begin(5_000), None);
        assert_eq!(begin(5_001), Some(49), "what was not used is lost");
        assert_eq!(wait_ms(limiter.begin_at("a", rate, 10 * MS)), Some(100), "the clock was set back");
    }

    #[test]
    fn processes_that_share_a_folder_share_the_limit_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let process = || RateLimiter::new(Some(folder.path().join("rates")));
        let (one, other, rate) = (process(), process(), RateLimit::parse("1/min").unwrap());
        let start = 3_600_000 * MS;
        assert_eq!(wait_ms(one.begin_at("flow.step", rate, start)), None);
        assert_eq!(wait_ms(other.begin_at("flow.step", rate, start)), Some(59_950));
        drop((one, other));
        assert_eq!(wait_ms(process().begin_at("flow.step", rate, start + 30_000 * MS)), Some(29_950));
        assert_eq!(wait_ms(process().begin_at("flow.step", rate, start + 59_950 * MS)), None);
    }

    #[test]
    fn a_folder_that_cannot_be_used_leaves_a_limit_of_the_process() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (limiter, rate) =
            (RateLimiter::new(Some(file.path().join("rates"))), RateLimit::parse("1/s").unwrap());
        assert_eq!(wait_ms(limiter.begin_at("a", rate, 1_000 * MS)), None);
        assert_eq!(wait_ms(limiter.begin_at("a", rate, 1_100 * MS)), Some(850));
    }
}
