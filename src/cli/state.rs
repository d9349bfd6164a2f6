//! The state folder: only one flow at a time may use it.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use super::exit::{Failure, Kind};

/// A state folder that is ours as long as this lives, and when the process is killed no longer.
pub struct State {
    _lock: File,
}

impl State {
    pub fn take(folder: &Path) -> Result<State, Failure> {
        let failed =
            |error| Failure::new(Kind::InputOutput, format!("could not use {}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(State { _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another flow is using the state folder {}", folder.display());
                Err(Failure::new(Kind::InputOutput, text)
                    .hint("end it, or give this one a --state of its own"))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
