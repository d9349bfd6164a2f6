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
//! Whoever makes it `Over` sends word, so that there is exactly one end, and it does not depend on
//! the step's returning. What a turn that was given up returns is dropped. A run that is keeping its
//! results cannot be given up: it leaves either all of them or nothing.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use timely::scheduling::SyncActivator;

use crate::dataflow::Node;
use crate::dataflow::perform::{guarded, timed_out};
use crate::step::{Fault, Inputs, Outcome, Request, Token};

use super::clock::Alarm;
use super::event::{Event, tell};
use super::job::{Ended, Job};
use super::pool::Seat;
use super::shared::Shared;

pub struct Run {
    task: Task,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

/// What is to be run, and who wants to know of its end.
pub struct Task {
    pub node: usize,
    /// Tells the pool whose jobs are whose.
    pub lane: usize,
    pub request: Arc<Request>,
    pub item: Option<usize>,
    pub ended: Sender<Ended>,
    pub activator: SyncActivator,
}

enum State {
    /// For a thread, or for the clock.
    Waiting {
        turns: u32,
        inputs: Inputs,
        _alarm: Option<Alarm>,
    },
    Running(Turn),
    /// What the step gave is put into the store.
    Keeping(Turn),
    Over,
}

/// The step under way.
struct Turn {
    /// From 1.
    number: u32,
    /// For a further turn, if there may be one.
    inputs: Option<Inputs>,
    token: Token,
    seat: Seat,
    began: Instant,
    _alarm: Option<Alarm>,
    /// Gone when the step has returned.
    alive: Weak<()>,
}

impl Run {
    /// Queues a run.
    pub fn begin(task: Task, inputs: Inputs, shared: &Arc<Shared>) -> Arc<Run> {
        let state = Mutex::new(State::Waiting { turns: 0, inputs, _alarm: None });
        let run = Arc::new(Run { task, shared: Arc::clone(shared), state });
        run.queue();
        run
    }

    /// Gives the run up: nobody wants what it would give.
    pub fn cancel(&self) {
        let mut state = self.lock();
        if let State::Keeping(turn) = &mut *state {
            // Its end is near, and there is to be no other turn.
            turn.inputs = None;
            return;
        }
        let before = std::mem::replace(&mut *state, State::Over);
        drop(state);
        match &before {
            State::Running(turn) => self.give_up(turn),
            State::Waiting { .. } => {}
            State::Keeping(_) | State::Over => return,
        }
        self.send(self.failed(Fault::cancelled()));
    }

    fn queue(self: &Arc<Run>) {
        let run = Arc::clone(self);
        self.shared.submit(self.task.node, self.task.lane, move |seat| run.turn(seat));
    }

    /// On a thread of the pool.
    fn turn(self: &Arc<Run>, seat: &Seat) {
        let alive = Arc::new(());
        let Some((number, inputs, token)) = self.start(seat, &alive) else { return };
        let Task { node, request, item, .. } = &self.task;
        let is_wanted = || self.lock().keep(number);
        let job = Job { node: *node, request, item: *item, token: &token, is_wanted: &is_wanted };
        let ended = self.shared.work.perform(&job, inputs);
        drop(alive);
        let mut state = self.lock();
        if state.turn().is_some_and(|turn| turn.number == number) {
            let (_, again) = self.stop(&mut state, &ended.outcome);
            drop(state);
            self.follow(ended, again);
        }
    }

    /// Begins a turn, unless the run was given up while it waited.
    fn start(self: &Arc<Run>, seat: &Seat, alive: &Arc<()>) -> Option<(u32, Inputs, Token)> {
        let mut state = self.lock();
        let State::Waiting { turns, inputs, .. } = std::mem::replace(&mut *state, State::Over) else {
            return None;
        };
        let (number, token) = (turns + 1, Token::default());
        let run = Arc::clone(self);
        let time_out = |timeout| self.shared.clock.after(timeout, move || run.time_out(number, timeout));
        *state = State::Running(Turn {
            number,
            inputs: self.node().retry.is_some().then(|| inputs.clone()),
            token: token.clone(),
            seat: seat.clone(),
            began: Instant::now(),
            _alarm: self.node().timeout.map(time_out),
            alive: Arc::downgrade(alive),
        });
        Some((number, inputs, token))
    }

    /// On the clock's thread.
    fn time_out(self: &Arc<Run>, number: u32, timeout: Duration) {
        let mut state = self.lock();
        if matches!(&*state, State::Running(turn) if turn.number == number) {
            let ended = self.failed(timed_out(timeout));
            let (turn, again) = self.stop(&mut state, &ended.outcome);
            drop(state);
            turn.iter().for_each(|turn| self.give_up(turn));
            self.follow(ended, again);
        }
    }

    /// Ends the turn under way. With it comes how long it is to another one, if there is to be one.
    fn stop(self: &Arc<Run>, state: &mut State, outcome: &Outcome) -> (Option<Turn>, Option<Duration>) {
        let mut turn = std::mem::replace(state, State::Over).into_turn();
        let delay = match (outcome, &turn) {
            (Outcome::Failed(fault), Some(turn)) => self.node().retry_delay(fault, turn.number),
            _ => None,
        };
        let inputs = turn.as_mut().and_then(|turn| turn.inputs.take());
        let Some((delay, inputs)) = delay.zip(inputs) else { return (turn, None) };
        let (run, turns) = (Arc::clone(self), turn.as_ref().map_or(0, |turn| turn.number));
        let alarm = self.shared.clock.after(delay, move || run.queue());
        *state = State::Waiting { turns, inputs, _alarm: Some(alarm) };
        (turn, Some(delay))
    }

    /// After a turn: the end, unless there is another one.
    fn follow(&self, ended: Ended, again: Option<Duration>) {
        match (&ended.outcome, again) {
            (Outcome::Failed(fault), Some(delay)) => {
                let (request, step) = (&*self.task.request, self.node().name.as_str());
                tell(&*self.shared.work.observer, &Event::Retrying { request, step, fault, delay });
            }
            _ => self.send(ended),
        }
    }

    /// Lets go of a turn that goes on: the step is asked to end, and the pool forgets it.
    fn give_up(&self, turn: &Turn) {
        // What a step wants to be told is its own code.
        if let Err(panic) = guarded(|| turn.token.cancel()) {
            tracing::error!(panic, "telling a step that it is given up panicked");
        }
        turn.seat.abandon();
        let (request, step, took) = (&*self.task.request, self.node().name.as_str(), turn.began.elapsed());
        tell(&*self.shared.work.observer, &Event::Ended { request, step, took, failed: true });
        let (alive, shared, node) = (turn.alive.clone(), Arc::clone(&self.shared), self.task.node);
        let request = Arc::clone(&self.task.request);
        self.shared.clock.surely_after(PATIENCE, move || {
            if alive.strong_count() > 0 {
                let (step, threads) = (&shared.work.dataflow.nodes[node].name, shared.pool.abandoned());
                tracing::warn!(
                    request = %request.name, step, threads,
                    "a step that was given up goes on; its thread and memory are no longer counted"
                );
            }
        });
    }

    fn failed(&self, fault: Fault) -> Ended {
        Ended::not_run(self.task.item, Outcome::Failed(fault))
    }

    fn send(&self, ended: Ended) {
        // Neither can fail while the epoch is open, and nobody waits when it is not.
        let _ = self.task.ended.send(ended);
        let _ = self.task.activator.activate();
    }

    fn node(&self) -> &Node {
        &self.shared.work.dataflow.nodes[self.task.node]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds a run's lock")
    }
}

impl State {
    /// Whether this turn of the step was not given up; from now on it is not.
    fn keep(&mut self, number: u32) -> bool {
        match std::mem::replace(self, State::Over) {
            State::Running(turn) if turn.number == number => *self = State::Keeping(turn),
            other => *self = other,
        }
        self.turn().is_some_and(|turn| turn.number == number)
    }

    fn turn(&self) -> Option<&Turn> {
        match self {
            State::Running(turn) | State::Keeping(turn) => Some(turn),
            State::Waiting { .. } | State::Over => None,
        }
    }

    fn into_turn(self) -> Option<Turn> {
        match self {
            State::Running(turn) | State::Keeping(turn) => Some(turn),
            State::Waiting { .. } | State::Over => None,
        }
    }
}

/// How long a step that was given up may go on before somebody is told.
const PATIENCE: Duration = Duration::from_secs(10);
