//! One run of a node, off the worker's thread: its turns, the waits between them, and how it is
//! given up.
//!
//! ```text
//!            a thread is free           the step returns           all is kept
//! Waiting ────────────────────▶ Running ────────────────▶ Keeping ─────────────▶ Over
//!    ▲                             │                         │                    ▲
//!    │                             │ the timeout passes      │ it has failed      │
//!    ├──────── retry, after a wait ┴─────────────────────────┴────────────────────┤
//!    └─────────────────── cancelled, unless it is keeping ────────────────────────┘
//! ```
//!
//! The thread that makes the run `Over` reports its end, so that exactly one end is reported, even if
//! the step never returns. Results of an attempt that was given up are dropped. A run that is keeping
//! its results cannot be given up: it leaves either all of them or nothing.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use timely::scheduling::SyncActivator;

use crate::dataflow::DataflowNode;
use crate::dataflow::perform::{guarded, timed_out};
use crate::step::{CancelToken, Fault, Outcome, Request, StepInputs};

use super::elsewhere::StepElsewhere;
use super::event::{EngineEvent, tell};
use super::job::{RunEnd, StepJob};
use super::losses::{LOSSES_MAX, deadly};
use super::pool::JobThread;
use super::remote_steps::{StepLoss, WaitingPlace};
use super::shared::ProcessShared;
use super::timer::TimerAlarm;

pub struct NodeRun {
    task: RunTask,
    shared: Arc<ProcessShared>,
    state: Mutex<RunState>,
}

/// The run to perform, and the channel that its end is reported to.
pub struct RunTask {
    pub node: usize,
    /// The node, and those that follow it on the spot.
    pub nodes: Arc<[usize]>,
    /// The lane's number: the pool serves the lanes in turn.
    pub lane: usize,
    pub request: Arc<Request>,
    pub item: Option<usize>,
    pub ended: Sender<RunEnd>,
    pub activator: SyncActivator,
}

enum RunState {
    /// The run waits for a thread, or for the delay before a retry.
    Waiting {
        turns: u32,
        losses: u32,
        /// The time of the waits after attempts that do not count.
        held: Duration,
        inputs: StepInputs,
        alarm: Option<TimerAlarm>,
        /// The note that it waits for a process with its label.
        place: Option<WaitingPlace>,
    },
    Running(RunAttempt),
    /// The step has returned; its results are being stored.
    Keeping(RunAttempt),
    Over,
}

/// One attempt at the step, under way.
struct RunAttempt {
    /// The number of the attempt, from 1.
    number: u32,
    /// Processes that were lost while they ran it.
    losses: u32,
    /// The time of the waits after attempts that do not count.
    held: Duration,
    /// The inputs for another attempt, where the node has retries, or runs in another process.
    inputs: Option<StepInputs>,
    token: CancelToken,
    thread_handle: JobThread,
    began: Instant,
    alarm: Option<TimerAlarm>,
    /// Dangling once the step has returned.
    alive: Weak<()>,
}

impl NodeRun {
    /// Queues a run.
    pub fn begin(task: RunTask, inputs: StepInputs, shared: &Arc<ProcessShared>) -> Arc<NodeRun> {
        let state = Mutex::new(RunState::waiting(inputs));
        let run = Arc::new(NodeRun { task, shared: Arc::clone(shared), state });
        run.queue();
        run
    }

    /// Gives the run up: its result is no longer needed.
    pub fn cancel(&self) {
        let mut state = self.lock();
        if let RunState::Keeping(turn) = &mut *state {
            // It ends by itself soon. Without inputs no other attempt follows.
            turn.inputs = None;
            return;
        }
        let before = std::mem::replace(&mut *state, RunState::Over);
        drop(state);
        match &before {
            RunState::Running(turn) => self.give_up(turn),
            RunState::Waiting { .. } => {}
            RunState::Keeping(_) | RunState::Over => return,
        }
        self.send(self.failed(Fault::cancelled()));
    }

    fn queue(self: &Arc<NodeRun>) {
        let run = Arc::clone(self);
        self.shared.submit(self.task.node, self.task.lane, move |thread_handle| run.turn(thread_handle));
    }

    /// Performs an attempt, unless it has to wait. Called on a thread of the pool.
    fn turn(self: &Arc<NodeRun>, thread_handle: &JobThread) {
        let work = &self.shared.work;
        let elsewhere = work.elsewhere(self.task.node, &self.task.request);
        if elsewhere.as_ref().is_some_and(|elsewhere| self.lacks_process(elsewhere)) {
            return self.queue_after(PLACE_INTERVAL);
        }
        if let Some(wait) = work.control.holds(&work.dataflow, &self.task.nodes, || self.is_known()) {
            return self.queue_after(wait);
        }
        let alive = Arc::new(());
        let Some((number, inputs, token)) = self.start(thread_handle, &alive) else { return };
        let RunTask { node, request, item, .. } = &self.task;
        let is_wanted = || self.lock().keep(number);
        let job = StepJob { node: *node, request, item: *item, token: &token, is_wanted: &is_wanted };
        let ended = match &elsewhere {
            None => Ok(work.perform(&job, inputs)),
            Some(elsewhere) => work.perform_elsewhere(&job, inputs, elsewhere),
        };
        drop(alive);
        let ended = match ended {
            Ok(ended) => ended,
            Err(loss) => match self.begin_again(number, loss) {
                Some(ended) => ended,
                None => return,
            },
        };
        let mut state = self.lock();
        if state.turn().is_some_and(|turn| turn.number == number) {
            let (_, again) = self.stop(&mut state, &ended.outcome);
            drop(state);
            self.follow(ended, again);
        }
    }

    /// Whether it has to wait until a process with its label is there; notes that it does.
    fn lacks_process(&self, elsewhere: &StepElsewhere) -> bool {
        if elsewhere.has_place() || self.is_known() {
            return false;
        }
        if let RunState::Waiting { place: place @ None, .. } = &mut *self.lock() {
            *place = Some(elsewhere.wait(&self.node().name));
        }
        true
    }

    /// Queues the run again: no process has run it to its end. Returns its end, if too many were lost.
    fn begin_again(self: &Arc<NodeRun>, number: u32, loss: StepLoss) -> Option<RunEnd> {
        let mut state = self.lock();
        if !matches!(&*state, RunState::Running(turn) if turn.number == number) {
            // It was given up meanwhile.
            return None;
        }
        let mut turn = std::mem::replace(&mut *state, RunState::Over).into_turn()?;
        if let StepLoss::Lost { process } = loss {
            turn.losses += 1;
            let step = &*self.node().name;
            tracing::warn!(request = %self.task.request.name, step, process, "the process that ran a step is lost");
        }
        if turn.losses >= LOSSES_MAX {
            let ended = self.failed(deadly(turn.losses));
            *state = RunState::Running(turn);
            return Some(ended);
        }
        let (turns, losses, held) = (turn.number - 1, turn.losses, turn.held);
        let inputs = turn.inputs.take()?;
        *state = RunState::Waiting { turns, losses, held, inputs, alarm: None, place: None };
        drop((state, turn));
        self.queue();
        None
    }

    /// Whether the run performs nothing: its result is recorded, or it was given up.
    fn is_known(&self) -> bool {
        let inputs = match &*self.lock() {
            RunState::Waiting { inputs, .. } => inputs.clone(),
            RunState::Running(_) | RunState::Keeping(_) | RunState::Over => return true,
        };
        let RunTask { node, request, item, .. } = &self.task;
        self.shared.work.is_recorded(*node, request, *item, &inputs)
    }

    /// Queues the run again after a wait: its step is paused, or begins too often.
    fn queue_after(self: &Arc<NodeRun>, wait: Duration) {
        if let RunState::Waiting { alarm, .. } = &mut *self.lock() {
            let run = Arc::clone(self);
            *alarm = Some(self.shared.timer.after(wait, move || run.queue()));
        }
    }

    /// Begins an attempt, unless the run was given up while it waited.
    fn start(
        self: &Arc<NodeRun>,
        thread_handle: &JobThread,
        alive: &Arc<()>,
    ) -> Option<(u32, StepInputs, CancelToken)> {
        let mut state = self.lock();
        let RunState::Waiting { turns, losses, held, inputs, .. } =
            std::mem::replace(&mut *state, RunState::Over)
        else {
            return None;
        };
        let (number, token) = (turns + 1, CancelToken::default());
        let began = Instant::now();
        *state = RunState::Running(RunAttempt {
            number,
            losses,
            held,
            inputs: (self.node().retry.is_some() || self.node().label().is_some()).then(|| inputs.clone()),
            token: token.clone(),
            thread_handle: thread_handle.clone(),
            began,
            alarm: self.node().timeout.map(|timeout| self.alarm(number, timeout, timeout)),
            alive: Arc::downgrade(alive),
        });
        Some((number, inputs, token))
    }

    fn alarm(self: &Arc<NodeRun>, number: u32, timeout: Duration, after: Duration) -> TimerAlarm {
        let run = Arc::clone(self);
        self.shared.timer.after(after, move || run.time_out(number, timeout))
    }

    /// Ends an attempt whose time is over. Called on the timer's thread.
    fn time_out(self: &Arc<NodeRun>, number: u32, timeout: Duration) {
        let mut state = self.lock();
        if let RunState::Running(turn) = &mut *state
            && turn.number == number
        {
            if let Some(left) = time_left(timeout, turn.began.elapsed(), turn.token.waited()) {
                turn.alarm = Some(self.alarm(number, timeout, left));
                return;
            }
            let ended = self.failed(timed_out(timeout));
            let (turn, again) = self.stop(&mut state, &ended.outcome);
            drop(state);
            turn.iter().for_each(|turn| self.give_up(turn));
            self.follow(ended, again);
        }
    }

    /// Ends the attempt under way. Returns it, with the delay until the next one if there is to be one.
    fn stop(
        self: &Arc<NodeRun>,
        state: &mut RunState,
        outcome: &Outcome,
    ) -> (Option<RunAttempt>, Option<Duration>) {
        let mut turn = std::mem::replace(state, RunState::Over).into_turn();
        let (turns, delay) = match (outcome, &turn) {
            (Outcome::Failed(fault), Some(turn)) => {
                let turns = self.node().counted_runs(fault, turn.number, turn.held);
                (turns, self.node().retry_delay(fault, turns))
            }
            _ => (0, None),
        };
        let inputs = turn.as_mut().and_then(|turn| turn.inputs.take());
        let Some((delay, inputs)) = delay.zip(inputs) else { return (turn, None) };
        let run = Arc::clone(self);
        let is_counted = turn.as_ref().is_none_or(|turn| turn.number == turns);
        let held = turn.as_ref().map_or(Duration::ZERO, |turn| turn.held);
        let held = if is_counted { held } else { held.saturating_add(delay) };
        let alarm = self.shared.timer.after(delay, move || run.queue());
        *state = RunState::Waiting { turns, losses: 0, held, inputs, alarm: Some(alarm), place: None };
        (turn, Some(delay))
    }

    /// Reports the end of the run, or announces the next attempt.
    fn follow(&self, ended: RunEnd, again: Option<Duration>) {
        match (&ended.outcome, again) {
            (Outcome::Failed(fault), Some(delay)) => {
                let (request, step) = (&*self.task.request, &*self.node().name);
                tell(&*self.shared.work.observer, &EngineEvent::Retrying { request, step, fault, delay });
            }
            _ => self.send(ended),
        }
    }

    /// Abandons an attempt whose step has not returned: the step is asked to stop, and its thread no longer
    /// counts in the pool.
    fn give_up(&self, turn: &RunAttempt) {
        // The closure that a step registers for its cancellation may panic.
        if let Err(panic) = guarded(|| turn.token.cancel()) {
            tracing::error!(panic, "the cancellation callback of a step panicked");
        }
        turn.thread_handle.abandon();
        let (request, step, took) = (&*self.task.request, &*self.node().name, turn.began.elapsed());
        tell(&*self.shared.work.observer, &EngineEvent::Ended { request, step, took, failed: true });
        let (alive, shared, node) = (turn.alive.clone(), Arc::clone(&self.shared), self.task.node);
        let request = Arc::clone(&self.task.request);
        self.shared.timer.surely_after(PATIENCE, move || {
            if alive.strong_count() > 0 {
                let (step, threads) = (&*shared.work.dataflow.nodes[node].name, shared.pool.abandoned());
                tracing::warn!(
                    request = %request.name, step, threads,
                    "a step that was given up goes on; its thread and memory are no longer counted"
                );
            }
        });
    }

    fn failed(&self, fault: Fault) -> RunEnd {
        RunEnd::not_run(self.task.item, Outcome::Failed(fault))
    }

    fn send(&self, ended: RunEnd) {
        // The receiver and the worker are there while the epoch is open; afterwards the end is not needed.
        let _ = self.task.ended.send(ended);
        let _ = self.task.activator.activate();
    }

    fn node(&self) -> &DataflowNode {
        &self.shared.work.dataflow.nodes[self.task.node]
    }

    fn lock(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().expect("nothing panics while it holds a run's lock")
    }
}

impl RunState {
    fn waiting(inputs: StepInputs) -> RunState {
        RunState::Waiting { turns: 0, losses: 0, held: Duration::ZERO, inputs, alarm: None, place: None }
    }

    /// Begins the storing of this attempt's results, unless it was given up. From then on it cannot be.
    fn keep(&mut self, number: u32) -> bool {
        match std::mem::replace(self, RunState::Over) {
            RunState::Running(turn) if turn.number == number => *self = RunState::Keeping(turn),
            other => *self = other,
        }
        self.turn().is_some_and(|turn| turn.number == number)
    }

    fn turn(&self) -> Option<&RunAttempt> {
        match self {
            RunState::Running(turn) | RunState::Keeping(turn) => Some(turn),
            RunState::Waiting { .. } | RunState::Over => None,
        }
    }

    fn into_turn(self) -> Option<RunAttempt> {
        match self {
            RunState::Running(turn) | RunState::Keeping(turn) => Some(turn),
            RunState::Waiting { .. } | RunState::Over => None,
        }
    }
}

/// The time that an attempt has left, of which the time that it waited for others does not count; `None` if it is over.
fn time_left(timeout: Duration, elapsed: Duration, waited: Duration) -> Option<Duration> {
    let left = timeout.checked_sub(elapsed.saturating_sub(waited))?;
    // While it waits, nothing is used up: a short rest is not to be looked at all the time.
    (!left.is_zero()).then(|| left.max(WAIT_INTERVAL))
}

/// The least time after which the time of an attempt that has waited is looked at again.
const WAIT_INTERVAL: Duration = Duration::from_millis(20);

/// How often it is looked whether a process with a label is there.
const PLACE_INTERVAL: Duration = Duration::from_millis(200);

/// The time after which a warning is logged about an abandoned step that still runs.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_which_an_attempt_waits_for_others_does_not_count() {
        let seconds = Duration::from_secs;
        assert_eq!(time_left(seconds(2), seconds(2), Duration::ZERO), None);
        assert_eq!(time_left(seconds(2), seconds(3), seconds(2)), Some(seconds(1)));
        assert_eq!(time_left(seconds(2), seconds(5), seconds(3)), None);
        assert_eq!(time_left(seconds(2), seconds(4), seconds(4)), Some(seconds(2)));
        let nearly = Duration::from_micros(1_999_999);
        assert_eq!(time_left(seconds(2), nearly, Duration::ZERO), Some(WAIT_INTERVAL));
    }
}
