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

/// The leave to call a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitPass {
    /// The service is not left alone.
    Usual,
    /// The caller is the one that tries a service after it was left alone for so long.
    Trial(Duration),
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
    pub fn enter(&self, service: &str, now: Instant) -> Result<CircuitPass, CallFault> {
        let mut table = self.lock();
        let rest = table.circuits.get_mut(service).and_then(|circuit| circuit.rest.as_mut());
        let Some(rest) = rest else { return Ok(CircuitPass::Usual) };
        if now < rest.until {
            let fault = Fault::transient(
                format!("{service} does not answer, and is left alone for a while: {}", rest.reason),
                "See to the service. It is tried again by itself.",
            );
            let fault = Fault { held_back: true, ..fault };
            return Err(CallFault { fault, retry_after: Some(rest.until - now) });
        }
        let pass = CircuitPass::Trial(rest.time);
        // One caller tries; the others stay away until it is known how that ended.
        rest.until = now + rest.time;
        table.note(now);
        Ok(pass)
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

    /// Notes that there was none, and why. The time of a service that is left alone grows only if the caller that tried
    /// it fails: many calls may have been under way when it went down, and their failures are one.
    pub fn failed(&self, service: &str, pass: CircuitPass, reason: &str, now: Instant) {
        let mut table = self.lock();
        let circuit = table.circuits.entry(service.to_owned()).or_default();
        circuit.failures += 1;
        if circuit.failures < FAILURES_MAX {
            return;
        }
        let time = match &circuit.rest {
            None => Some(REST_MIN),
            Some(rest) if pass == CircuitPass::Trial(rest.time) => Some((2 * rest.time).min(REST_MAX)),
            Some(_) => None,
        };
        if let Some(time) = time {
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
            let pass = circuits.enter("a:1", now).unwrap();
            circuits.failed("a:1", pass, "refused", now);
        }
        let left = circuits.enter("a:1", now).unwrap_err();
        assert_eq!((left.retry_after, left.fault.held_back), (Some(REST_MIN), true));
        assert!(left.fault.reason.starts_with("a:1 does not answer"));
        assert!(circuits.enter("b:1", now).is_ok(), "another service is not concerned");
        let later = now + REST_MIN;
        let trial = circuits.enter("a:1", later).unwrap();
        assert!(circuits.enter("a:1", later).is_err(), "one tries, and the others wait");
        circuits.failed("a:1", trial, "refused", later);
        assert!(circuits.enter("a:1", later + REST_MIN).is_err(), "the second rest is longer");
        assert!(circuits.enter("a:1", later + 2 * REST_MIN).is_ok());
        circuits.succeeded("a:1", later);
        assert!(circuits.enter("a:1", later).is_ok());
        circuits.failed("a:1", CircuitPass::Usual, "refused", later);
        assert!(circuits.enter("a:1", later).is_ok(), "one failure is none");
    }

    #[test]
    fn many_calls_that_fail_at_once_are_one_failure_of_the_service() {
        let (circuits, now) = (ServiceCircuits::new(), Instant::now());
        let passes: Vec<CircuitPass> = (0..64).map(|_| circuits.enter("a:1", now).unwrap()).collect();
        passes.into_iter().for_each(|pass| circuits.failed("a:1", pass, "refused", now));
        let later = now + REST_MIN;
        let first = circuits.enter("a:1", later).unwrap();
        // The first one takes long, so that another one tries, too.
        let second = circuits.enter("a:1", later + REST_MIN).unwrap();
        let end = later + 2 * REST_MIN;
        [first, second, CircuitPass::Usual]
            .into_iter()
            .for_each(|pass| circuits.failed("a:1", pass, "refused", end));
        let left = circuits.enter("a:1", end).unwrap_err().retry_after;
        assert_eq!(left, Some(2 * REST_MIN), "two that tried at the same time count once");
    }

    #[test]
    fn an_open_circuit_is_noted_in_the_state_folder_until_the_service_answers() {
        let state = tempfile::tempdir().unwrap();
        let (circuits, now) = (ServiceCircuits::new(), Instant::now());
        circuits.note_in(state.path(), 1);
        (1..FAILURES_MAX).for_each(|_| circuits.failed("a:1", CircuitPass::Usual, "refused", now));
        assert_eq!(open_circuits(state.path()), []);
        circuits.failed("a:1", CircuitPass::Usual, "timed out", now);
        let open = open_circuits(state.path());
        assert_eq!((open.len(), open[0].service.as_str(), open[0].reason.as_str()), (1, "a:1", "timed out"));
        assert_eq!((open[0].failures, open[0].next_ms - open[0].since_ms >= 1_000), (FAILURES_MAX, true));
        let trial = circuits.enter("a:1", now + REST_MIN).unwrap();
        circuits.failed("a:1", trial, "refused", now + REST_MIN);
        let again = open_circuits(state.path());
        assert_eq!((again[0].since_ms, again[0].next_ms > open[0].next_ms), (open[0].since_ms, true));
        circuits.succeeded("a:1", now);
        assert_eq!(open_circuits(state.path()), []);

        (0..FAILURES_MAX).for_each(|_| circuits.failed("a:1", CircuitPass::Usual, "refused", now));
        assert_eq!(open_circuits(state.path()).len(), 1);
        ServiceCircuits::new().note_in(state.path(), 0);
        assert_eq!(open_circuits(state.path()), [], "a new flow has called nobody yet");
    }
}
