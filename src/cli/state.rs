//! The state folder: only one flow at a time may use it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, absolute};

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
        let path = folder.join("lock");
        // Not truncated: who holds it has written its number there.
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut lock = open.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {
                let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
                noted.map_err(failed)?;
                Ok(State { _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                let holder = match holder(folder) {
                    None => "another flow".to_owned(),
                    Some(process) => format!("another flow (process {process})"),
                };
                let text = format!("{holder} is using the state folder {}", folder.display());
                Err(Failure::new(Kind::InputOutput, text)
                    .hint("end it, or give this one a --state of its own"))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Has the private folders of steps made below the state folder from now on, and removes those that this
/// process of the cluster left there when it was killed. One that cannot be removed stays: a program that
/// outlived flow may still be writing in it.
///
/// # Errors
/// If the folder cannot be made.
pub fn keep_step_folders(state: &Path, process: usize) -> io::Result<()> {
    let folder = absolute(state)?.join("steps").join(process.to_string());
    if let Err(error) = fs::remove_dir_all(&folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "folders of steps that were killed stay in {}", folder.display());
    }
    fs::create_dir_all(&folder)?;
    tempfile::env::override_temp_dir(&folder)
        .map_err(|other| io::Error::other(format!("temporary files are in {} already", other.display())))
}

/// The process that is using a state folder, if one is.
pub fn holder(folder: &Path) -> Option<u32> {
    let path = folder.join("lock");
    let lock = File::open(&path).ok()?;
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => fs::read_to_string(&path).ok()?.trim().parse().ok(),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}
