//! The thread that looks for alarms and tells of them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ledger::LedgerMirror;
use crate::store::free_bytes;

use super::cause::{AlarmInput, causes, ms};
use super::memory::AlarmMemory;
use super::receiver::AlarmReceiver;
use super::site::AlarmSettings;

/// What alarms look at.
pub struct AlarmSetup {
    pub settings: AlarmSettings,
    pub state: PathBuf,
    pub mirror: Arc<LedgerMirror>,
}

/// The thread. Dropping it ends it; what is not told yet is told after the next start.
pub struct AlarmThread {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// The time between two tries at a receiver that takes nothing.
const AGAIN: Duration = Duration::from_secs(30);

impl AlarmThread {
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(setup: AlarmSetup) -> io::Result<AlarmThread> {
        let (stop, stopped) = sync_channel(1);
        let watch = AlarmWatch {
            memory: AlarmMemory::open(&setup.state),
            receivers: AlarmReceiver::of(&setup.settings).into_iter().map(|one| (one, None)).collect(),
            setup,
        };
        let thread =
            std::thread::Builder::new().name("flow:alarm".to_owned()).spawn(move || watch.serve(&stopped))?;
        Ok(AlarmThread { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for AlarmThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct AlarmWatch {
    setup: AlarmSetup,
    memory: AlarmMemory,
    /// With the time before which none is tried again.
    receivers: Vec<(AlarmReceiver, Option<Instant>)>,
}

impl AlarmWatch {
    fn serve(mut self, stopped: &Receiver<()>) {
        loop {
            self.look();
            match stopped.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) {
        // Without all rows a cause would seem to be over.
        if !self.setup.mirror.read().is_complete {
            return;
        }
        let now_ms = now_ms();
        let rules = &self.setup.settings.rules;
        let overdue = match rules.unanswered {
            Some(limit) => self.setup.mirror.overdue(now_ms.saturating_sub(ms(limit))),
            None => Vec::new(),
        };
        let (snapshot, free_bytes) = (self.setup.mirror.snapshot(), free_bytes(&self.setup.state));
        let input = AlarmInput { snapshot: &snapshot, overdue: &overdue, free_bytes, now_ms };
        let causes = causes(rules, &input);
        let names: Vec<&str> = self.receivers.iter().map(|(receiver, _)| receiver.name()).collect();
        // What is to be told is kept before it is told: a crash between the two tells it twice, never not at all.
        let mut is_changed = self.memory.note(&causes, &names, now_ms);
        if is_changed {
            self.save();
        }
        is_changed = self.tell();
        if is_changed {
            self.save();
        }
    }

    /// Tells what waits. Returns whether anything was taken.
    fn tell(&mut self) -> bool {
        let mut is_told = false;
        for (receiver, not_before) in &mut self.receivers {
            if not_before.is_some_and(|time| Instant::now() < time) {
                continue;
            }
            while let Some(message) = self.memory.next(receiver.name()) {
                match receiver.tell(message) {
                    Ok(()) => {
                        self.memory.told(receiver.name());
                        (is_told, *not_before) = (true, None);
                    }
                    Err(error) => {
                        tracing::warn!(%error, text = message.subject(), "an alarm could not be told; it is tried again");
                        *not_before = Some(Instant::now() + AGAIN);
                        break;
                    }
                }
            }
        }
        is_told
    }

    fn save(&self) {
        if let Err(error) = self.memory.save() {
            tracing::warn!(%error, "the alarms that were told could not be noted; a restart may tell them again");
        }
    }
}

fn now_ms() -> i64 {
    ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
