//! The steps of this process's requests that run in other processes, because they say `on: LABEL`.
//!
//! Each time that a step is given to a process it gets a new ticket. An end counts only while its ticket is open: a
//! process that was lost has a new generation when it is back, and its earlier tickets are closed by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use crate::dataflow::ProcessLabel;
use crate::step::{CancelToken, Digest, Outcome, Request};
use crate::store::Store;

use super::apart;
use super::held_values::HeldValues;
use super::process_choice::{ProcessCandidate, choose};
use super::remote_request::RemoteRequestKey;
use super::remote_step::{
    RemoteStep, RemoteStepEnd, RemoteStepKey, StepNeed, StepValue, ValuePiece, WaitingStep,
};
use super::step_processes::{RemotePeer, StepProcesses};

pub struct RemoteSteps {
    remote: Arc<dyn StepProcesses>,
    /// The bytes of memory that requests may take in this process.
    memory: u64,
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
    held: HeldValues,
}

struct OpenStep {
    process: usize,
    /// The generation of the connection under which it was given; `None` until it is.
    generation: Option<u64>,
    of: RemoteRequestKey,
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
    /// The steps of a process with this memory for requests, in bytes.
    pub fn new(remote: Arc<dyn StepProcesses>, memory: u64) -> RemoteSteps {
        RemoteSteps { remote, memory, state: Mutex::default(), more_wait: OnceLock::new() }
    }

    /// Has this called whenever one more request waits for a process. Called once.
    pub fn when_more_wait(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.more_wait.set(Box::new(tell));
    }

    /// Whether steps with this label, of a request that takes so many bytes of memory, run in other processes: this one
    /// does not have the label, or not the memory.
    pub fn is_elsewhere(&self, label: &ProcessLabel, memory: u64) -> bool {
        memory > self.memory || !self.remote.has_label(label)
    }

    /// Whether a process that has what a step needs is there.
    pub fn has_place(&self, need: &StepNeed) -> bool {
        !self.places(need).is_empty()
    }

    /// The processes that have what a step needs.
    fn places(&self, need: &StepNeed) -> Vec<RemotePeer> {
        let mut peers = self.remote.labelled(&need.label, &need.version);
        for peer in peers.extract_if(.., |peer| peer.memory < need.memory) {
            self.remote.left_out(peer.process, need.memory);
        }
        peers
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
        let requests = waiting.filter(|step| lacking.contains(&step.need())).map(|step| step.number);
        requests.collect::<BTreeSet<i64>>().len()
    }

    /// The steps that wait for a process; of several runs of one step for a request, the first.
    pub fn waiting(&self) -> Vec<WaitingStep> {
        let lacking = self.lacking();
        let mut first: BTreeMap<(i64, String), WaitingStep> = BTreeMap::new();
        for step in self.lock().waiting.values().filter(|step| lacking.contains(&step.need())) {
            first.entry((step.number, step.step.clone())).or_insert_with(|| step.clone());
        }
        let has_label = |step: &WaitingStep| !self.remote.labelled(&step.label, &step.version).is_empty();
        let steps = first.into_values();
        steps.map(|step| WaitingStep { lacks_memory: has_label(&step), ..step }).collect()
    }

    /// The places that are waited for and not there. A step may still be about to find that its process has come.
    fn lacking(&self) -> BTreeSet<StepNeed> {
        let mut needs: BTreeSet<StepNeed> = self.lock().waiting.values().map(WaitingStep::need).collect();
        needs.retain(|need| !self.has_place(need));
        needs
    }

    /// Has a process with what a step needs run it, and waits for its end. Gives also the process.
    pub fn run(
        &self,
        need: &StepNeed,
        step: RemoteStep,
        token: &CancelToken,
        watch: CancelWatch,
        store: &Store,
    ) -> Result<(usize, StepReply), StepLoss> {
        let (reply, replies) = channel();
        // Open before it is given: its end may come before this thread goes on.
        let (key, request) = (step.key, step.request.id);
        // They count where they have to be brought.
        let is_apart = self.places(need).iter().any(|peer| !peer.shares_store);
        let inputs = if is_apart { apart::needed_bytes(&step, store) } else { Vec::new() };
        let (process, ticket) =
            self.open(need, key, &step.request, &inputs, reply.clone()).ok_or(StepLoss::NoProcess)?;
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
                    Some(()) => {
                        self.note_held(&key.request, (process, generation), &inputs, &end);
                        StepMessage::Reply(StepReply::Ended(end))
                    }
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

    /// Notes what a process with a store of its own has of a request: it has it as long as the request goes on there.
    fn note_held(
        &self,
        of: &RemoteRequestKey,
        (process, generation): (usize, u64),
        inputs: &[(StepValue, u64)],
        end: &RemoteStepEnd,
    ) {
        // One that failed may have found no room for them.
        if end.record.outcome != Outcome::Done || self.remote.shares_store(process) {
            return;
        }
        let values = inputs.iter().map(|(value, _)| *value);
        let values = values.chain(apart::outputs(end).into_iter().map(StepValue::Stored));
        self.lock().held.note(of, (process, generation), values);
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

    /// Opens a ticket on a process that runs the step already, else on the one that is chosen among those that have what
    /// it needs. Gives the process and the ticket.
    fn open(
        &self,
        need: &StepNeed,
        key: RemoteStepKey,
        request: &Arc<Request>,
        inputs: &[(StepValue, u64)],
        reply: Sender<StepMessage>,
    ) -> Option<(usize, u64)> {
        let peers = self.places(need);
        let holder = self.remote.step_holder(&key);
        let holder = holder.filter(|holder| peers.iter().any(|peer| peer.process == *holder));
        // Chosen and opened under one lock: steps that begin together do not all choose the same process.
        let mut state = self.lock();
        let process = holder.or_else(|| state.choose(&peers, need, &key.request, inputs))?;
        state.tickets += 1;
        let ticket = state.tickets;
        let (of, request) = (key.request, Arc::clone(request));
        state.open.insert(ticket, OpenStep { process, generation: None, of, request, reply });
        Some((process, ticket))
    }

    fn lock(&self) -> MutexGuard<'_, StepsState> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}

impl StepsState {
    /// The process for a step of a request. What is given here counts at once, also where the process is told of it later.
    fn choose(
        &self,
        peers: &[RemotePeer],
        need: &StepNeed,
        request: &RemoteRequestKey,
        inputs: &[(StepValue, u64)],
    ) -> Option<usize> {
        let candidates = peers.iter().map(|peer| {
            let open = self.open.values().filter(|open| open.process == peer.process);
            let candidate =
                peer.candidate(open.clone().count().max(peer.load), self.held.lacking(request, peer, inputs));
            // All steps of a request share its memory.
            let has_memory = open.clone().any(|open| open.of == *request);
            let free = if has_memory { candidate.memory } else { candidate.free };
            ProcessCandidate { free, ..candidate }
        });
        choose(candidates, need.memory)
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
            let peer = |process| RemotePeer {
                process,
                generation: 1,
                workers: 2,
                memory: 1,
                taken: 0,
                load: 0,
                shares_store: true,
            };
            [1, 2].map(peer).into()
        }

        fn left_out(&self, _: usize, _: u64) {}

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
    fn a_step_goes_where_its_inputs_are() {
        let digest = Digest::of(b"a volume");
        let request = RemoteRequestKey { number: 1, request: digest, version: digest };
        let need = StepNeed { label: "big-memory".parse().unwrap(), version: digest, memory: 1 };
        let peers = TwoProcesses.labelled(&need.label, &digest);
        let peers: Vec<RemotePeer> =
            peers.iter().map(|peer| RemotePeer { shares_store: false, ..*peer }).collect();
        let inputs = [(StepValue::Stored(digest), 100)];
        let mut state = StepsState::default();
        assert_eq!(state.choose(&peers, &need, &request, &inputs), Some(1));
        state.held.note(&request, (2, 1), [StepValue::Stored(digest)]);
        assert_eq!(state.choose(&peers, &need, &request, &inputs), Some(2));
    }

    #[test]
    fn steps_that_begin_together_run_in_different_processes() {
        const PAIRS: usize = 2_000;
        let request = Arc::new(Request::new("request", Default::default(), Vec::new()));
        let of = RemoteRequestKey { number: 1, request: request.id, version: request.id };
        let key = RemoteStepKey { request: of, node: 0, item: None, run: request.id };
        let label: ProcessLabel = "big-memory".parse().unwrap();
        let need = StepNeed { label, version: request.id, memory: 1 };
        let steps: Vec<RemoteSteps> =
            (0..PAIRS).map(|_| RemoteSteps::new(Arc::new(TwoProcesses), 1)).collect();
        let together = Barrier::new(2);
        let open_in_each = || -> Vec<usize> {
            let open = |steps: &RemoteSteps| {
                together.wait();
                steps.open(&need, key, &request, &[], channel().0).unwrap().0
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
