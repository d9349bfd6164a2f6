//! The queue between the workers, who make responses, and the threads that deliver them.
//!
//! Responses come in bundles. A bundle wakes at most one thread, and a thread that leaves responses in the
//! queue wakes the next one, unless one is on its way already. So a slow delivery delays no other, and quick
//! ones cost little: to wake a thread takes longer than a delivery that waits for nothing.

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
    /// Those of them that were woken and have not looked yet.
    woken: usize,
}

impl AnswerState {
    /// Whether a thread is to be woken now. Notes that it is.
    fn wakes(&mut self) -> bool {
        let wakes = !self.waiting.is_empty() && self.woken == 0 && self.idle > 0;
        self.woken += usize::from(wakes);
        wakes
    }
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
                let wakes = state.wakes();
                drop(state);
                if wakes {
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
            // A thread may also wake by itself, when none was woken.
            state.woken = state.woken.saturating_sub(1);
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
        let wakes = state.wakes();
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use crate::dataflow::ResponseVerdict;
    use crate::step::{Digest, Request};

    use super::*;

    fn answer(number: u8) -> AnsweredRequest {
        let request = Arc::new(Request::new(number.to_string(), Default::default(), Vec::new()));
        let response = Response {
            request: request.id,
            name: request.name.clone(),
            dataflow: "nothing".into(),
            version: Digest::of(&[]),
            verdict: ResponseVerdict::Complete,
            steps: Vec::new(),
            reservations: Vec::new(),
            streams: Vec::new(),
            files: Vec::new(),
            supersedes: None,
            revises: None,
        };
        let receipt = Receipt::unrecorded(request);
        AnsweredRequest {
            dataflow: 0,
            receipt,
            priority: RequestPriority::Normal,
            response,
            turn: AnswerTurn::Recorded,
        }
    }

    #[test]
    fn a_slow_delivery_delays_no_other() {
        const THREADS: usize = 4;
        let queue = Arc::<AnswerQueue>::default();
        let sender = queue.sender();
        let (tell, told) = channel();
        for _ in 0..THREADS {
            let (queue, tell) = (Arc::clone(&queue), tell.clone());
            std::thread::spawn(move || {
                while let Some(answer) = queue.take() {
                    // The thread is back at the queue when the other end is dropped.
                    let (end, ended) = channel::<()>();
                    tell.send((answer.response.name, end)).unwrap();
                    let _ = ended.recv();
                }
            });
        }
        for _ in 0..1_000 {
            sender.send((0..THREADS as u8).map(answer));
            // No delivery ends before all have begun.
            let begun = || told.recv_timeout(Duration::from_secs(20)).expect("each delivery begins");
            drop((0..THREADS).map(|_| begun()).collect::<Vec<_>>());
        }
    }
}
