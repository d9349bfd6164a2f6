//! Checking a backup, and making a state folder of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::journal::{Journal, JournalError, StateMove, damage};

use super::check::{CheckedRequests, check};
use super::contents::is_database;
use super::copied_file;
use super::error::BackupError;
use super::make::{make_folder, sync_folder};
use super::manifest::{BackupFile, BackupManifest};
use super::numbered_backups::with_manifest;
use super::places::{absolute, check_outside};

/// A backup with its manifest.
#[derive(Clone, Debug)]
pub struct StoredBackup {
    folder: PathBuf,
    manifest: BackupManifest,
}

/// A backup whose files all have the digests of the manifest.
#[derive(Clone, Debug)]
pub struct VerifiedBackup {
    pub folder: PathBuf,
    pub files: usize,
    pub bytes: u64,
    pub requests: CheckedRequests,
    /// Requests whose received files are in another folder now.
    pub moved: usize,
}

impl StoredBackup {
    /// Opens a backup, or the last one in a folder of backups.
    ///
    /// # Errors
    /// If there is none, or its manifest cannot be read.
    pub fn open(folder: &Path) -> Result<StoredBackup, BackupError> {
        if folder.join(BackupManifest::FILE).exists() {
            let manifest = BackupManifest::read(folder)?;
            return Ok(StoredBackup { folder: folder.to_owned(), manifest });
        }
        let last = with_manifest(folder)?.into_values().next_back();
        let last = last.ok_or_else(|| BackupError::NoBackup(folder.to_owned()))?;
        Ok(StoredBackup { manifest: BackupManifest::read(&last)?, folder: last })
    }

    /// The description of the backup.
    pub fn manifest(&self) -> &BackupManifest {
        &self.manifest
    }

    /// Reads all files, and compares them with the manifest, and the journal with the files.
    ///
    /// # Errors
    /// If a file is missing or differs, or the journal is damaged.
    pub fn verify(&self) -> Result<VerifiedBackup, BackupError> {
        self.has_journal()?;
        for file in &self.manifest.files {
            let path = self.place(file);
            let found = copied_file::digest(&path).map_err(BackupError::at("read", &path))?;
            if found != (file.bytes, file.digest) {
                return Err(BackupError::Changed(path));
            }
        }
        // SQLite may write beside the file that it reads.
        let draft = tempfile::tempdir().map_err(BackupError::at("make a folder for", &self.folder))?;
        for file in self.manifest.files.iter().filter(|file| file.modified_ns.is_none()) {
            self.copy(file, draft.path())?;
        }
        let there: BTreeSet<&Path> = self.manifest.files.iter().map(|file| Path::new(&file.path)).collect();
        let checked = check(draft.path(), &self.manifest.state, |file| there.contains(file));
        let requests = checked.map_err(|error| self.of_journal(error))?;
        Ok(self.verified(requests, 0))
    }

    /// Makes a state folder. It appears whole or not at all; the backup stays as it is.
    ///
    /// # Errors
    /// If the folder is there and not empty, or lies in the backup, a file differs from the manifest, or something cannot be written.
    pub fn restore(&self, state: &Path) -> Result<VerifiedBackup, BackupError> {
        self.has_journal()?;
        check_outside(state, &self.folder)?;
        let to = absolute(state)?;
        let is_occupied = fs::read_dir(&to).is_ok_and(|mut entries| entries.next().is_some());
        let (Some(above), Some(name), false) = (to.parent(), to.file_name(), is_occupied) else {
            return Err(BackupError::Occupied(state.to_owned()));
        };
        make_folder(above)?;
        let draft = above.join(format!(".{}.restoring", name.to_string_lossy()));
        let _ = fs::remove_dir_all(&draft);
        make_folder(&draft)?;
        let mut folders = BTreeSet::from([draft.clone()]);
        for file in &self.manifest.files {
            self.copy(file, &draft)?;
            let above = Path::new(&file.path).ancestors().skip(1);
            folders.extend(above.map(|folder| draft.join(folder)));
        }
        let (moved, names) = match self.manifest.state.contains(&to) {
            true => (0, self.manifest.state.clone()),
            false => {
                let change = StateMove { from: self.manifest.state.clone(), to: to.clone() };
                let moved = change.apply(&draft).map_err(|error| self.of_journal(error))?;
                (moved, vec![to.clone()])
            }
        };
        let checked = check(&draft, &names, |file| draft.join(file).exists());
        let requests = checked.map_err(|error| self.of_journal(error))?;
        folders.iter().try_for_each(|folder| sync_folder(folder))?;
        fs::rename(&draft, &to).map_err(BackupError::at("name", &to))?;
        sync_folder(above)?;
        Ok(self.verified(requests, moved))
    }

    /// A state folder without a journal would be taken for a new one, in which nothing was ever accepted.
    fn has_journal(&self) -> Result<(), BackupError> {
        let has_journal = self.manifest.files.iter().any(|file| file.path == Journal::FILE);
        has_journal.then_some(()).ok_or_else(|| BackupError::NoState(self.folder.clone()))
    }

    /// Copies a file, and has SQLite look through the copy of a database.
    fn copy(&self, file: &BackupFile, state: &Path) -> Result<(), BackupError> {
        let (from, to) = (self.place(file), state.join(&file.path));
        let folder = to.parent().unwrap_or(state);
        make_folder(folder)?;
        let copied = copied_file::copy(&from, &to).map_err(BackupError::at("copy", &from))?;
        if copied != (file.bytes, file.digest) {
            return Err(BackupError::Changed(from));
        }
        let found =
            if is_database(&file.path) { damage(&to).map_err(|error| error.named(&from))? } else { None };
        match found {
            None => Ok(()),
            Some(what) => Err(BackupError::Damaged { path: from, what }),
        }
    }

    /// An error of the copied journal, as one of the backup.
    fn of_journal(&self, error: JournalError) -> BackupError {
        let path = self.folder.join("state").join(Journal::FILE);
        match error {
            JournalError::Damaged { what, .. } => BackupError::Damaged { path, what },
            other => BackupError::Journal(other.named(&path)),
        }
    }

    fn place(&self, file: &BackupFile) -> PathBuf {
        self.folder.join("state").join(&file.path)
    }

    fn verified(&self, requests: CheckedRequests, moved: usize) -> VerifiedBackup {
        let (files, bytes) = (self.manifest.files.len(), self.manifest.bytes());
        VerifiedBackup { folder: self.folder.clone(), files, bytes, requests, moved }
    }
}
