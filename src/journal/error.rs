//! Errors of the journal.

use std::path::{Path, PathBuf};

#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the disk of the journal is full")]
    Full,
    #[error(
        "only {} MiB are free on the disk of --state, and --free-min wants {} MiB",
        free >> 20, wanted >> 20
    )]
    Low { free: u64, wanted: u64 },
    #[error("the journal {path} is damaged: {what}", path = path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the journal {path} has format {found}, and this flow knows {known}", path = path.display())]
    Format { path: PathBuf, found: i64, known: i64 },
    /// A process that is starting makes it at this moment.
    #[error("the journal {path} has nothing in it yet", path = path.display())]
    New { path: PathBuf },
    #[error("could not use the journal {path}: {what}", path = path.display())]
    Failed { path: PathBuf, what: String },
}

impl JournalError {
    /// The same error of a journal under another name: a copy is read in place of the one that a person knows.
    pub fn named(self, name: &Path) -> JournalError {
        let path = name.to_owned();
        match self {
            JournalError::Damaged { what, .. } => JournalError::Damaged { path, what },
            JournalError::Format { found, known, .. } => JournalError::Format { path, found, known },
            JournalError::New { .. } => JournalError::New { path },
            JournalError::Failed { what, .. } => JournalError::Failed { path, what },
            JournalError::Full | JournalError::Low { .. } => self,
        }
    }
}

/// Errors of the database, before the path of the journal is added to them.
#[derive(Clone, Debug)]
pub enum DatabaseError {
    Full,
    Damaged(String),
    Failed(String),
}

impl DatabaseError {
    /// Nothing, if the disk is full.
    pub fn unless_full(self) -> Result<(), DatabaseError> {
        match self {
            DatabaseError::Full => Ok(()),
            other => Err(other),
        }
    }

    pub fn at(self, path: &Path) -> JournalError {
        let path = path.to_owned();
        match self {
            DatabaseError::Full => JournalError::Full,
            DatabaseError::Damaged(what) => JournalError::Damaged { path, what },
            DatabaseError::Failed(what) => JournalError::Failed { path, what },
        }
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> DatabaseError {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
        };
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        let is_cut_short = error
            .sqlite_error()
            .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ);
        match (error.sqlite_error_code(), &error) {
            (Some(DiskFull), _) => DatabaseError::Full,
            _ if is_cut_short => DatabaseError::Damaged("the file is cut short".to_owned()),
            (Some(DatabaseCorrupt | NotADatabase), _)
            // A column has a value that flow never writes there: the journal is damaged.
            | (None, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..))
            | (None, Utf8Error(..)) => DatabaseError::Damaged(error.to_string()),
            _ => DatabaseError::Failed(error.to_string()),
        }
    }
}
