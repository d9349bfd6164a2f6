//! The state folder: only one process at a time may use it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// The time in which the last processes of a killed flow end.
const REST_TIME: Duration = Duration::from_secs(10);

/// The time between two looks whether they have.
const LOOK_TIME: Duration = Duration::from_millis(20);

/// A locked state folder. The lock ends with this value, and also when the process is killed.
///
/// ```
/// use flow::admission::{StateError, StateFolder};
///
/// let folder = tempfile::tempdir().unwrap();
/// let state = StateFolder::take(folder.path()).unwrap();
/// assert!(matches!(StateFolder::take(folder.path()), Err(StateError::Held { .. })));
/// assert_eq!(StateFolder::holder(folder.path()), Some(std::process::id()));
/// drop(state);
/// assert_eq!(StateFolder::holder(folder.path()), None);
/// ```
pub struct StateFolder {
    path: PathBuf,
    lock: File,
}

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be made, read or written.
    #[error("could not use {}: {source}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    #[error("another flow{} is using the state folder {}", process(*.holder), path.display())]
    /// Another process has locked the folder.
    Held {
        /// The folder.
        path: PathBuf,
        /// The number of the process, if it has noted it.
        holder: Option<u32>,
    },
}

fn process(holder: Option<u32>) -> String {
    holder.map(|process| format!(" (process {process})")).unwrap_or_default()
}

impl StateFolder {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// If it cannot be made or written, or another process has it.
    pub fn take(folder: &Path) -> Result<StateFolder, StateError> {
        let failed = |source| StateError::Unusable { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        // Not truncated: the process that holds it has written its number there.
        let path = lock_file(folder);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut lock = open.map_err(failed)?;
        let until = Instant::now() + REST_TIME;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let holder = noted_holder(folder);
                    if Instant::now() >= until || !holder.is_some_and(is_gone) {
                        return Err(StateError::Held { path: folder.to_owned(), holder });
                    }
                    thread::sleep(LOOK_TIME);
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(failed)?;
        Ok(StateFolder { path: folder.to_owned(), lock })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process that is using a state folder, if one is.
    pub fn holder(folder: &Path) -> Option<u32> {
        let lock = File::open(lock_file(folder)).ok()?;
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => noted_holder(folder).filter(|process| !is_gone(*process)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

impl Drop for StateFolder {
    /// Closing the file is not enough: a process that was forked just now has it, too, until it becomes a program.
    fn drop(&mut self) {
        // If this fails, the lock ends with that process.
        let _ = self.lock.unlock();
    }
}

/// The number of the process that locked the folder last.
fn noted_holder(folder: &Path) -> Option<u32> {
    fs::read_to_string(lock_file(folder)).ok()?.trim().parse().ok()
}

/// Whether there is no such process. A process that it forked, and that was not a program yet when it was killed, has the
/// lock for a moment longer.
fn is_gone(process: u32) -> bool {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    id.is_some_and(|id| test_kill_process(id) == Err(Errno::SRCH))
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_processes_of_a_killed_flow_are_waited_for_and_a_running_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let hold = |holder: u32| {
            let lock = File::create(lock_file(folder.path())).unwrap();
            lock.lock().unwrap();
            writeln!(&lock, "{holder}").unwrap();
            lock
        };
        let running = hold(std::process::id());
        assert!(matches!(StateFolder::take(folder.path()), Err(StateError::Held { .. })));
        drop(running);
        let left = hold(gone.id());
        assert_eq!(StateFolder::holder(folder.path()), None);
        let release = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(left);
        });
        let taken = StateFolder::take(folder.path());
        release.join().unwrap();
        assert!(taken.is_ok_and(|state| state.path() == folder.path()));
    }

    #[test]
    fn a_folder_that_is_given_back_can_be_taken_while_a_forked_process_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::take(folder.path()).unwrap();
        let of_forked = state.lock.try_clone().unwrap();
        drop(state);
        assert!(StateFolder::take(folder.path()).is_ok());
        drop(of_forked);
    }
}
