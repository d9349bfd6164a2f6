//! The steps of this process's requests that run in other processes, because they say `on: LABEL`.
//!
//! Each time that a step is given to a process it gets a new ticket. An end counts only while its ticket is open: a
//! process that was lost has a new generation when it is back, and its earlier tickets are closed by then.

use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use crate::dataflow::ProcessLabel;
use crate::step::{CancelToken, Digest, Request};
use crate::store::Store;

use super::apart;
use super::remote_step::{RemoteStep, RemoteStepEnd, RemoteStepKey, StepValue, ValuePiece, WaitingStep};
use super::step_processes::{RemotePeer, StepProcesses};

pub struct RemoteSteps {
    remote: Arc<dyn StepProcesses>,
    state: Mutex<StepsState>,
    /// Called when one more request waits.
    more_wait: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct StepsState {
    tickets: u64,
    /// The steps that other processes run.
    open: BTreeMap<u64, OpenStep>,
    waits: u64,
    /// The steps that wait for a process.
    waiting: BTreeMap<u64, WaitingStep>,
    /// The number of these by request.
    waiting_of: BTreeMap<i64, usize>,
}

struct OpenStep {
    process: usize,
    /// The generation of the connection under which it was given; `None` until it is.
    generation: Option<u64>,
    request: Arc<Request>,
    reply: Sender<StepMessage>,
}

/// What the thread that waits for a step is told.
enum StepMessage {
    Reply(StepReply),
    /// The process was lost.
    Lost,
}

/// What became of a step that was given to a process.
pub enum StepReply {
    Ended(Box<RemoteStepEnd>),
    /// The process cannot run it.
    Unable(String),
    Cancelled,
}

/// No process ran a step to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepLoss {
    /// There is no process that could run it.
    NoProcess,
    /// The process that ran it was lost.
    Lost { process: usize },
}

/// A note that a step waits, until it is dropped.
pub struct WaitingPlace {
    steps: Arc<RemoteSteps>,
    wait: u64,
}

impl RemoteSteps {
    pub fn new(remote: Arc<dyn StepProcesses>) -> RemoteSteps {
        RemoteSteps { remote, state: Mutex::default(), more_wait: OnceLock::new() }
    }

    /// Has this called whenever one more request waits for a process. Called once.
    pub fn when_more_wait(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.more_wait.set(Box::new(tell));
    }

    /// Whether steps with this label run in other processes.
    pub fn is_elsewhere(&self, label: &ProcessLabel) -> bool {
        !self.remote.has_label(label)
    }

    /// Whether a process with this label is there.
    pub fn has_place(&self, label: &ProcessLabel) -> bool {
        !self.remote.labelled(label).is_empty()
    }

    /// Notes that a step waits for a process.
    pub fn wait(self: &Arc<RemoteSteps>, step: WaitingStep) -> WaitingPlace {
        let mut state = self.lock();
        state.waits += 1;
        let wait = state.waits;
        let of = state.waiting_of.entry(step.number).or_default();
        *of += 1;
        let is_first = *of == 1;
        state.waiting.insert(wait, step);
        drop(state);
        if is_first {
            self.more_wait.get().iter().for_each(|tell| tell());
        }
        WaitingPlace { steps: Arc::clone(self), wait }
    }

    /// The number of requests of which steps wait for a process.
    pub fn requests_waiting(&self) -> usize {
        self.lock().waiting_of.len()
    }

    /// The steps that wait for a process; of several runs of one step for a request, the first.
    pub fn waiting(&self) -> Vec<WaitingStep> {
        let mut first: BTreeMap<(i64, String), WaitingStep> = BTreeMap::new();
        for step in self.lock().waiting.values() {
            first.entry((step.number, step.step.clone())).or_insert_with(|| step.clone());
        }
        first.into_values().collect()
    }

    /// Has a process with this label run a step, and waits for its end.
    pub fn run(
        &self,
        label: &ProcessLabel,
        step: RemoteStep,
        token: &CancelToken,
        store: &Store,
    ) -> Result<StepReply, StepLoss> {
        let process = self.place(label, &step.key).ok_or(StepLoss::NoProcess)?;
        let (reply, replies) = channel();
        // Open before it is given: its end may come before this thread goes on.
        let (request, ticket) = (step.request.id, self.open(process, &step.request, reply.clone()));
        let remote = Arc::clone(&self.remote);
        token.on_cancel(move || {
            // Before a further attempt is given: the process would go on with this one.
            remote.cancel_step(process, ticket);
            let _ = reply.send(StepMessage::Reply(StepReply::Cancelled));
        });
        let Some(generation) = self.remote.run_step(process, &RemoteStep { ticket, ..step }) else {
            self.lock().open.remove(&ticket);
            return Err(StepLoss::NoProcess);
        };
        self.lock().open.entry(ticket).and_modify(|open| open.generation = Some(generation));
        // The process may have been lost since.
        self.follow();
        // The token has a sender, too.
        let message = replies.recv().unwrap_or(StepMessage::Lost);
        self.lock().open.remove(&ticket);
        let message = match message {
            StepMessage::Reply(StepReply::Ended(end)) => {
                match self.bring(process, ticket, request, &end, store) {
                    Some(()) => StepMessage::Reply(StepReply::Ended(end)),
                    None => StepMessage::Lost,
                }
            }
            other => other,
        };
        self.remote.step_ended(process, ticket);
        match message {
            StepMessage::Lost => Err(StepLoss::Lost { process }),
            StepMessage::Reply(reply) => {
                if matches!(reply, StepReply::Cancelled) {
                    // It may have been given after the cancellation.
                    self.remote.cancel_step(process, ticket);
                }
                Ok(reply)
            }
        }
    }

    /// Takes the reply of a process. It is dropped if its ticket is no longer open.
    pub fn reply(&self, ticket: u64, reply: StepReply) {
        if let Some(open) = self.lock().open.remove(&ticket) {
            // Its thread may have been told of a cancellation.
            let _ = open.reply.send(StepMessage::Reply(reply));
        }
    }

    /// Ends the tickets of processes that were lost.
    pub fn follow(&self) {
        let given = |(ticket, open): (&u64, &OpenStep)| Some((*ticket, open.process, open.generation?));
        let given: Vec<(u64, usize, u64)> = self.lock().open.iter().filter_map(given).collect();
        for (ticket, process, generation) in given {
            if self.remote.generation(process) == Some(generation) {
                continue;
            }
            if let Some(open) = self.lock().open.remove(&ticket) {
                let _ = open.reply.send(StepMessage::Lost);
            }
        }
    }

    /// A piece of a value that the process with an open ticket needs.
    pub fn piece(
        &self,
        ticket: u64,
        value: StepValue,
        offset: u64,
        max: usize,
        store: &Store,
    ) -> Option<ValuePiece> {
        let request = Arc::clone(&self.lock().open.get(&ticket)?.request);
        apart::piece(&request, value, offset, max, store)
    }

    /// Brings the outputs of a step into the store, from a process that does not see it.
    fn bring(
        &self,
        process: usize,
        ticket: u64,
        request: Digest,
        end: &RemoteStepEnd,
        store: &Store,
    ) -> Option<()> {
        if self.remote.shares_store(process) {
            return Some(());
        }
        apart::outputs(end).into_iter().filter(|digest| !store.has(request, *digest)).try_for_each(|digest| {
            let bytes = self.remote.fetch(process, ticket, digest)?;
            let put = store.put_work(request, digest, &bytes);
            put.map_err(|error| tracing::warn!(%error, "an output of another process is not stored")).ok()
        })
    }

    /// The process with this label that runs the step already, else the one with the fewest steps for its threads.
    fn place(&self, label: &ProcessLabel, key: &RemoteStepKey) -> Option<usize> {
        let peers = self.remote.labelled(label);
        let holder = self.remote.step_holder(key);
        if let Some(holder) = holder.filter(|holder| peers.iter().any(|peer| peer.process == *holder)) {
            return Some(holder);
        }
        let state = self.lock();
        let load =
            |peer: &RemotePeer| state.open.values().filter(|open| open.process == peer.process).count() + 1;
        // Fractions are compared by their cross products.
        let least = peers.iter().min_by(|peer, than| {
            (load(peer) * than.workers)
                .cmp(&(load(than) * peer.workers))
                .then(peer.process.cmp(&than.process))
        });
        least.map(|peer| peer.process)
    }

    fn open(&self, process: usize, request: &Arc<Request>, reply: Sender<StepMessage>) -> u64 {
        let mut state = self.lock();
        state.tickets += 1;
        let ticket = state.tickets;
        let request = Arc::clone(request);
        state.open.insert(ticket, OpenStep { process, generation: None, request, reply });
        ticket
    }

    fn lock(&self) -> MutexGuard<'_, StepsState> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        let mut state = self.steps.lock();
        let StepsState { waiting, waiting_of, .. } = &mut *state;
        if let Some(WaitingStep { number, .. }) = waiting.remove(&self.wait) {
            waiting_of.entry(number).and_modify(|count| *count -= 1);
            waiting_of.retain(|of, count| *of != number || *count > 0);
        }
    }
}
