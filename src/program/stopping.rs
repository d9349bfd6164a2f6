//! Programs that were asked to stop: flow ends after them, so that each has its time between SIGTERM and SIGKILL.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static STOPPING: Mutex<usize> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();

/// A program that was asked to stop, until this is dropped.
pub struct StoppingProgram(());

impl StoppingProgram {
    pub fn note() -> StoppingProgram {
        *stopping() += 1;
        StoppingProgram(())
    }
}

impl Drop for StoppingProgram {
    fn drop(&mut self) {
        *stopping() -= 1;
        CHANGED.notify_all();
    }
}

/// Waits until all programs that were asked to stop have ended. Each is killed after its time.
pub fn wait_for_stopping() {
    drop(CHANGED.wait_while(stopping(), |count| *count > 0));
}

fn stopping() -> MutexGuard<'static, usize> {
    STOPPING.lock().unwrap_or_else(PoisonError::into_inner)
}
