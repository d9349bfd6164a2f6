//! The queue between the workers, who make responses, and the threads that deliver them.
//!
//! Responses come in bundles. A bundle wakes at most one thread, and a thread that leaves responses in the
//! queue wakes the next one. So a slow delivery delays no other, and quick ones cost a worker little.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::dataflow::{RequestPriority, Response};
use crate::journal::Receipt;

/// A request with an answer, on the way to the sink.
pub struct AnsweredRequest {
    /// The place of its dataflow in the set.
    pub dataflow: usize,
    pub receipt: Receipt,
    /// The priority under which it has its slot.
    pub priority: RequestPriority,
    pub response: Response,
    pub turn: AnswerTurn,
}

/// The kind of a response to be delivered: interim, final, or read from the journal.
pub enum AnswerTurn {
    /// The interim response of a passed deadline; `handed_over` is dropped once the sink has taken it.
    Interim { handed_over: Sender<()> },
    /// The final response, after any interim one (`earlier`). It is recorded in the background, together with
    /// others, and then comes back through `again` as `Recorded`.
    Final { earlier: Option<Receiver<()>>, again: AnswerSender },
    /// A final response that could not be recorded at once, for example because the disk was full, with its
    /// content.
    Unrecorded { content: Vec<u8> },
    /// A final response that is in the journal.
    Recorded,
}

/// The receiving end, for several threads.
#[derive(Default)]
pub struct AnswerQueue {
    state: Mutex<AnswerState>,
    changed: Condvar,
}

#[derive(Default)]
struct AnswerState {
    waiting: VecDeque<AnsweredRequest>,
    senders: usize,
    /// Threads that wait for an answer.
    idle: usize,
}

/// A sending end. The queue is closed when the last of them is dropped.
pub struct AnswerSender(Arc<AnswerQueue>);

impl AnswerQueue {
    /// A further sending end.
    pub fn sender(self: &Arc<AnswerQueue>) -> AnswerSender {
        self.lock().senders += 1;
        AnswerSender(Arc::clone(self))
    }

    /// Takes the next answer; `None` once the queue is empty and closed.
    pub fn take(&self) -> Option<AnsweredRequest> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = state.waiting.pop_front() {
                if state.idle > 0 && !state.waiting.is_empty() {
                    self.changed.notify_one();
                }
                return Some(answer);
            }
            if state.senders == 0 {
                return None;
            }
            state.idle += 1;
            state = self.changed.wait(state).expect(NO_PANIC);
            state.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, AnswerState> {
        self.state.lock().expect(NO_PANIC)
    }
}

impl AnswerSender {
    /// Hands answers over, in their order.
    pub fn send(&self, answers: impl IntoIterator<Item = AnsweredRequest>) {
        let mut state = self.0.lock();
        state.waiting.extend(answers);
        let wakes = state.idle > 0 && !state.waiting.is_empty();
        drop(state);
        if wakes {
            self.0.changed.notify_one();
        }
    }
}

impl Clone for AnswerSender {
    fn clone(&self) -> AnswerSender {
        self.0.sender()
    }
}

impl Drop for AnswerSender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.changed.notify_all();
        }
    }
}

const NO_PANIC: &str = "nothing panics while it holds the lock";
