//! One stage in this process: its place, the tokens that it has claimed, and what has become of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::tokens::{ClaimedToken, TokenError, WorkPlace};

use super::stages::BookStage;

/// A stage in this process.
pub struct StageWork {
    pub stage: Arc<BookStage>,
    place: RwLock<Arc<WorkPlace>>,
    state: Mutex<WorkState>,
    changed: Condvar,
    /// Tokens that may be claimed at the same time.
    limit: usize,
    counts: [AtomicU64; 3],
}

#[derive(Default)]
struct WorkState {
    /// The tokens under way, by the names of their files, with the place in which each lies.
    claimed: HashMap<String, (ClaimedToken, Arc<WorkPlace>)>,
    /// Tokens under way, and those that are being claimed.
    taken: usize,
    /// Something may have come into the directory.
    is_woken: bool,
}

/// What has become of the tokens that this process has worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkCounts {
    pub done: u64,
    pub failed: u64,
    pub postponed: u64,
}

impl StageWork {
    /// The stage with a place of its own.
    ///
    /// # Errors
    /// If the directories cannot be made.
    pub fn new(stage: &Arc<BookStage>, limit: usize) -> Result<StageWork, TokenError> {
        stage.to.prepare_last()?;
        let place = RwLock::new(Arc::new(WorkPlace::new(&stage.from)?));
        let (state, changed, counts) = (Mutex::default(), Condvar::new(), Default::default());
        Ok(StageWork { stage: Arc::clone(stage), place, state, changed, limit, counts })
    }

    pub fn place(&self) -> Arc<WorkPlace> {
        Arc::clone(&self.place.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new place instead of one that was lost.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn renew(&self, lost: &Arc<WorkPlace>) -> Result<(), TokenError> {
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&place, lost) {
            *place = Arc::new(WorkPlace::new(&self.stage.from)?);
        }
        Ok(())
    }

    /// Waits for at most `time` until one more token may be claimed. Gives whether it may.
    pub(super) fn enter(&self, time: Duration) -> bool {
        let full = |state: &mut WorkState| state.taken >= self.limit;
        let waited = self.changed.wait_timeout_while(self.lock(), time, full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let may = state.taken < self.limit;
        state.taken += usize::from(may);
        may
    }

    /// Gives back what was entered: no token was claimed, or it has gone.
    pub(super) fn leave(&self) {
        self.lock().taken -= 1;
        self.changed.notify_all();
    }

    /// Waits for at most `time` until something may have come into the directory.
    pub(super) fn wait_for_tokens(&self, time: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| !state.is_woken);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_woken = false;
    }

    /// Says that something has come into the directory.
    pub(super) fn wake(&self) {
        self.lock().is_woken = true;
        self.changed.notify_all();
    }

    pub(super) fn note(&self, claimed: ClaimedToken, place: Arc<WorkPlace>) {
        self.lock().claimed.insert(claimed.name.to_string(), (claimed, place));
    }

    pub(super) fn take(&self, name: &str) -> Option<(ClaimedToken, Arc<WorkPlace>)> {
        self.lock().claimed.remove(name)
    }

    /// Waits for at most `time` until nothing is claimed. Gives the tokens that still are.
    pub(super) fn wait_until_idle(&self, time: Duration) -> Vec<ClaimedToken> {
        let busy = |state: &mut WorkState| state.taken > 0;
        let waited = self.changed.wait_timeout_while(self.lock(), time, busy);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.claimed.values().map(|(claimed, _)| claimed.clone()).collect()
    }

    pub(super) fn count(&self, of: WorkCounts) {
        for (count, more) in self.counts.iter().zip([of.done, of.failed, of.postponed]) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// What has become of tokens in this process.
    pub fn counts(&self) -> WorkCounts {
        let [done, failed, postponed] = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        WorkCounts { done, failed, postponed }
    }

    fn lock(&self) -> MutexGuard<'_, WorkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
