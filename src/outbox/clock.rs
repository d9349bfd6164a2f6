//! The clock of deliveries, which a test can make run faster.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that runs at its usual speed or faster.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryClock {
    began: Instant,
    began_at: Duration,
    speed: u32,
}

impl DeliveryClock {
    pub fn usual() -> DeliveryClock {
        DeliveryClock::fast(1)
    }

    /// A clock that is this many times as fast as the real one.
    pub fn fast(speed: u32) -> DeliveryClock {
        DeliveryClock { began: Instant::now(), began_at: wall(), speed: speed.max(1) }
    }

    /// The time since the clock was made. It never goes back.
    pub fn now(&self) -> Duration {
        self.began.elapsed().saturating_mul(self.speed)
    }

    /// The wall clock: the time since the beginning of 1970, UTC.
    pub fn wall(&self) -> Duration {
        if self.speed == 1 { wall() } else { self.began_at + self.now() }
    }

    /// The real time of a wait on this clock.
    pub fn real(&self, wait: Duration) -> Duration {
        wait / self.speed
    }
}

fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
