//! The control of what may begin: rate limits, the bound on calls, and what is paused.

use std::path::Path;
use std::time::Duration;

use crate::dataflow::Dataflow;
use crate::step::{CallLimits, CancelToken};

use super::call_gates::CallGates;
use super::partial_text::PartialTexts;
use super::pause_board::PauseBoard;
use super::rate_limiter::RateLimiter;

/// What may begin, for all dataflows of a process.
pub struct EngineControl {
    /// What is paused.
    pub pauses: PauseBoard,
    /// The observer of text of answers that calls are still reading.
    pub partials: PartialTexts,
    rates: RateLimiter,
    gates: CallGates,
}

/// How often something that is paused is looked at again.
const PAUSE_INTERVAL: Duration = Duration::from_millis(200);

/// How often a wait looks whether the run was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(20);

/// Nothing is paused, and rate limits hold in this process alone.
impl Default for EngineControl {
    fn default() -> EngineControl {
        EngineControl {
            pauses: PauseBoard::default(),
            partials: PartialTexts::default(),
            rates: RateLimiter::new(None),
            gates: CallGates::default(),
        }
    }
}

impl EngineControl {
    /// A control whose rate limits hold for all processes with this state folder together.
    pub fn at(state: &Path) -> EngineControl {
        EngineControl { rates: RateLimiter::new(Some(state.join("rates"))), ..EngineControl::default() }
    }

    /// The wait before a run of the first of these nodes is looked at again; `None` if it may begin. The others follow
    /// on the spot. A run whose result is known takes nothing of the rate.
    pub(super) fn holds(
        &self,
        dataflow: &Dataflow,
        nodes: &[usize],
        is_known: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        if self.is_paused(dataflow, nodes) {
            return Some(PAUSE_INTERVAL);
        }
        let node = &dataflow.nodes[*nodes.first()?];
        let rate = node.rate.filter(|_| !is_known())?;
        self.rates.begin(&limit_name(&dataflow.name, &node.name), rate).err()
    }

    /// Whether a step of these nodes is paused.
    pub(super) fn is_paused(&self, dataflow: &Dataflow, nodes: &[usize]) -> bool {
        let mut steps = nodes.iter().flat_map(|node| dataflow.nodes[*node].step_names());
        self.pauses.has_any() && steps.any(|step| self.pauses.is_step_paused(&dataflow.name, step))
    }

    /// Waits until an attempt of a call may begin, or its run is cancelled. It counts as under way then.
    pub(super) fn begin_call(&self, dataflow: &str, limits: &CallLimits, token: &CancelToken) {
        let name = limit_name(dataflow, limits.step);
        limits.max.into_iter().for_each(|max| self.gates.begin(&name, max, token));
        // The step may be paused during any wait, so that it is looked at after each.
        while !token.is_cancelled() {
            let wait = match self.pauses.is_step_paused(dataflow, limits.step) {
                true => CANCEL_INTERVAL,
                false => match limits.rate.map_or(Ok(()), |rate| self.rates.begin(&name, rate)) {
                    Ok(()) => return,
                    Err(wait) => wait.min(CANCEL_INTERVAL),
                },
            };
            std::thread::sleep(wait);
        }
    }

    /// Ends an attempt of a call.
    pub(super) fn end_call(&self, dataflow: &str, limits: &CallLimits) {
        limits.max.into_iter().for_each(|_| self.gates.end(&limit_name(dataflow, limits.step)));
    }
}

/// The name of a step's limits, which is also that of a file: both names are small letters, digits and hyphens.
fn limit_name(dataflow: &str, step: &str) -> String {
    format!("{dataflow}.{step}")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use super::super::pause_board::PausablePart;
    use super::*;

    #[test]
    fn a_call_that_waits_for_others_does_not_begin_when_its_step_is_paused_meanwhile() {
        let control = EngineControl::default();
        let limits = CallLimits { step: "ask", max: Some(1), rate: None };
        control.begin_call("flow", &limits, &CancelToken::default());
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            let (control, limits) = (&control, &limits);
            scope.spawn(move || {
                tell.send("waits").unwrap();
                control.begin_call("flow", limits, &CancelToken::default());
                tell.send("began").unwrap();
            });
            let long = Duration::from_secs(20);
            assert_eq!(told.recv_timeout(long), Ok("waits"));
            // Long enough for it to look whether the step is paused.
            assert_eq!(told.recv_timeout(5 * CANCEL_INTERVAL), Err(RecvTimeoutError::Timeout));
            let paused = PausablePart::Step { dataflow: "flow".to_owned(), step: "ask".to_owned() };
            control.pauses.set([paused].into());
            control.end_call("flow", limits);
            let early = told.recv_timeout(5 * CANCEL_INTERVAL);
            control.pauses.set([].into());
            assert_eq!(early, Err(RecvTimeoutError::Timeout), "it is paused");
            assert_eq!(told.recv_timeout(long), Ok("began"));
        });
    }
}
