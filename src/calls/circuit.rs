//! Circuits: a service that fails again and again is not called for a while, and then by one caller first.
//!
//! There is one for each service, whichever requests and steps call it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::step::{CallFault, Fault};

/// The failures in a row after which a service is left alone.
const FAILURES_MAX: u32 = 5;
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);

/// The circuits of all services, by host and port.
pub struct ServiceCircuits(Mutex<BTreeMap<String, ServiceCircuit>>);

#[derive(Default)]
struct ServiceCircuit {
    failures: u32,
    /// While the service is left alone: until when, and how long that was.
    rest: Option<(Instant, Duration)>,
}

impl ServiceCircuits {
    pub const fn new() -> ServiceCircuits {
        ServiceCircuits(Mutex::new(BTreeMap::new()))
    }

    /// Whether a service may be called now.
    ///
    /// # Errors
    /// A temporary fault with the time that is left, if it is left alone.
    pub fn enter(&self, service: &str, now: Instant) -> Result<(), CallFault> {
        let mut circuits = self.lock();
        let Some(circuit) = circuits.get_mut(service) else { return Ok(()) };
        let Some((until, rest)) = circuit.rest else { return Ok(()) };
        if now < until {
            let fault = Fault::transient(
                format!("{service} does not answer, and is left alone for a while"),
                "See to the service. It is tried again by itself.",
            );
            return Err(CallFault { fault, retry_after: Some(until - now) });
        }
        // One caller tries; the others stay away until it is known how that ended.
        circuit.rest = Some((now + rest, rest));
        Ok(())
    }

    /// Notes an answer.
    pub fn succeeded(&self, service: &str) {
        if let Some(circuit) = self.lock().remove(service)
            && circuit.rest.is_some()
        {
            tracing::info!(service, "the service answers again");
        }
    }

    /// Notes that there was none.
    pub fn failed(&self, service: &str, now: Instant) {
        let mut circuits = self.lock();
        let circuit = circuits.entry(service.to_owned()).or_default();
        circuit.failures += 1;
        if circuit.failures < FAILURES_MAX {
            return;
        }
        let rest = circuit.rest.map_or(REST_MIN, |(_, rest)| (2 * rest).min(REST_MAX));
        if circuit.rest.is_none_or(|(until, _)| until <= now + rest) {
            tracing::warn!(
                service,
                failures = circuit.failures,
                rest_s = rest.as_secs(),
                "the service does not answer and is left alone for a while"
            );
            circuit.rest = Some((now + rest, rest));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ServiceCircuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_down_is_left_alone_then_tried_by_one_and_called_again() {
        let (circuits, now) = (ServiceCircuits::new(), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert!(circuits.enter("a:1", now).is_ok());
            circuits.failed("a:1", now);
        }
        let left = circuits.enter("a:1", now).unwrap_err();
        assert_eq!(left.retry_after, Some(REST_MIN));
        assert!(left.fault.reason.starts_with("a:1 does not answer"));
        assert!(circuits.enter("b:1", now).is_ok(), "another service is not concerned");
        let later = now + REST_MIN;
        assert!(circuits.enter("a:1", later).is_ok(), "one tries");
        assert!(circuits.enter("a:1", later).is_err(), "the others wait");
        circuits.failed("a:1", later);
        assert!(circuits.enter("a:1", later + REST_MIN).is_err(), "the second rest is longer");
        assert!(circuits.enter("a:1", later + 2 * REST_MIN).is_ok());
        circuits.succeeded("a:1");
        assert!(circuits.enter("a:1", later).is_ok());
        circuits.failed("a:1", later);
        assert!(circuits.enter("a:1", later).is_ok(), "one failure is none");
    }
}
