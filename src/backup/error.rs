//! Errors of backups.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::JournalError;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("could not {what} {}", path.display())]
    Failed { what: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("there is no journal in {}", .0.display())]
    NoState(PathBuf),
    #[error("another process is making a backup in {}", .0.display())]
    Busy(PathBuf),
    #[error("there is no backup in {}", .0.display())]
    NoBackup(PathBuf),
    #[error("the last backup in {} has the highest of all numbers", .0.display())]
    NoNumber(PathBuf),
    #[error("{} is no manifest that this flow can read: {what}", path.display())]
    Manifest { path: PathBuf, what: String },
    #[error("{} is there already, and is not empty", .0.display())]
    Occupied(PathBuf),
    #[error("{} is not the file that was backed up", .0.display())]
    Changed(PathBuf),
    #[error("{} was damaged when it was backed up: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{} lies in {}, {why}", inner.display(), outer.display())]
    Nested { inner: PathBuf, outer: PathBuf, why: &'static str },
    #[error("the name of {} is no text", .0.display())]
    NoText(PathBuf),
}

impl BackupError {
    /// For `map_err`: what could not be done to a path.
    pub(super) fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
        let path = path.to_owned();
        move |source| BackupError::Failed { what, path, source }
    }
}
