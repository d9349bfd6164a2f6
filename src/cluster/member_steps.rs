//! Steps of requests of process 0 that this process runs.
//!
//! They go on when the connection ends. Process 0 gives them again over the next one, under new tickets, or does not:
//! then they are given up after a while. An end is sent under the ticket that its step has now, and kept until process 0
//! has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{
    RemoteRequestKey, RemoteStep, RemoteStepEnd, RemoteStepKey, StepRun, StepRunner, StepValue, ValueSource,
};

use super::chunks::{self, CHUNK_BYTES, ChunkExchange, ChunkReply, ChunkRequest};
use super::frames::{ReportFrame, StepEndNote};
use super::link::LinkSender;

/// The time after a new connection in which steps may be given again.
const ORPHANED_MAX: Duration = Duration::from_secs(60);

/// The time for which values of a request are kept that further steps of it may need.
const UNUSED_MAX: Duration = Duration::from_secs(120);

pub struct MemberSteps {
    /// Whether this process has a store of its own: then steps do not outlive a connection.
    joins: bool,
    exchange: ChunkExchange,
    state: Mutex<MemberStepsState>,
}

#[derive(Default)]
struct MemberStepsState {
    link: Option<LinkSender>,
    steps: HashMap<RemoteStepKey, MemberStep>,
    /// The number of steps so far.
    begun: u64,
    /// The last use of each request whose values are in a store of this process alone.
    used: HashMap<RemoteRequestKey, Instant>,
}

#[derive(Default)]
struct MemberStep {
    /// Its number. One that was given up may end when the same step has begun again.
    number: u64,
    /// The ticket of the present connection.
    ticket: Option<u64>,
    run: Option<StepRun>,
    end: Option<RemoteStepEnd>,
    /// The time of the connection over which it was not given again.
    orphaned: Option<Instant>,
}

impl MemberSteps {
    pub fn new(joins: bool) -> MemberSteps {
        MemberSteps { joins, exchange: ChunkExchange::default(), state: Mutex::default() }
    }

    /// Sends ends over a new connection, once their steps are given again.
    pub fn connect(&self, link: &LinkSender) {
        let mut state = self.lock();
        state.link = Some(link.clone());
        for step in state.steps.values_mut() {
            (step.ticket, step.orphaned) = (None, Some(Instant::now()));
        }
    }

    pub fn disconnect(&self) {
        self.lock().link = None;
        self.exchange.cut();
        if self.joins {
            self.end();
        }
    }

    pub fn held(&self) -> Vec<RemoteStepKey> {
        self.lock().steps.keys().copied().collect()
    }

    /// Whether a step of this request runs here.
    pub fn is_of(&self, request: &RemoteRequestKey) -> bool {
        self.lock().steps.keys().any(|key| key.request == *request)
    }

    /// Runs a step, or goes on with one that runs here already.
    ///
    /// # Errors
    /// The reason why it cannot be run here.
    pub fn run(self: &Arc<MemberSteps>, step: RemoteStep, runner: &StepRunner) -> Result<(), String> {
        let (key, ticket) = (step.key, step.ticket);
        let mut state = self.lock();
        let is_known = state.steps.contains_key(&key);
        state.begun += u64::from(!is_known);
        let number = state.begun;
        let known = state.steps.entry(key).or_insert_with(|| MemberStep { number, ..MemberStep::default() });
        (known.ticket, known.orphaned) = (Some(ticket), None);
        state.used.insert(key.request, Instant::now());
        if is_known {
            state.send_end(&key);
            return Ok(());
        }
        drop(state);
        let steps = Arc::clone(self);
        let source = self.joins.then(|| Arc::clone(self) as Arc<dyn ValueSource>);
        match runner.begin(step, source, move |end| steps.ended(&key, number, end)) {
            Ok(run) => {
                if let Some(step) = self.lock().of(&key, number) {
                    step.run = Some(run);
                }
                Ok(())
            }
            Err(reason) => {
                self.lock().steps.retain(|its, step| *its != key || step.number != number);
                Err(reason)
            }
        }
    }

    /// Gives the step with this ticket up.
    pub fn cancel(&self, ticket: u64) {
        self.give_up(|step| step.ticket == Some(ticket));
    }

    /// Lets an end go that process 0 has.
    pub fn taken(&self, ticket: u64) {
        self.lock().steps.retain(|_, step| step.ticket != Some(ticket) || step.end.is_none());
    }

    /// Gives up the steps that were not given again, and forgets the values of requests that have not been needed for a
    /// while.
    pub fn tidy(&self, runner: &StepRunner) {
        self.give_up(|step| step.orphaned.is_some_and(|since| since.elapsed() > ORPHANED_MAX));
        if self.joins {
            let mut state = self.lock();
            let MemberStepsState { steps, used, .. } = &mut *state;
            let is_old = |request: &RemoteRequestKey, since: &mut Instant| {
                since.elapsed() > UNUSED_MAX && !steps.keys().any(|key| key.request == *request)
            };
            used.extract_if(|request, since| is_old(request, since))
                .for_each(|(request, _)| runner.forget(&request));
        }
    }

    /// Takes a chunk of an input.
    pub fn take_chunk(&self, reply: ChunkReply, content: Vec<u8>) {
        self.exchange.take(reply, content);
    }

    /// Sends a chunk of what a step gave.
    pub fn send_chunk(&self, request: &ChunkRequest, runner: &StepRunner) {
        let ChunkRequest { number, ticket, value, offset } = *request;
        let state = self.lock();
        let key = state.steps.iter().find(|(_, step)| step.ticket == Some(ticket)).map(|(key, _)| *key);
        let piece = key.and_then(|key| match value {
            StepValue::Stored(digest) => runner.piece(&key, digest, offset, CHUNK_BYTES),
            StepValue::Item(_) => None,
        });
        let (reply, bytes) = chunks::answer(number, piece);
        // Without a connection nobody waits for it.
        state.link.iter().for_each(|link| _ = link.send(&ReportFrame::Chunk(reply.clone()), &bytes));
    }

    /// Gives all steps up.
    pub fn end(&self) {
        self.give_up(|_| true);
    }

    fn give_up(&self, is_it: impl Fn(&MemberStep) -> bool) {
        let given_up: Vec<MemberStep> =
            self.lock().steps.extract_if(|_, step| is_it(step)).map(|(_, step)| step).collect();
        given_up.iter().filter_map(|step| step.run.as_ref()).for_each(StepRun::cancel);
    }

    /// Takes the end of a step; that of one that was given up is dropped.
    fn ended(&self, key: &RemoteStepKey, number: u64, end: RemoteStepEnd) {
        let mut state = self.lock();
        if let Some(step) = state.of(key, number) {
            step.end = Some(end);
            state.send_end(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, MemberStepsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ValueSource for MemberSteps {
    fn fetch(&self, key: &RemoteStepKey, value: StepValue) -> Option<Vec<u8>> {
        let ticket = self.lock().steps.get(key)?.ticket?;
        self.exchange.fetch(ticket, value, |request| {
            let state = self.lock();
            let frame = ReportFrame::Fetch(request.clone());
            state.link.as_ref().is_some_and(|link| link.send(&frame, &[]).is_ok())
        })
    }
}

impl MemberStepsState {
    /// The step with this number; `None` if it was given up.
    fn of(&mut self, key: &RemoteStepKey, number: u64) -> Option<&mut MemberStep> {
        self.steps.get_mut(key).filter(|step| step.number == number)
    }

    /// Sends the end of a step, if it has one and process 0 waits for it.
    fn send_end(&self, key: &RemoteStepKey) {
        let step = self.steps.get(key);
        let Some((ticket, end)) = step.and_then(|step| step.ticket.zip(step.end.as_ref())) else { return };
        let note = StepEndNote { ticket, record: end.record.clone(), again: end.again };
        // If the connection ends, the end is sent over the next one.
        let frame = ReportFrame::StepEnded(Box::new(note));
        self.link.iter().for_each(|link| _ = link.send(&frame, &end.content));
    }
}
