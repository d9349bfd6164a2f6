//! Replays that the page asks for: one at a time on a thread of its own, each with what it has found so far.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;

use crate::step::CancelToken;

use super::site::NameDisplay;

/// The differences of one step, over all its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReplayedStep {
    pub step: String,
    /// Runs of it that were compared.
    pub runs: usize,
    /// Runs that gave what is recorded.
    pub identical: usize,
    /// Microseconds of all runs together.
    pub took_us: u64,
    pub differences: Vec<RunDifference>,
}

/// The difference of one run, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunDifference {
    /// The name of the item, if the step runs for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    pub what: String,
    /// The values and files that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
}

/// The outcome of a whole replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReplayConclusion {
    /// Steps that were run.
    pub steps: usize,
    /// Runs that gave what is recorded.
    pub identical: usize,
    /// Steps that did not run this time, and another kind of response.
    pub others: Vec<String>,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// Nobody has asked for one since flow was started.
    #[default]
    None,
    Running,
    Done,
    /// It could not be run.
    Failed,
}

/// A replay of a request, as far as it is.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct ServedReplay {
    pub state: ReplayState,
    /// The time of its beginning, in milliseconds of Unix time.
    pub began_ms: i64,
    /// The one who asked for it.
    pub who: String,
    /// The steps that have been run.
    pub steps: Vec<ReplayedStep>,
    /// Only of one that is done.
    pub conclusion: Option<ReplayConclusion>,
    /// The reason why it could not be run.
    pub error: Option<String>,
}

/// Runs the request with a number again from its record; hands over each step that has ended. What was sent and recorded
/// stays as it is.
pub type ReplayFunction =
    dyn Fn(i64, &CancelToken, &mut dyn FnMut(ReplayedStep)) -> Result<ReplayConclusion, String> + Send + Sync;

/// The most replays whose results are remembered.
const REMEMBERED_MAX: usize = 8;

/// The replays since the start. Dropping this ends the one that runs.
pub struct ReplayBoard {
    replay: Arc<ReplayFunction>,
    shown: Arc<Mutex<BTreeMap<i64, ServedReplay>>>,
    cancel: CancelToken,
    running: Mutex<Option<(i64, JoinHandle<()>)>>,
}

impl ReplayBoard {
    pub fn new(replay: Arc<ReplayFunction>) -> ReplayBoard {
        let (shown, cancel, running) = (Arc::default(), CancelToken::default(), Mutex::default());
        ReplayBoard { replay, shown, cancel, running }
    }

    /// The number of the request that is being run again.
    pub fn running(&self) -> Option<i64> {
        let running = locked(&self.running);
        running.as_ref().filter(|(_, thread)| !thread.is_finished()).map(|(number, _)| *number)
    }

    /// Begins a replay. While another runs, it is that which goes on.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(&self, number: i64, who: &str) -> io::Result<()> {
        let mut running = locked(&self.running);
        if running.as_ref().is_some_and(|(_, thread)| !thread.is_finished()) {
            return Ok(());
        }
        let _ = running.take().map(|(_, thread)| thread.join());
        let (replay, shown, cancel) =
            (Arc::clone(&self.replay), Arc::clone(&self.shown), self.cancel.clone());
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_ms = i64::try_from(began.as_millis()).unwrap_or(i64::MAX);
        let (state, who) = (ReplayState::Running, who.to_owned());
        remember(
            &mut locked(&shown),
            number,
            ServedReplay { state, began_ms, who, ..ServedReplay::default() },
        );
        let run = move || {
            let change = |change: &mut dyn FnMut(&mut ServedReplay)| {
                locked(&shown).get_mut(&number).into_iter().for_each(change);
            };
            let mut note = |step: ReplayedStep| {
                change(&mut |replay: &mut ServedReplay| replay.steps.push(step.clone()));
            };
            let result = replay(number, &cancel, &mut note);
            change(&mut |replay: &mut ServedReplay| match &result {
                Ok(conclusion) => {
                    (replay.state, replay.conclusion) = (ReplayState::Done, Some(conclusion.clone()));
                }
                Err(error) => (replay.state, replay.error) = (ReplayState::Failed, Some(error.clone())),
            });
        };
        let thread = std::thread::Builder::new().name("flow:replay".to_owned()).spawn(run)?;
        *running = Some((number, thread));
        Ok(())
    }

    /// The last replay of a request. Where names are hidden, no value and no word of a program is in it.
    pub fn of(&self, number: i64, names: NameDisplay) -> ServedReplay {
        let is_running = self.running() == Some(number);
        let mut replay = locked(&self.shown).get(&number).cloned().unwrap_or_default();
        if replay.state == ReplayState::Running && !is_running {
            replay.state = ReplayState::Failed;
        }
        if names == NameDisplay::Hidden {
            for difference in replay.steps.iter_mut().flat_map(|step| &mut step.differences) {
                *difference = RunDifference { item: None, what: String::new(), parts: Vec::new() };
            }
        }
        replay
    }
}

#[cfg(test)]
impl ReplayBoard {
    /// Waits for the end of the one that runs.
    fn wait(&self) {
        let running = locked(&self.running).take();
        running.map(|(_, thread)| thread.join()).transpose().expect("it does not panic");
    }
}

impl Drop for ReplayBoard {
    fn drop(&mut self) {
        self.cancel.cancel();
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = running.take().map(|(_, thread)| thread.join());
    }
}

/// Remembers a replay in the place of the oldest one.
fn remember(shown: &mut BTreeMap<i64, ServedReplay>, number: i64, replay: ServedReplay) {
    shown.insert(number, replay);
    while shown.len() > REMEMBERED_MAX {
        let oldest = shown.iter().min_by_key(|(_, replay)| replay.began_ms).map(|(number, _)| *number);
        oldest.and_then(|oldest| shown.remove(&oldest));
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn one_replay_runs_at_a_time_and_shows_what_it_has_found() {
        let (go, gone) = channel::<()>();
        let gone = Mutex::new(gone);
        let board = ReplayBoard::new(Arc::new(move |number, cancel, note| {
            let difference = RunDifference { item: None, what: "doe".to_owned(), parts: vec!["jane".into()] };
            let differences = vec![difference];
            note(ReplayedStep { step: "a".into(), runs: 1, identical: 0, took_us: 1, differences });
            let _ = gone.lock().unwrap().recv();
            match cancel.is_cancelled() {
                true => Err("cancelled".to_owned()),
                false => Ok(ReplayConclusion { steps: 1, identical: 0, others: vec![number.to_string()] }),
            }
        }));
        assert_eq!(board.of(7, NameDisplay::Shown).state, ReplayState::None);
        board.start(7, "an operator").unwrap();
        assert_eq!(board.running(), Some(7));
        board.start(8, "another").unwrap();
        assert_eq!(board.of(8, NameDisplay::Shown).state, ReplayState::None, "one runs");
        go.send(()).unwrap();
        board.wait();
        let replay = board.of(7, NameDisplay::Shown);
        assert_eq!((replay.state, replay.steps.len()), (ReplayState::Done, 1));
        assert_eq!(replay.conclusion.unwrap().others, ["7"]);
        let hidden = serde_json::to_string(&board.of(7, NameDisplay::Hidden)).unwrap();
        assert!(!hidden.contains("doe") && !hidden.contains("jane"), "{hidden}");
        board.start(9, "an operator").unwrap();
        board.cancel.cancel();
        drop(go);
        board.wait();
        assert_eq!(board.of(9, NameDisplay::Shown).error.as_deref(), Some("cancelled"));
    }
}
