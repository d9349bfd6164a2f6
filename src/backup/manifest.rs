//! The content of a backup.

use std::fs;
use std::path::{Component, Path, PathBuf};

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
        let wrong = |what: String| Err(BackupError::Manifest { path: path.clone(), what });
        if manifest.format != BackupManifest::FORMAT {
            return wrong(format!("it has format {}", manifest.format));
        }
        match manifest.files.iter().find(|file| !is_below(&file.path)) {
            Some(file) => wrong(format!("{} leads out of the state folder", file.path)),
            None => Ok(manifest),
        }
    }

    /// Whether a folder has a manifest of the format that this version reads. What it says of the files is passed over.
    pub fn is_readable(backup: &Path) -> bool {
        #[derive(Deserialize)]
        struct ManifestHead {
            format: u32,
            #[serde(rename = "flow")]
            _flow: String,
            #[serde(rename = "made_ms")]
            _made_ms: u64,
        }
        let text = fs::read(backup.join(BackupManifest::FILE)).unwrap_or_default();
        let head = serde_json::from_slice::<ManifestHead>(&text);
        head.is_ok_and(|head| head.format == BackupManifest::FORMAT)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// Whether a path leads to a place below the folder that it is joined to.
fn is_below(path: &str) -> bool {
    let parts = Path::new(path).components();
    !path.is_empty() && parts.into_iter().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_leads_elsewhere_or_is_of_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = |format: u32, path: &str| {
            let digest = Digest::of(b"x");
            let file = BackupFile { path: path.to_owned(), bytes: 1, digest, modified_ns: None };
            let (flow, state) = ("1".to_owned(), Vec::new());
            let manifest = BackupManifest { format, flow, made_ms: 0, state, files: vec![file] };
            let text = serde_json::to_vec(&manifest).unwrap();
            fs::write(folder.path().join(BackupManifest::FILE), text).unwrap();
            BackupManifest::read(folder.path()).map_err(|error| error.to_string())
        };
        assert_eq!(read(1, "store/a").unwrap().bytes(), 1);
        for path in ["../a", "/etc/passwd", "store/../../a", "", ".", "store/.."] {
            assert!(read(1, path).unwrap_err().contains("out of the state folder"), "{path}");
        }
        assert!(read(2, "store/a").unwrap_err().contains("format 2"));
    }
}
