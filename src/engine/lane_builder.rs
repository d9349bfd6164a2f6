//! The lanes of all dataflows, on one worker: those of a dataflow are built when the worker finds it new.

use std::num::NonZero;
use std::sync::Arc;

use timely::worker::Worker;

use super::lane::{LaneInput, LaneResponses, lane};
use super::running_dataflows::RunningDataflows;
use super::shared::ProcessShared;

/// Builds lanes in the order of the dataflows, which is the same on every worker.
pub struct LaneBuilder {
    dataflows: Arc<RunningDataflows>,
    /// Lanes of each dataflow.
    lanes: usize,
    /// The number of lanes built so far, for all dataflows: the index of the next one.
    built: usize,
    /// The dataflows whose lanes are built.
    pub shared: Vec<Arc<ProcessShared>>,
    /// The responses that leave the lanes.
    pub done: LaneResponses,
}

impl LaneBuilder {
    /// A builder for this many requests of a dataflow in work at once. Each has one lane more, for requests that
    /// are only to be answered, as cancelled ones.
    pub fn new(dataflows: &Arc<RunningDataflows>, lanes: NonZero<usize>) -> LaneBuilder {
        LaneBuilder {
            dataflows: Arc::clone(dataflows),
            lanes: lanes.get().saturating_add(1),
            built: 0,
            shared: Vec::new(),
            done: LaneResponses::default(),
        }
    }

    /// Builds the lanes of dataflows that are new; gives the input of each, with the place of its dataflow.
    pub fn build(&mut self, worker: &mut Worker) -> Vec<(usize, LaneInput)> {
        let mut inputs = Vec::new();
        for shared in self.dataflows.from(self.shared.len()) {
            for _ in 0..self.lanes {
                inputs.push((self.shared.len(), lane(worker, self.built, &shared, &self.done)));
                self.built += 1;
            }
            self.shared.push(shared);
        }
        inputs
    }
}
