//! Threads for the calls of one step in one request: so many calls are under way at once.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::step::CallAnswers;

use super::perform::{broken, guarded};
use super::section_calls::{CallItems, CallWork};

/// The threads, and the calls that wait for one. Dropping it ends the threads after their present calls.
pub(super) struct CallPool {
    queue: Arc<CallQueue>,
    max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    name: String,
}

#[derive(Default)]
struct CallQueue {
    state: Mutex<CallQueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct CallQueueState {
    waiting: VecDeque<QueuedCall>,
    idle: usize,
    ended: bool,
}

struct QueuedCall {
    work: Arc<CallWork>,
    batch: CallItems,
    answers: SyncSender<(CallItems, CallAnswers)>,
}

/// A call that was handed over; it gives the items back with their answers.
pub(super) type PendingCall = Receiver<(CallItems, CallAnswers)>;

impl CallPool {
    /// The number of calls at once, if the dataflow file does not say another.
    const USUAL: usize = 8;

    pub fn new(name: &str, max: Option<usize>) -> CallPool {
        let (name, max) = (format!("flow:{name}"), max.unwrap_or(CallPool::USUAL));
        CallPool { queue: Arc::default(), max, threads: Mutex::default(), name }
    }

    /// The batches that may be handed over before the first of them has its answers.
    pub fn ahead_max(&self) -> usize {
        4 * self.max
    }

    /// Hands a batch over.
    pub fn submit(&self, work: &Arc<CallWork>, batch: CallItems) -> PendingCall {
        let (answers, pending) = sync_channel(1);
        let mut state = self.queue.lock();
        state.waiting.push_back(QueuedCall { work: Arc::clone(work), batch, answers });
        let lacks_thread = state.waiting.len() > state.idle;
        drop(state);
        self.queue.changed.notify_one();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if lacks_thread && threads.len() < self.max {
            let queue = Arc::clone(&self.queue);
            match std::thread::Builder::new().name(self.name.clone()).spawn(move || queue.work()) {
                Ok(thread) => threads.push(thread),
                Err(error) if threads.is_empty() => panic!("could not start a thread for calls: {error}"),
                // The call is made later by one of the others.
                Err(error) => tracing::warn!(%error, "could not start a thread for calls"),
            }
        }
        pending
    }

    /// Ends the threads and waits for them.
    pub fn join(&self) {
        self.queue.end();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Drop for CallPool {
    /// Nobody waits for the calls of a request that was given up: each ends at its time-out.
    fn drop(&mut self) {
        self.queue.end();
    }
}

impl CallQueue {
    fn work(&self) {
        let mut state = self.lock();
        loop {
            match state.waiting.pop_front() {
                Some(QueuedCall { work, batch, answers }) => {
                    drop(state);
                    // A thread that ended would be missing from then on.
                    let given = guarded(|| work.answers(&batch)).unwrap_or_else(|panic| {
                        let fault = broken(&panic);
                        let results = batch.items.iter().map(|_| Err(fault.clone())).collect();
                        CallAnswers { results, retried: 0 }
                    });
                    drop(work);
                    // The run may have been given up.
                    let _ = answers.send((batch, given));
                    state = self.lock();
                }
                None if state.ended => return,
                None => {
                    state.idle += 1;
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle -= 1;
                }
            }
        }
    }

    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, CallQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
