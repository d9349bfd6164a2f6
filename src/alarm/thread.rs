//! The threads of alarms: one looks for causes, and one for each receiver tells what waits for it, so that a slow
//! receiver holds up itself only.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ledger::LedgerMirror;
use crate::store::free_bytes;

use super::cause::{AlarmCauses, AlarmInput, LedgerInput, causes, is_of_ledger, ms};
use super::memory::AlarmMemory;
use super::receiver::{AlarmReceiver, ReceiverError};
use super::site::AlarmSettings;

/// What alarms look at.
pub struct AlarmSetup {
    pub settings: AlarmSettings,
    pub state: PathBuf,
    pub mirror: Arc<LedgerMirror>,
}

/// The threads. Dropping this ends them, and waits for a short time for what is being told; what is not told then is
/// told after the next start.
pub struct AlarmThread {
    shared: Arc<AlarmShared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum AlarmError {
    #[error("no thread could be started for alarms: {0}")]
    Thread(#[from] io::Error),
    #[error("alarms cannot be told: {0}")]
    Receiver(#[from] ReceiverError),
}

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// The time between two tries at a receiver that takes nothing.
const AGAIN: Duration = Duration::from_secs(30);

/// The longest time for which the end waits for receivers.
const END_TIME_MAX: Duration = Duration::from_secs(1);

impl AlarmThread {
    /// # Errors
    /// If a file of a receiver cannot be used, or a thread not be started.
    pub fn start(setup: AlarmSetup) -> Result<AlarmThread, AlarmError> {
        let receivers = AlarmReceiver::of(&setup.settings);
        receivers.iter().try_for_each(AlarmReceiver::check)?;
        let memory = AlarmMemory::open(&setup.state, setup.settings.over_after);
        let shared = Arc::new(AlarmShared::new(memory));
        let mut threads = AlarmThread { shared, threads: Vec::new() };
        let names = receivers.iter().map(AlarmReceiver::name).collect();
        for receiver in receivers {
            threads.spawn(format!("flow:{}", receiver.name()), move |shared| shared.serve(&receiver))?;
        }
        let mut watch = AlarmWatch { setup, names, incomplete_since: None };
        threads.spawn("flow:alarm".to_owned(), move |shared| {
            loop {
                watch.look(shared, Instant::now());
                if shared.rests(LOOK) {
                    return;
                }
            }
        })?;
        Ok(threads)
    }

    fn spawn(
        &mut self,
        name: String,
        work: impl FnOnce(&AlarmShared) + Send + 'static,
    ) -> Result<(), io::Error> {
        let shared = Arc::clone(&self.shared);
        self.shared.lock().running += 1;
        let spawned = Builder::new().name(name).spawn(move || {
            work(&shared);
            shared.lock().running -= 1;
            shared.changed.notify_all();
        });
        if spawned.is_err() {
            self.shared.lock().running -= 1;
        }
        self.threads.push(spawned?);
        Ok(())
    }
}

impl Drop for AlarmThread {
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.changed.notify_all();
        let ended = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), END_TIME_MAX, |state| state.running > 0);
        let (mut state, _) = ended.unwrap_or_else(PoisonError::into_inner);
        // From now on the file may be that of another process.
        state.is_closed = true;
        drop(state);
        // A thread that still waits for its receiver ends with the process.
        self.threads.drain(..).filter(JoinHandle::is_finished).for_each(|thread| _ = thread.join());
    }
}

/// State that the threads share.
struct AlarmShared {
    state: Mutex<AlarmState>,
    changed: Condvar,
}

struct AlarmState {
    memory: AlarmMemory,
    running: usize,
    is_stopping: bool,
    /// Whether nothing is to be written any more.
    is_closed: bool,
}

impl AlarmShared {
    fn new(memory: AlarmMemory) -> AlarmShared {
        let state = AlarmState { memory, running: 0, is_stopping: false, is_closed: false };
        AlarmShared { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, AlarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a time. Returns whether the end has come meanwhile.
    fn rests(&self, time: Duration) -> bool {
        let state = self.changed.wait_timeout_while(self.lock(), time, |state| !state.is_stopping);
        state.unwrap_or_else(PoisonError::into_inner).0.is_stopping
    }

    /// Takes account of what is wrong now.
    fn note(&self, causes: &AlarmCauses, names: &[&str], now_ms: i64) {
        let mut state = self.lock();
        // What is to be told is kept before it is told: a crash between the two tells it twice, never not at all.
        if state.memory.note(causes, names, now_ms) {
            state.save();
            self.changed.notify_all();
        }
    }

    /// Tells a receiver what waits for it, until the end.
    fn serve(&self, receiver: &AlarmReceiver) {
        let name = receiver.name();
        loop {
            let is_idle = |state: &mut AlarmState| !state.is_stopping && state.memory.next(name).is_none();
            let state = self.changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
            let Some(message) = state.memory.next(name).filter(|_| !state.is_stopping).cloned() else {
                return;
            };
            drop(state);
            match receiver.tell(&message) {
                Ok(()) => {
                    let mut state = self.lock();
                    if !state.is_closed {
                        state.memory.told(name, &message);
                        state.save();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, text = message.subject(), "an alarm could not be told; it is tried again");
                    if self.rests(AGAIN) {
                        return;
                    }
                }
            }
        }
    }
}

impl AlarmState {
    fn save(&self) {
        if let Err(error) = self.memory.save() {
            tracing::warn!(%error, "the alarms that were told could not be noted; a restart may tell them again");
        }
    }
}

struct AlarmWatch {
    setup: AlarmSetup,
    /// The names of the receivers.
    names: Vec<&'static str>,
    /// The time since which rows of the ledger may be missing.
    incomplete_since: Option<Instant>,
}

impl AlarmWatch {
    fn look(&mut self, shared: &AlarmShared, now: Instant) {
        let now_ms = now_ms();
        let (rules, mirror) = (&self.setup.settings.rules, &self.setup.mirror);
        let is_complete = mirror.read().is_complete;
        self.incomplete_since = if is_complete { None } else { self.incomplete_since.or(Some(now)) };
        let overdue = match rules.unanswered {
            Some(limit) if is_complete => mirror.overdue(now_ms.saturating_sub(ms(limit))),
            _ => Vec::new(),
        };
        let snapshot = is_complete.then(|| mirror.snapshot());
        let ledger = match &snapshot {
            Some(snapshot) => LedgerInput::Complete { snapshot, overdue: &overdue },
            None => LedgerInput::Incomplete(
                self.incomplete_since.map(|since| now.saturating_duration_since(since)).unwrap_or_default(),
            ),
        };
        let input = AlarmInput { ledger, free_bytes: free_bytes(&self.setup.state), now_ms };
        let mut causes = causes(rules, &input);
        if !is_complete {
            // Without all rows a cause would seem to be over: those that were there stay.
            let raised = shared.lock().memory.raised();
            causes.extend(raised.into_iter().filter(|(cause, _)| is_of_ledger(cause)));
        }
        shared.note(&causes, &self.names, now_ms);
    }
}

fn now_ms() -> i64 {
    ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::message::AlarmStage;
    use super::super::site::AlarmRules;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn without_a_ledger_the_disk_is_watched_and_other_causes_stay() {
        let state = tempfile::tempdir().unwrap();
        let mut memory = AlarmMemory::open(state.path(), Duration::ZERO);
        memory.note(&[("errors".to_owned(), "errors".to_owned())].into(), &["command"], 0);
        memory.told("command", &memory.next("command").unwrap().clone());
        let shared = AlarmShared::new(memory);
        let rules = AlarmRules { free: Some(u64::MAX), unanswered: Some(MINUTE), ..AlarmRules::default() };
        let settings = AlarmSettings { rules, ..AlarmSettings::default() };
        let setup = AlarmSetup { settings, state: state.path().to_owned(), mirror: Arc::default() };
        let mut watch = AlarmWatch { setup, names: vec!["command"], incomplete_since: None };
        let begin = Instant::now();
        let mut told = |after| {
            watch.look(&shared, begin + after);
            let mut state = shared.lock();
            let mut told = Vec::new();
            while let Some(message) = state.memory.next("command").cloned() {
                state.memory.told("command", &message);
                told.push((message.cause, message.stage));
            }
            told
        };
        assert_eq!(told(Duration::ZERO), [("disk".to_owned(), AlarmStage::Begun)]);
        assert_eq!(told(9 * MINUTE), []);
        assert_eq!(told(11 * MINUTE), [("ledger".to_owned(), AlarmStage::Begun)]);
    }
}
