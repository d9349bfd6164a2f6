//! A request that the scheduler has, until its final response leaves its lane.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::dataflow::RequestPriority;
use crate::journal::Receipt;
use crate::step::{Digest, Fault, Request};

use super::epoch::{EpochBegin, LaneOrder};
use super::job::RunEnvironment;
use super::lane::LaneInput;
use super::losses::{LOSSES_MAX, deadly};
use super::placement::{PlacedRequest, RemotePlace, RequestPlacement};
use super::timer::TimerAlarm;

/// A request that has no final response yet.
pub struct PendingRequest {
    /// The key of this entry: the same request may be here twice.
    pub number: u64,
    pub dataflow: usize,
    pub receipt: Receipt,
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
    /// The place of the request, if another process runs it.
    pub place: Option<RemotePlace>,
    /// The bytes of memory that it takes at its place.
    pub memory: u64,
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
}

/// Gives a request to another process, if that is the place for it. One of whose steps some say `on` runs here: this
/// process gives those steps away.
pub fn remote_place(
    placement: &mut RequestPlacement,
    work: &RunEnvironment,
    pending: &mut PendingRequest,
) -> Option<RemotePlace> {
    if pending.losses >= LOSSES_MAX && pending.refused.is_none() {
        pending.gave_up = Some(deadly(pending.losses));
    }
    let has_labels = !work.dataflow.labels().is_empty();
    let number =
        pending.receipt.number().filter(|_| !pending.is_ended() && pending.gave_up.is_none() && !has_labels);
    pending.memory = if pending.is_ended() { 0 } else { work.dataflow.memory.estimate(pending.request()) };
    let Some(number) = number else {
        placement.place_here(pending.memory);
        return None;
    };
    // After the delivery of the interim response no deadline is left.
    let due = pending.due.filter(|_| pending.earlier.is_none());
    let deadline = due.map(|due| due.saturating_duration_since(Instant::now()));
    let (request, priority) = (pending.request(), pending.priority);
    let place = placement
        .place(work, PlacedRequest { number, request, priority, deadline, memory: pending.memory })?;
    if pending.is_cancelled {
        placement.cancel(&place);
    }
    Some(place)
}

/// Begins a request in its lane. One that another process has run before may be cancelled or overdue.
pub fn begin_here(input: &mut LaneInput, pending: &mut PendingRequest) {
    pending.began = *input.time();
    let refused = pending.refused.clone().or_else(|| pending.gave_up.clone());
    order(input, LaneOrder::Begin(EpochBegin { request: Arc::clone(pending.request()), refused }));
    if pending.is_cancelled {
        order(input, LaneOrder::Cancel);
    }
    let is_overdue = pending.due.is_some_and(|due| due <= Instant::now()) && pending.earlier.is_none();
    if let Some((after, _)) = pending.deadline.as_ref().filter(|_| pending.losses > 0 && is_overdue) {
        order(input, LaneOrder::Overdue(*after));
    }
}

/// Sends an order at a time of its own. The input passes it on only when it advances.
pub fn order(input: &mut LaneInput, order: LaneOrder) {
    input.send_batch(&mut vec![order]);
    input.advance_to(input.time() + 1);
}
