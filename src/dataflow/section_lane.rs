//! The calls of one step: items become batches, batches are asked about, and answers go on in the order of the items.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::step::{
    BatchPlaces, BatchSize, CallAnswers, CancelToken, ItemBatch, ItemOrdinal, ItemTally, Value,
};

use super::perform::broken;
use super::section_calls::{CallItems, CallWork};
use super::section_pool::{CallPool, PendingCall};

/// The calls of one step in one round.
pub(super) struct CallLane {
    work: Arc<CallWork>,
    size: BatchSize,
    /// The items of the next batch.
    places: Vec<ItemOrdinal>,
    items: Vec<Value>,
    /// Their bytes in memory, as far as they are known.
    bytes: usize,
    /// The calls, in the order of their items.
    calls: VecDeque<LaneCall>,
    pool: Option<Arc<CallPool>>,
}

enum LaneCall {
    /// To be made when its answers are wanted.
    Planned(CallItems),
    /// Handed over to the pool.
    UnderWay(PendingCall),
}

/// How often a wait for answers looks whether the run was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(20);

impl CallLane {
    pub fn new(work: CallWork, size: BatchSize) -> CallLane {
        CallLane {
            work: Arc::new(work),
            size,
            places: Vec::new(),
            items: Vec::new(),
            bytes: 0,
            calls: VecDeque::new(),
            pool: None,
        }
    }

    /// Has the calls made by a pool. Without one, each is made where its answers are taken.
    pub fn call_on(&mut self, pool: Arc<CallPool>) {
        self.pool = Some(pool);
    }

    pub fn take(&mut self, batch: ItemBatch) {
        let bytes = batch.bytes_each();
        let (places, items) = batch.into_values();
        for (index, (item, bytes)) in items.into_iter().zip(bytes).enumerate() {
            self.places.push(places.get(index));
            self.items.push(item);
            self.bytes += bytes;
            if self.items.len() >= self.size.items || self.bytes >= self.size.bytes {
                self.flush();
            }
        }
    }

    /// Begins the call about the items so far.
    pub fn flush(&mut self) {
        if self.items.is_empty() {
            return;
        }
        self.bytes = 0;
        let batch =
            CallItems { places: std::mem::take(&mut self.places), items: std::mem::take(&mut self.items) };
        self.calls.push_back(match &self.pool {
            Some(pool) => LaneCall::UnderWay(pool.submit(&self.work, batch)),
            None => LaneCall::Planned(batch),
        });
    }

    /// The next answers, if they are there. With many calls under way, it waits for them.
    pub fn next(&mut self, token: &CancelToken, tally: &mut ItemTally) -> Option<ItemBatch> {
        let waits = self.pool.as_ref().is_none_or(|pool| self.calls.len() > pool.ahead_max());
        if waits {
            return self.wait(token, tally);
        }
        let LaneCall::UnderWay(pending) = self.calls.front()? else { return None };
        match pending.try_recv() {
            Ok((batch, answers)) => {
                self.calls.pop_front();
                Some(settled(batch, answers, tally))
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.wait(token, tally),
        }
    }

    /// The next answers, waiting for them; `None` if no call is under way, or the run was cancelled.
    pub fn wait(&mut self, token: &CancelToken, tally: &mut ItemTally) -> Option<ItemBatch> {
        let (batch, answers) = match self.calls.pop_front()? {
            LaneCall::Planned(batch) => {
                let answers = self.work.answers(&batch);
                (batch, answers)
            }
            LaneCall::UnderWay(pending) => loop {
                match pending.recv_timeout(CANCEL_INTERVAL) {
                    Ok(answered) => break answered,
                    Err(RecvTimeoutError::Timeout) if token.is_cancelled() => return None,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        tally.fail_whole(broken("a thread that makes calls has ended"));
                        return None;
                    }
                }
            },
        };
        Some(settled(batch, answers, tally))
    }
}

/// The answers as a batch; items without one are counted.
fn settled(batch: CallItems, answers: CallAnswers, tally: &mut ItemTally) -> ItemBatch {
    tally.retried += answers.retried;
    let (mut places, mut given) = (Vec::new(), Vec::new());
    for (place, result) in batch.places.into_iter().zip(answers.results) {
        match result {
            Ok(answer) => {
                places.push(place);
                given.push(answer);
            }
            Err(fault) => tally.fail(place, fault),
        }
    }
    tally.done += given.len() as u64;
    ItemBatch::of_values(BatchPlaces::Each(places), given)
}
