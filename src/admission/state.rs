//! The state folder: only one process at a time may use it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    _lock: File,
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
        match lock.try_lock() {
            Ok(()) => {
                let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
                noted.map_err(failed)?;
                Ok(StateFolder { path: folder.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                Err(StateError::Held { path: folder.to_owned(), holder: StateFolder::holder(folder) })
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process that is using a state folder, if one is.
    pub fn holder(folder: &Path) -> Option<u32> {
        let path = lock_file(folder);
        let lock = File::open(&path).ok()?;
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => fs::read_to_string(&path).ok()?.trim().parse().ok(),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("lock")
}
