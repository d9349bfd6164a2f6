//! The steps of this process's requests that run in other processes, because they say `on: LABEL`.
//!
//! Each time that a step is given to a process it gets a new ticket. An end counts only while its ticket is open: a
//! process that was lost has a new generation when it is back, and its earlier tickets are closed by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

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
    /// The process cannot run it: it is no place for steps of the dataflow.
    Unable,
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

/// How the wait for the end of a step learns that it was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelWatch {
    /// The token tells it: the token is that of this step alone.
    Told,
    /// It looks now and then: others have the same token.
    Looks,
}

/// How often a wait looks whether its token was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(20);

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

    /// Whether a process with this label is there, for steps of a version of a dataflow.
    pub fn has_place(&self, label: &ProcessLabel, version: &Digest) -> bool {
        !self.remote.labelled(label, version).is_empty()
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
        let lacking = self.lacking();
        let state = self.lock();
        let waiting = state.waiting.values();
        let requests = waiting.filter(|step| lacking.contains(&step.place())).map(|step| step.number);
        requests.collect::<BTreeSet<i64>>().len()
    }

    /// The steps that wait for a process; of several runs of one step for a request, the first.
    pub fn waiting(&self) -> Vec<WaitingStep> {
        let lacking = self.lacking();
        let mut first: BTreeMap<(i64, String), WaitingStep> = BTreeMap::new();
        for step in self.lock().waiting.values().filter(|step| lacking.contains(&step.place())) {
            first.entry((step.number, step.step.clone())).or_insert_with(|| step.clone());
        }
        first.into_values().collect()
    }

    /// The places that are waited for and not there. A step may still be about to find that its process has come.
    fn lacking(&self) -> BTreeSet<(ProcessLabel, Digest)> {
        let mut places: BTreeSet<(ProcessLabel, Digest)> =
            self.lock().waiting.values().map(WaitingStep::place).collect();
        places.retain(|(label, version)| !self.has_place(label, version));
        places
    }

    /// Has a process with this label run a step, and waits for its end. Gives also the process.
    pub fn run(
        &self,
        label: &ProcessLabel,
        step: RemoteStep,
        token: &CancelToken,
        watch: CancelWatch,
        store: &Store,
    ) -> Result<(usize, StepReply), StepLoss> {
        let (reply, replies) = channel();
        // Open before it is given: its end may come before this thread goes on.
        let request = step.request.id;
        let (process, ticket) =
            self.open(label, step.key, &step.request, reply.clone()).ok_or(StepLoss::NoProcess)?;
        let remote = Arc::clone(&self.remote);
        let cancel = move || {
            // Before a further attempt is given: the process would go on with this one.
            remote.cancel_step(process, ticket);
            let _ = reply.send(StepMessage::Reply(StepReply::Cancelled));
        };
        if watch == CancelWatch::Told {
            token.on_cancel(cancel.clone());
        }
        let Some(generation) = self.remote.run_step(process, &RemoteStep { ticket, ..step }) else {
            self.lock().open.remove(&ticket);
            return Err(StepLoss::NoProcess);
        };
        self.lock().open.entry(ticket).and_modify(|open| open.generation = Some(generation));
        // The process may have been lost since.
        self.follow();
        let message = loop {
            match replies.recv_timeout(CANCEL_INTERVAL) {
                Ok(message) => break message,
                Err(RecvTimeoutError::Timeout) if watch == CancelWatch::Looks && token.is_cancelled() => {
                    cancel()
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break StepMessage::Lost,
            }
        };
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
            StepMessage::Reply(StepReply::Unable) => Err(StepLoss::NoProcess),
            StepMessage::Reply(reply) => {
                if matches!(reply, StepReply::Cancelled) {
                    // It may have been given after the cancellation.
                    self.remote.cancel_step(process, ticket);
                }
                Ok((process, reply))
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

    /// Opens a ticket on the process with this label that runs the step already, else on the one with the fewest steps
    /// for its threads. Gives the process and the ticket.
    fn open(
        &self,
        label: &ProcessLabel,
        key: RemoteStepKey,
        request: &Arc<Request>,
        reply: Sender<StepMessage>,
    ) -> Option<(usize, u64)> {
        let peers = self.remote.labelled(label, &key.request.version);
        let holder = self.remote.step_holder(&key);
        let holder = holder.filter(|holder| peers.iter().any(|peer| peer.process == *holder));
        // Chosen and opened under one lock: steps that begin together do not all choose the same process.
        let mut state = self.lock();
        let process = holder.or_else(|| state.least_loaded(&peers))?;
        state.tickets += 1;
        let ticket = state.tickets;
        let request = Arc::clone(request);
        state.open.insert(ticket, OpenStep { process, generation: None, request, reply });
        Some((process, ticket))
    }

    fn lock(&self) -> MutexGuard<'_, StepsState> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}

impl StepsState {
    /// The process with the fewest open steps for its threads.
    fn least_loaded(&self, peers: &[RemotePeer]) -> Option<usize> {
        let load =
            |peer: &RemotePeer| self.open.values().filter(|open| open.process == peer.process).count() + 1;
        // Fractions are compared by their cross products.
        let least = peers.iter().min_by(|peer, than| {
            (load(peer) * than.workers)
                .cmp(&(load(than) * peer.workers))
                .then(peer.process.cmp(&than.process))
        });
        least.map(|peer| peer.process)
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

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use crate::engine::remote_request::RemoteRequestKey;

    use super::*;

    /// Two processes with every label.
    struct TwoProcesses;

    impl StepProcesses for TwoProcesses {
        fn generation(&self, _: usize) -> Option<u64> {
            Some(1)
        }

        fn has_label(&self, _: &ProcessLabel) -> bool {
            false
        }

        fn labelled(&self, _: &ProcessLabel, _: &Digest) -> Vec<RemotePeer> {
            [1, 2].map(|process| RemotePeer { process, workers: 2 }).into()
        }

        fn step_holder(&self, _: &RemoteStepKey) -> Option<usize> {
            None
        }

        fn run_step(&self, _: usize, _: &RemoteStep) -> Option<u64> {
            Some(1)
        }

        fn cancel_step(&self, _: usize, _: u64) {}

        fn shares_store(&self, _: usize) -> bool {
            true
        }

        fn fetch(&self, _: usize, _: u64, _: Digest) -> Option<Vec<u8>> {
            None
        }

        fn step_ended(&self, _: usize, _: u64) {}
    }

    #[test]
    fn steps_that_begin_together_run_in_different_processes() {
        const PAIRS: usize = 2_000;
        let request = Arc::new(Request::new("request", Default::default(), Vec::new()));
        let of = RemoteRequestKey { number: 1, request: request.id, version: request.id };
        let key = RemoteStepKey { request: of, node: 0, item: None, run: request.id };
        let label: ProcessLabel = "big-memory".parse().unwrap();
        let steps: Vec<RemoteSteps> = (0..PAIRS).map(|_| RemoteSteps::new(Arc::new(TwoProcesses))).collect();
        let together = Barrier::new(2);
        let open_in_each = || -> Vec<usize> {
            let open = |steps: &RemoteSteps| {
                together.wait();
                steps.open(&label, key, &request, channel().0).unwrap().0
            };
            steps.iter().map(open).collect()
        };
        thread::scope(|scope| {
            let other = scope.spawn(open_in_each);
            let (one, other) = (open_in_each(), other.join().unwrap());
            let together = one.iter().zip(&other).filter(|(one, other)| one == other).count();
            assert_eq!(together, 0, "of {PAIRS} pairs");
        });
    }
}
