//! A worker of the engine. Each builds all lanes and runs them; the first one also has the scheduler.

use std::num::NonZero;
use std::sync::Arc;

use timely::worker::Worker;

use super::lane_builder::LaneBuilder;
use super::placement::RequestPlacement;
use super::running_dataflows::RunningDataflows;
use super::scheduler::{RequestScheduler, SchedulerChannels};

/// Runs a worker until no more requests come and all are answered.
pub fn work(
    worker: &mut Worker,
    lanes: NonZero<usize>,
    in_work_max: NonZero<usize>,
    dataflows: &Arc<RunningDataflows>,
    scheduler: Option<(SchedulerChannels, Option<RequestPlacement>)>,
) {
    dataflows.wake_this_thread();
    let mut builder = LaneBuilder::new(dataflows, lanes);
    if let Some((channels, placement)) = scheduler {
        RequestScheduler::new(channels, in_work_max.get(), placement, &mut builder).serve(worker);
    }
    loop {
        // Only the first worker's inputs keep the lanes open, so this one drops its own at once. Dataflows
        // that are added are built here before the lanes of the others have ended.
        drop(builder.build(worker));
        if !worker.has_dataflows() {
            return;
        }
        worker.step_or_park(None);
    }
}
