//! A rate that all processes on one folder keep together: the time of the next start is in a locked file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;

use crate::step::CancelToken;

/// A rate in starts a minute.
pub struct SharedPace {
    file: PathBuf,
    interval: Duration,
}

/// No wait is longer than the one of so many starts, and this time: a clock that has jumped back does not stop the work.
const STARTS_MAX: u32 = 1_024;
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A year: less often is never.
const INTERVAL_MAX_S: f64 = 31_557_600.0;

const LOOK: Duration = Duration::from_millis(50);

impl SharedPace {
    /// The rate of the processes on a folder; 0 for none.
    pub fn of(folder: impl AsRef<Path>, per_minute: f64) -> SharedPace {
        let interval = if per_minute > 0.0 { (60.0 / per_minute).min(INTERVAL_MAX_S) } else { 0.0 };
        SharedPace { file: folder.as_ref().join(".pace"), interval: Duration::from_secs_f64(interval) }
    }

    /// Waits for the next start.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn wait(&self, token: &CancelToken) -> io::Result<()> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let mut left = self.place()?;
        while !left.is_zero() && !token.is_cancelled() {
            let part = left.min(LOOK);
            std::thread::sleep(part);
            left -= part;
        }
        Ok(())
    }

    /// Takes the next start, and gives the time until then.
    fn place(&self) -> io::Result<Duration> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.file)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let next = read(&file)?.clamp(now, now + WAIT_MAX + self.interval * STARTS_MAX);
        let after = next + self.interval;
        (&file).seek(SeekFrom::Start(0))?;
        write!(&file, "{:020}", after.as_millis())?;
        Ok(next - now)
    }
}

fn read(mut file: &File) -> io::Result<Duration> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Duration::from_millis(text.trim().parse().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_of_two_processes_are_an_interval_apart_and_a_jump_back_does_not_stop_them() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (SharedPace::of(folder.path(), 60.0), SharedPace::of(folder.path(), 60.0));
        assert!(one.place().unwrap().is_zero());
        let second = other.place().unwrap();
        assert!(second > Duration::from_millis(900) && second <= Duration::from_secs(1), "{second:?}");
        std::fs::write(folder.path().join(".pace"), format!("{:020}", u64::MAX / 2)).unwrap();
        assert!(one.place().unwrap() <= WAIT_MAX + Duration::from_secs(1) * STARTS_MAX);
        let folder = tempfile::tempdir().unwrap();
        let slow = SharedPace::of(folder.path(), 0.1);
        let waits = [(); 3].map(|()| slow.place().unwrap().as_secs_f64().round());
        assert_eq!(waits, [0.0, 600.0, 1_200.0]);
    }
}
