//! The control of what may begin: rate limits, the bound on calls, and what is paused.

use std::path::Path;
use std::time::Duration;

use crate::dataflow::Dataflow;
use crate::step::{CallLimits, CancelToken, RateLimit};

use super::call_gates::CallGates;
use super::pause_board::PauseBoard;
use super::rate_limiter::RateLimiter;

/// What may begin, for all dataflows of a process.
pub struct EngineControl {
    /// What is paused.
    pub pauses: PauseBoard,
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
    /// on the spot.
    pub(super) fn holds(&self, dataflow: &Dataflow, nodes: &[usize]) -> Option<Duration> {
        if self.is_paused(dataflow, nodes) {
            return Some(PAUSE_INTERVAL);
        }
        let node = &dataflow.nodes[*nodes.first()?];
        node.rate.and_then(|rate| self.rates.begin(&limit_name(&dataflow.name, &node.name), rate).err())
    }

    /// Whether a step of these nodes is paused.
    pub(super) fn is_paused(&self, dataflow: &Dataflow, nodes: &[usize]) -> bool {
        let mut steps = nodes.iter().flat_map(|node| dataflow.nodes[*node].step_names());
        self.pauses.has_any() && steps.any(|step| self.pauses.is_step_paused(&dataflow.name, step))
    }

    /// Waits until an attempt of a call may begin, or its run is cancelled. It counts as under way then.
    pub(super) fn begin_call(&self, dataflow: &str, limits: &CallLimits, token: &CancelToken) {
        let name = limit_name(dataflow, limits.step);
        while !token.is_cancelled() && self.pauses.is_step_paused(dataflow, limits.step) {
            std::thread::sleep(CANCEL_INTERVAL);
        }
        limits.max.into_iter().for_each(|max| self.gates.begin(&name, max, token));
        limits.rate.into_iter().for_each(|rate| self.wait_for(&name, rate, token));
    }

    /// Ends an attempt of a call.
    pub(super) fn end_call(&self, dataflow: &str, limits: &CallLimits) {
        limits.max.into_iter().for_each(|_| self.gates.end(&limit_name(dataflow, limits.step)));
    }

    fn wait_for(&self, name: &str, rate: RateLimit, token: &CancelToken) {
        while let Err(wait) = self.rates.begin(name, rate) {
            let mut left = wait;
            while !left.is_zero() {
                if token.is_cancelled() {
                    return;
                }
                let part = left.min(CANCEL_INTERVAL);
                std::thread::sleep(part);
                left -= part;
            }
        }
    }
}

/// The name of a step's limits, which is also that of a file: both names are small letters, digits and hyphens.
fn limit_name(dataflow: &str, step: &str) -> String {
    format!("{dataflow}.{step}")
}
