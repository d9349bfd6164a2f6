//! The rows of all views at one commit of the journal. Everybody reads here, and can follow the changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::names::{NameId, NameTable};
use super::row::{self, RowCounts, ViewRow};
use super::snapshot::{LedgerSnapshot, OldestRequest};

/// The rows, their names, and the changes that led to them.
#[derive(Default)]
pub struct LedgerMirror {
    state: RwLock<MirrorState>,
    /// The time of the state, for those who wait for a later one.
    time: Mutex<MirrorTime>,
    moved: Condvar,
}

/// The rows at one commit.
#[derive(Default)]
pub struct MirrorState {
    /// The number of states since the start. Some differ by notices only, which are in no commit.
    pub time: u64,
    /// The last commit that is in it.
    pub commit: i64,
    /// Whether the journal has been read, so that all rows are there.
    pub is_complete: bool,
    pub rows: RowCounts,
    pub names: NameTable,
    frames: VecDeque<Arc<MirrorFrame>>,
    subscribers: Vec<SyncSender<Arc<MirrorFrame>>>,
}

#[derive(Clone, Copy, Default)]
struct MirrorTime {
    time: u64,
    commit: i64,
}

/// All changes between two states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorFrame {
    pub time: u64,
    pub commit: i64,
    pub changes: Vec<(ViewRow, isize)>,
}

/// The beginning of a subscription.
#[derive(Clone, Debug)]
pub enum MirrorStart {
    /// All rows at this time.
    Rows { time: u64, rows: RowCounts, is_complete: bool },
    /// The changes since the state that the subscriber knows.
    Frames(Vec<Arc<MirrorFrame>>),
}

/// The last frames, for subscribers that come back.
const FRAMES_KEPT: usize = 256;

/// The frames that wait for a subscriber. One that does not take them is dropped, and may come back.
const FRAMES_WAITING: usize = 64;

impl LedgerMirror {
    /// The rows, held as they are while the caller reads.
    pub fn read(&self) -> RwLockReadGuard<'_, MirrorState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows by their names.
    pub fn snapshot(&self) -> LedgerSnapshot {
        let state = self.read();
        LedgerSnapshot::of(state.commit, &state.rows, &state.names)
    }

    /// Begins a subscription: the rows, or what has changed since the state `since`, and then every frame
    /// after that, without a gap.
    pub fn subscribe(&self, since: Option<u64>) -> (MirrorStart, Receiver<Arc<MirrorFrame>>) {
        let (frames, incoming) = sync_channel(FRAMES_WAITING);
        // The same lock under which frames are made.
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.subscribers.push(frames);
        let is_known =
            |since: &u64| *since == state.time || state.frames.iter().any(|frame| frame.time == *since);
        let start = match since.filter(is_known) {
            Some(since) => {
                let missed = state.frames.iter().filter(|frame| frame.time > since);
                MirrorStart::Frames(missed.cloned().collect())
            }
            None => {
                let (time, is_complete) = (state.time, state.is_complete);
                MirrorStart::Rows { time, rows: state.rows.clone(), is_complete }
            }
        };
        (start, incoming)
    }

    /// The unanswered requests that were opened before a time: the oldest of each dataflow, and how many there are.
    pub fn overdue(&self, before_ms: i64) -> Vec<(OldestRequest, usize)> {
        let state = self.read();
        let mut overdue: BTreeMap<NameId, (OldestRequest, usize)> = BTreeMap::new();
        // The oldest come first.
        for row in state.rows.keys().skip_while(|row| !matches!(row, ViewRow::Oldest(..))) {
            let ViewRow::Oldest(opened_ms, request, dataflow) = *row else { break };
            if opened_ms >= before_ms {
                break;
            }
            let first = || {
                let name = state.names.text(dataflow).to_owned();
                (OldestRequest { request, dataflow: name, opened_ms }, 0)
            };
            overdue.entry(dataflow).or_insert_with(first).1 += 1;
        }
        overdue.into_values().collect()
    }

    /// Waits until the rows show this commit. Returns whether they do.
    pub fn wait_for_commit(&self, commit: i64, patience: Duration) -> bool {
        self.wait(patience, |time| time.commit >= commit)
    }

    /// Waits until there is a state after this one. Returns whether there is.
    pub fn wait_after(&self, time: u64, patience: Duration) -> bool {
        self.wait(patience, |now| now.time > time)
    }

    fn wait(&self, patience: Duration, is_enough: impl Fn(&MirrorTime) -> bool) -> bool {
        let waits = self.moved.wait_timeout_while(self.lock_time(), patience, |time| !is_enough(time));
        let (time, _) = waits.unwrap_or_else(PoisonError::into_inner);
        is_enough(&time)
    }

    fn lock_time(&self) -> MutexGuard<'_, MirrorTime> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that rows may be missing, until the next state.
    pub(super) fn set_incomplete(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).is_complete = false;
    }

    /// Puts the next state in the place of the one before.
    pub(super) fn apply(&self, frame: MirrorFrame, names: Option<NameTable>) {
        let mut guard = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        frame.changes.iter().for_each(|(row, change)| row::add(&mut state.rows, *row, *change));
        (state.time, state.commit, state.is_complete) = (frame.time, frame.commit, true);
        if let Some(names) = names {
            state.names = names;
        }
        let frame = Arc::new(frame);
        state.subscribers.retain(|subscriber| subscriber.try_send(Arc::clone(&frame)).is_ok());
        state.frames.push_back(Arc::clone(&frame));
        if state.frames.len() > FRAMES_KEPT {
            state.frames.pop_front();
        }
        drop(guard);
        *self.lock_time() = MirrorTime { time: frame.time, commit: frame.commit };
        self.moved.notify_all();
    }
}
