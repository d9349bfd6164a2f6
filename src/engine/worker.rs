//! What a worker does. All of them build the lanes and run them; the first one also has the porter.

use std::sync::Arc;

use timely::worker::Worker;

use super::lane::{LaneInput, LaneResponses, lane};
use super::scheduler::{RequestScheduler, SchedulerChannels};
use super::shared::Shared;

/// Runs a worker until no more requests come and all are answered.
pub fn work(worker: &mut Worker, lanes: usize, shared: &Arc<Shared>, channels: Option<SchedulerChannels>) {
    let done = LaneResponses::default();
    let inputs: Vec<LaneInput> = (0..lanes).map(|index| lane(worker, index, shared, &done)).collect();
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
