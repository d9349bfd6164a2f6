//! What a backup is of.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::step::Digest;

use super::error::BackupError;

/// The description of a backup, in the file [`BackupManifest::FILE`] of its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    pub format: u32,
    /// The version of the flow that made it.
    pub flow: String,
    /// When it was made, in milliseconds of Unix time.
    pub made_ms: u64,
    /// The names of the state folder: absolute, with and without links.
    pub state: Vec<PathBuf>,
    /// The files, in the order of their paths.
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Below the state folder, with forward slashes.
    pub path: String,
    pub bytes: u64,
    pub digest: Digest,
    /// When the file was changed, in nanoseconds of Unix time; `None` for a database, which is always copied anew.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub modified_ns: Option<u64>,
}

impl BackupManifest {
    pub const FILE: &'static str = "manifest.json";

    /// The format that this version writes, and the only one that it reads.
    pub const FORMAT: u32 = 1;

    /// Reads the manifest of a backup's folder.
    ///
    /// # Errors
    /// If there is none, or it is of another format.
    pub fn read(backup: &Path) -> Result<BackupManifest, BackupError> {
        let path = backup.join(BackupManifest::FILE);
        let text = fs::read(&path).map_err(BackupError::at("read", &path))?;
        let manifest: BackupManifest = serde_json::from_slice(&text)
            .map_err(|error| BackupError::Manifest { path: path.clone(), what: error.to_string() })?;
        match manifest.format {
            BackupManifest::FORMAT => Ok(manifest),
            other => Err(BackupError::Manifest { path, what: format!("it has format {other}") }),
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}
