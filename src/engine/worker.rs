//! A worker of the engine. Each builds all lanes and runs them; the first one also has the scheduler.

use std::sync::Arc;

use timely::worker::Worker;

use super::lane::{LaneInput, LaneResponses, lane};
use super::scheduler::{RequestScheduler, SchedulerChannels};
use super::shared::ProcessShared;

/// Runs a worker until no more requests come and all are answered.
pub fn work(
    worker: &mut Worker,
    lanes: usize,
    shared: &[Arc<ProcessShared>],
    channels: Option<SchedulerChannels>,
) {
    let done = LaneResponses::default();
    let mut inputs: Vec<(usize, LaneInput)> = Vec::new();
    for (dataflow, shared) in shared.iter().enumerate() {
        for _ in 0..lanes {
            inputs.push((dataflow, lane(worker, inputs.len(), shared, &done)));
        }
    }
    // A worker without channels lets go of its inputs at once: only the first one's keep the lanes open.
    if let Some(channels) = channels {
        RequestScheduler::new(inputs, channels, done, shared).serve(worker);
    } else {
        drop(inputs);
    }
    while worker.has_dataflows() {
        worker.step_or_park(None);
    }
}
