//! The time as deliveries have it, so that a test can make hours pass in a moment.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time that passes, as usual or faster.
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

    /// A clock on which so many seconds pass in one.
    pub fn fast(speed: u32) -> DeliveryClock {
        DeliveryClock { began: Instant::now(), began_at: wall(), speed: speed.max(1) }
    }

    /// Since the clock was made. It never goes back.
    pub fn now(&self) -> Duration {
        self.began.elapsed().saturating_mul(self.speed)
    }

    /// As the clock on the wall has it: since the beginning of 1970, UTC.
    pub fn wall(&self) -> Duration {
        if self.speed == 1 { wall() } else { self.began_at + self.now() }
    }

    /// How long a wait really takes.
    pub fn real(&self, wait: Duration) -> Duration {
        wait / self.speed
    }
}

fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
