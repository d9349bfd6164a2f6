//! What the scheduler knows of a request until it has its final response.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::dataflow::RequestPriority;
use crate::journal::Receipt;
use crate::step::{Digest, Fault, Request};

use super::placement::RemotePlace;
use super::timer::TimerAlarm;

/// Processes that may be lost in a row while they run a request and before any of its steps has ended.
const LOSSES_MAX: u32 = 10;

/// The requests of a dataflow that wait for a lane, and its idle lanes.
#[derive(Default)]
pub struct DataflowQueue {
    /// The idle lanes, used in turn so that each gets its share. There is one lane more than requests may be
    /// in work, for requests that are only to be answered, as cancelled ones.
    pub idle: VecDeque<usize>,
    /// Requests that only get an error response.
    pub ended: VecDeque<PendingRequest>,
    /// The others, by priority.
    pub waiting: [VecDeque<PendingRequest>; RequestPriority::ALL.len()],
}

impl DataflowQueue {
    pub fn all(&self) -> impl Iterator<Item = &PendingRequest> {
        self.ended.iter().chain(self.waiting.iter().flatten())
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut PendingRequest> {
        self.ended.iter_mut().chain(self.waiting.iter_mut().flatten())
    }
}

/// A request that has no final response yet.
pub struct PendingRequest {
    /// The key of this entry: the same request may be here twice.
    pub number: u64,
    pub dataflow: usize,
    pub receipt: Receipt,
    /// The priority under which it has its slot.
    pub priority: RequestPriority,
    /// The fault because of which it is not run; fixed once it has a lane.
    pub refused: Option<Fault>,
    /// The timely time of its epoch; 0 while it waits for a lane.
    pub began: u64,
    /// The time from its acceptance to its deadline, with the alarm for it.
    pub deadline: Option<(Duration, TimerAlarm)>,
    pub supersedes: Option<Digest>,
    /// Closed once the sink has taken the interim response.
    pub earlier: Option<Receiver<()>>,
    /// The time of its deadline.
    pub due: Option<Instant>,
    /// Whether it was cancelled after it had taken its lane.
    pub is_cancelled: bool,
    /// Its place, if another process runs it.
    pub place: Option<RemotePlace>,
    /// Processes that were lost in a row while they ran it and before any of its steps had ended.
    pub losses: u32,
    /// The runs that had ended when the last process was lost.
    pub ended_before: usize,
    /// The fault because of which it is no longer run, after such losses.
    pub gave_up: Option<Fault>,
}

impl PendingRequest {
    pub fn request(&self) -> &Arc<Request> {
        self.receipt.request()
    }

    /// Whether no step of it is to run: it only gets its error response.
    pub fn is_ended(&self) -> bool {
        self.refused.is_some()
    }

    /// Fixes the fault because of which it is no longer run, once too many processes were lost with it.
    pub fn give_up_after_losses(&mut self) {
        if self.losses >= LOSSES_MAX && self.refused.is_none() {
            self.gave_up = Some(deadly(self.losses));
        }
    }
}

fn deadly(losses: u32) -> Fault {
    Fault::new(
        format!("{losses} processes were lost while they ran this request, and no step of it finished"),
        "See in their logs why they ended. `flow retry` with the request's name runs it once more.",
    )
}
