//! Circuits: a service that fails again and again is not called for a while, and then by one caller first.
//!
//! There is one for each service, whichever requests and steps call it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::step::{CallFault, Fault};

use super::open_circuits::{CircuitFile, OpenCircuit};

/// The failures in a row after which a service is left alone.
const FAILURES_MAX: u32 = 5;
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);

/// The circuits of all services, by host and port.
pub struct ServiceCircuits(Mutex<CircuitTable>);

struct CircuitTable {
    circuits: BTreeMap<String, ServiceCircuit>,
    /// Where those that are open are noted.
    file: Option<CircuitFile>,
}

#[derive(Default)]
struct ServiceCircuit {
    failures: u32,
    rest: Option<ServiceRest>,
}

/// A service is left alone.
struct ServiceRest {
    until: Instant,
    /// How long that is.
    time: Duration,
    /// The time since which it has not answered: milliseconds of Unix time.
    since_ms: i64,
    reason: String,
}

impl ServiceCircuits {
    pub const fn new() -> ServiceCircuits {
        ServiceCircuits(Mutex::new(CircuitTable { circuits: BTreeMap::new(), file: None }))
    }

    /// Notes open circuits in the state folder from now on, as those of the process with this index.
    pub fn note_in(&self, state: &Path, process: usize) {
        self.lock().file = Some(CircuitFile::at(state, process));
    }

    /// Whether a service may be called now.
    ///
    /// # Errors
    /// A temporary fault with the time that is left, if it is left alone.
    pub fn enter(&self, service: &str, now: Instant) -> Result<(), CallFault> {
        let mut table = self.lock();
        let Some(circuit) = table.circuits.get_mut(service) else { return Ok(()) };
        let Some(rest) = &mut circuit.rest else { return Ok(()) };
        if now < rest.until {
            let fault = Fault::transient(
                format!("{service} does not answer, and is left alone for a while: {}", rest.reason),
                "See to the service. It is tried again by itself.",
            );
            return Err(CallFault { fault, retry_after: Some(rest.until - now) });
        }
        // One caller tries; the others stay away until it is known how that ended.
        rest.until = now + rest.time;
        table.note(now);
        Ok(())
    }

    /// Notes an answer.
    pub fn succeeded(&self, service: &str, now: Instant) {
        let mut table = self.lock();
        if let Some(circuit) = table.circuits.remove(service)
            && circuit.rest.is_some()
        {
            tracing::info!(service, "the service answers again");
            table.note(now);
        }
    }

    /// Notes that there was none, and why.
    pub fn failed(&self, service: &str, reason: &str, now: Instant) {
        let mut table = self.lock();
        let circuit = table.circuits.entry(service.to_owned()).or_default();
        circuit.failures += 1;
        if circuit.failures < FAILURES_MAX {
            return;
        }
        let time = circuit.rest.as_ref().map_or(REST_MIN, |rest| (2 * rest.time).min(REST_MAX));
        if circuit.rest.as_ref().is_none_or(|rest| rest.until <= now + time) {
            tracing::warn!(
                service,
                failures = circuit.failures,
                rest_s = time.as_secs(),
                reason,
                "the service does not answer and is left alone for a while"
            );
            let since_ms = circuit.rest.as_ref().map_or_else(|| now_ms(Duration::ZERO), |rest| rest.since_ms);
            circuit.rest = Some(ServiceRest { until: now + time, time, since_ms, reason: reason.to_owned() });
            table.note(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, CircuitTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CircuitTable {
    fn note(&self, now: Instant) {
        let Some(file) = &self.file else { return };
        let open = self.circuits.iter().filter_map(|(service, circuit)| {
            let rest = circuit.rest.as_ref()?;
            Some(OpenCircuit {
                service: service.clone(),
                reason: rest.reason.clone(),
                failures: circuit.failures,
                since_ms: rest.since_ms,
                next_ms: now_ms(rest.until.saturating_duration_since(now)),
            })
        });
        file.write(&open.collect::<Vec<OpenCircuit>>());
    }
}

/// The time after so much from now: milliseconds of Unix time.
fn now_ms(after: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from((now + after).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::open_circuits::open_circuits;
    use super::*;

    #[test]
    fn a_service_that_is_down_is_left_alone_then_tried_by_one_and_called_again() {
        let (circuits, now) = (ServiceCircuits::new(), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert!(circuits.enter("a:1", now).is_ok());
            circuits.failed("a:1", "refused", now);
        }
        let left = circuits.enter("a:1", now).unwrap_err();
        assert_eq!(left.retry_after, Some(REST_MIN));
        assert!(left.fault.reason.starts_with("a:1 does not answer"));
        assert!(circuits.enter("b:1", now).is_ok(), "another service is not concerned");
        let later = now + REST_MIN;
        assert!(circuits.enter("a:1", later).is_ok(), "one tries");
        assert!(circuits.enter("a:1", later).is_err(), "the others wait");
        circuits.failed("a:1", "refused", later);
        assert!(circuits.enter("a:1", later + REST_MIN).is_err(), "the second rest is longer");
        assert!(circuits.enter("a:1", later + 2 * REST_MIN).is_ok());
        circuits.succeeded("a:1", later);
        assert!(circuits.enter("a:1", later).is_ok());
        circuits.failed("a:1", "refused", later);
        assert!(circuits.enter("a:1", later).is_ok(), "one failure is none");
    }

    #[test]
    fn an_open_circuit_is_noted_in_the_state_folder_until_the_service_answers() {
        let state = tempfile::tempdir().unwrap();
        let (circuits, now) = (ServiceCircuits::new(), Instant::now());
        circuits.note_in(state.path(), 1);
        (1..FAILURES_MAX).for_each(|_| circuits.failed("a:1", "refused", now));
        assert_eq!(open_circuits(state.path()), []);
        circuits.failed("a:1", "timed out", now);
        let open = open_circuits(state.path());
        assert_eq!((open.len(), open[0].service.as_str(), open[0].reason.as_str()), (1, "a:1", "timed out"));
        assert_eq!((open[0].failures, open[0].next_ms - open[0].since_ms >= 1_000), (FAILURES_MAX, true));
        circuits.failed("a:1", "refused", now + REST_MIN);
        let again = open_circuits(state.path());
        assert_eq!((again[0].since_ms, again[0].next_ms > open[0].next_ms), (open[0].since_ms, true));
        circuits.succeeded("a:1", now);
        assert_eq!(open_circuits(state.path()), []);

        (0..FAILURES_MAX).for_each(|_| circuits.failed("a:1", "refused", now));
        assert_eq!(open_circuits(state.path()).len(), 1);
        ServiceCircuits::new().note_in(state.path(), 0);
        assert_eq!(open_circuits(state.path()), [], "a new flow has called nobody yet");
    }
}
