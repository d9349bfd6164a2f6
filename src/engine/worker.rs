//! What a worker does. All of them build the lanes and run them; the first one also has the porter.

use std::sync::Arc;

use timely::worker::Worker;

use super::lane::{Done, Inlet, lane};
use super::porter::{Doors, Porter};
use super::shared::Shared;

/// Runs a worker until no more requests come and all are answered.
pub fn work(worker: &mut Worker, lanes: usize, shared: &Arc<Shared>, doors: Option<Doors>) {
    let done = Done::default();
    let inlets: Vec<Inlet> = (0..lanes).map(|index| lane(worker, index, shared, &done)).collect();
    // A worker without doors lets go of its inlets at once: only the first one's keep the lanes open.
    if let Some(doors) = doors {
        Porter::new(inlets, doors, done, shared).serve(worker);
    } else {
        drop(inlets);
    }
    while worker.has_dataflows() {
        worker.step_or_park(None);
    }
}
