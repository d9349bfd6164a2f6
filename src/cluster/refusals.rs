//! Refused connections, told in the log without repetition.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time after which the same refusal is told again, and the refusals that are kept in mind.
const REPEAT_TIME: Duration = Duration::from_secs(60);
const KEPT_MAX: usize = 256;

/// The refusals of the last minute: when each was told, by its address and reason.
#[derive(Default)]
pub struct RefusalLog(Mutex<BTreeMap<(IpAddr, String), Instant>>);

impl RefusalLog {
    /// Tells of a connection that was refused; of one that comes again for the same reason, once a minute.
    pub fn tell(&self, from: SocketAddr, why: &str) {
        match self.is_new(from.ip(), why) {
            true => tracing::warn!(%from, "refused a connection to the cluster's port: {why}"),
            false => tracing::debug!(%from, "refused a connection to the cluster's port: {why}"),
        }
    }

    fn is_new(&self, from: IpAddr, why: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| at.elapsed() < REPEAT_TIME);
        let is_new = !told.contains_key(&(from, why.to_owned())) && told.len() < KEPT_MAX;
        if is_new {
            told.insert((from, why.to_owned()), Instant::now());
        }
        is_new
    }
}
