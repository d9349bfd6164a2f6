//! Steps of requests of process 0 that this process runs.
//!
//! They go on when the connection ends. Process 0 gives them again over the next one, under new tickets, or does not:
//! then they are given up after a while. An end is sent under the ticket that its step has now, and kept until process 0
//! has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{RemoteRequestKey, RemoteStep, RemoteStepEnd, RemoteStepKey, StepRun, StepRunner};

use super::frames::{ReportFrame, StepEndNote};
use super::link::LinkSender;

/// The time after a new connection in which steps may be given again.
const ORPHANED_MAX: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct MemberSteps(Mutex<MemberStepsState>);

#[derive(Default)]
struct MemberStepsState {
    link: Option<LinkSender>,
    steps: HashMap<RemoteStepKey, MemberStep>,
}

#[derive(Default)]
struct MemberStep {
    /// The ticket of the present connection.
    ticket: Option<u64>,
    run: Option<StepRun>,
    end: Option<RemoteStepEnd>,
    /// The time of the connection over which it was not given again.
    orphaned: Option<Instant>,
}

impl MemberSteps {
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
        let known = state.steps.entry(key).or_default();
        (known.ticket, known.orphaned) = (Some(ticket), None);
        if is_known {
            state.send_end(&key);
            return Ok(());
        }
        drop(state);
        let steps = Arc::clone(self);
        match runner.begin(step, move |end| steps.ended(&key, end)) {
            Ok(run) => {
                self.lock().steps.entry(key).and_modify(|step| step.run = Some(run));
                Ok(())
            }
            Err(reason) => {
                self.lock().steps.remove(&key);
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

    /// Gives up the steps that were not given again.
    pub fn tidy(&self) {
        self.give_up(|step| step.orphaned.is_some_and(|since| since.elapsed() > ORPHANED_MAX));
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
    fn ended(&self, key: &RemoteStepKey, end: RemoteStepEnd) {
        let mut state = self.lock();
        if let Some(step) = state.steps.get_mut(key) {
            step.end = Some(end);
            state.send_end(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, MemberStepsState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemberStepsState {
    /// Sends the end of a step, if it has one and process 0 waits for it.
    fn send_end(&self, key: &RemoteStepKey) {
        let step = self.steps.get(key);
        let Some((ticket, end)) = step.and_then(|step| step.ticket.zip(step.end.as_ref())) else { return };
        let note = StepEndNote { ticket, record: end.record.clone(), retry_after: end.retry_after };
        // If the connection ends, the end is sent over the next one.
        let frame = ReportFrame::StepEnded(Box::new(note));
        self.link.iter().for_each(|link| _ = link.send(&frame, &end.content));
    }
}
