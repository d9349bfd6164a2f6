//! The directories of a stage: where tokens wait for it, are in work, are parked, and wait for a time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::name::TokenName;

/// The directory in which tokens wait for a stage, and those beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageFolder {
    root: PathBuf,
    name: String,
}

/// A place of a token, relative to the folder of all stages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenPlace {
    /// In the directory of a stage.
    Waiting(String),
    /// Parked, with the reason.
    Parked(String, String),
    /// Postponed until a time in Unix seconds.
    Postponed(String, u64),
}

/// The error of an operation on directories of tokens.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} {}", path.display())]
pub struct TokenError {
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl TokenError {
    pub(super) fn of(what: &'static str, path: &Path) -> impl Fn(io::Error) -> TokenError + use<> {
        let path = path.to_owned();
        move |source| TokenError { what, path: path.clone(), source }
    }

    /// The kind of the cause.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl StageFolder {
    /// The directory `name` below the folder of all stages.
    pub fn new(root: impl Into<PathBuf>, name: impl Into<String>) -> StageFolder {
        StageFolder { root: root.into(), name: name.into() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory in which tokens wait.
    pub fn waiting(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// The directory with the places of workers.
    pub fn work(&self) -> PathBuf {
        self.root.join(format!("{}.work", self.name))
    }

    /// The directory of parked tokens.
    pub fn failed(&self) -> PathBuf {
        self.root.join(format!("{}.failed", self.name))
    }

    /// The directory of tokens that wait for a time.
    pub fn later(&self) -> PathBuf {
        self.root.join(format!("{}.later", self.name))
    }

    /// Makes the directory and the one of its workers, durably. Those for parked and postponed tokens are made when
    /// there are any.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn prepare(&self) -> Result<(), TokenError> {
        self.make(&[self.waiting(), self.work()])
    }

    /// Makes the directory alone: no stage takes from it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn prepare_last(&self) -> Result<(), TokenError> {
        self.make(&[self.waiting()])
    }

    fn make(&self, folders: &[PathBuf]) -> Result<(), TokenError> {
        for folder in folders {
            fs::create_dir_all(folder).map_err(TokenError::of("make", folder))?;
        }
        sync_folder(&self.root)
    }

    /// The path of a place.
    pub(super) fn path(&self, place: &TokenPlace, name: &TokenName) -> PathBuf {
        match place {
            TokenPlace::Waiting(stage) => self.root.join(stage).join(name.as_str()),
            TokenPlace::Parked(stage, reason) => {
                StageFolder::new(&self.root, stage).failed().join(name.marked(reason))
            }
            TokenPlace::Postponed(stage, time) => {
                StageFolder::new(&self.root, stage).later().join(name.marked(&format!("at-{time}")))
            }
        }
    }

    /// A place as the log of a token has it.
    pub(super) fn relative(&self, place: &TokenPlace, name: &TokenName) -> String {
        let path = self.path(place, name);
        path.strip_prefix(&self.root).unwrap_or(&path).display().to_string()
    }
}

/// The names in a directory, in its order and without sorting; none if there is no such directory. Names that begin
/// with a dot are left out: files that are being written have them.
///
/// # Errors
/// If it cannot be read.
pub(super) fn names(folder: &Path) -> Result<impl Iterator<Item = OsString> + use<>, TokenError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries.map_err(TokenError::of("read", folder))?),
    };
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
    Ok(names.filter(|name| !is_hidden(name)))
}

pub(super) fn is_hidden(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Writes the names in a directory to disk.
///
/// # Errors
/// If the disk does not.
pub(super) fn sync_folder(folder: &Path) -> Result<(), TokenError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(TokenError::of("sync", folder))
}
