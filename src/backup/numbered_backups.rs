//! The backups in a folder, which may have other folders in it.
//!
//! Nothing is taken for a backup because of its name alone: a folder is only counted, and only ever removed, if its
//! manifest is one that flow wrote.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::error::BackupError;
use super::manifest::BackupManifest;

/// The file that marks a draft as one of flow's. The last change before a draft becomes a backup removes it.
const DRAFT_MARK: &str = "draft-of-flow-backup";

/// The folders in a folder of backups that have a manifest, readable or not, by their numbers.
///
/// # Errors
/// If the folder cannot be read.
pub fn with_manifest(backups: &Path) -> Result<BTreeMap<u64, PathBuf>, BackupError> {
    let folders = entries(backups)?.into_iter().filter_map(|entry| Some((number(&entry)?, entry.path())));
    Ok(folders.filter(|(_, folder)| folder.join(BackupManifest::FILE).exists()).collect())
}

/// The backups in a folder that this flow can read, by their numbers. Links are left out: what they lead to lies
/// elsewhere, and is not removed here.
///
/// # Errors
/// If the folder cannot be read.
pub fn readable(backups: &Path) -> Result<BTreeMap<u64, PathBuf>, BackupError> {
    let mut found = with_manifest(backups)?;
    found.retain(|_, folder| is_folder(folder) && BackupManifest::is_readable(folder));
    Ok(found)
}

/// A backup that is being made, in a folder of backups.
pub struct BackupDraft {
    folder: PathBuf,
    backup: PathBuf,
}

impl BackupDraft {
    /// Makes a draft with the next number after the last backup whose names are free, and removes those that were
    /// not finished.
    ///
    /// # Errors
    /// If there is no number left, or the folder cannot be written.
    pub fn make(backups: &Path, last: Option<u64>) -> Result<BackupDraft, BackupError> {
        remove_unfinished(backups)?;
        let mut number = last;
        let draft = loop {
            let next = number.unwrap_or(0).checked_add(1);
            let next = next.ok_or_else(|| BackupError::NoNumber(backups.to_owned()))?;
            let (folder, backup) = (backups.join(format!(".{}.part", name(next))), backups.join(name(next)));
            if [&folder, &backup].into_iter().all(|path| fs::symlink_metadata(path).is_err()) {
                break BackupDraft { folder, backup };
            }
            number = Some(next);
        };
        fs::create_dir(&draft.folder).map_err(BackupError::at("make", &draft.folder))?;
        let mark = draft.mark();
        fs::write(&mark, "").map_err(BackupError::at("write", &mark))?;
        Ok(draft)
    }

    /// The folder of the draft.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives the draft, whose manifest is written, the name of a backup, and says what that is.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn finish(self) -> Result<PathBuf, BackupError> {
        let mark = self.mark();
        fs::remove_file(&mark).map_err(BackupError::at("remove", &mark))?;
        fs::rename(&self.folder, &self.backup).map_err(BackupError::at("name", &self.backup))?;
        Ok(self.backup)
    }

    fn mark(&self) -> PathBuf {
        self.folder.join(DRAFT_MARK)
    }
}

/// Removes the drafts of flow that no process finishes any more: whoever calls this holds the lock.
fn remove_unfinished(backups: &Path) -> Result<(), BackupError> {
    for entry in entries(backups)?.into_iter().filter(is_unfinished) {
        let folder = entry.path();
        fs::remove_dir_all(&folder).map_err(BackupError::at("remove", &folder))?;
    }
    Ok(())
}

/// Whether an entry is a draft. A crash may leave one that is empty, or one that is finished but for its name.
fn is_unfinished(entry: &DirEntry) -> bool {
    let file_name = entry.file_name();
    let number = file_name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(".part"));
    let folder = entry.path();
    let is_empty = || fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none());
    number.and_then(numbered).is_some()
        && is_folder(&folder)
        && (folder.join(DRAFT_MARK).exists() || BackupManifest::is_readable(&folder) || is_empty())
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

fn entries(backups: &Path) -> Result<Vec<DirEntry>, BackupError> {
    let entries = fs::read_dir(backups).and_then(Iterator::collect);
    entries.map_err(BackupError::at("read", backups))
}

fn number(entry: &DirEntry) -> Option<u64> {
    numbered(entry.file_name().to_str()?)
}

/// The number that is written so. `7` and `00000007` are no names of backups, and neither is a year.
fn numbered(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| name(*number) == text)
}

fn name(number: u64) -> String {
    format!("{number:07}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        let text = r#"{"format": 1, "flow": "0", "made_ms": 1, "state": [], "files": []}"#;
        fs::write(folder.join(BackupManifest::FILE), text).unwrap();
    }

    #[test]
    fn a_folder_is_a_backup_by_its_name_and_its_manifest() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        ["0000001", "0000007", "10000000", "7", "00000008", "2024", "0000009x"]
            .iter()
            .for_each(|name| manifest(&at(name)));
        fs::create_dir_all(at("0000011/patients")).unwrap();
        fs::create_dir_all(at("18446744073709551615")).unwrap();
        fs::create_dir_all(at("0000012")).unwrap();
        fs::write(at("0000012").join(BackupManifest::FILE), "{}").unwrap();
        std::os::unix::fs::symlink(at("0000001"), at("0000013")).unwrap();
        let numbers = |found: BTreeMap<u64, PathBuf>| found.into_keys().collect::<Vec<u64>>();
        assert_eq!(numbers(readable(place.path()).unwrap()), [1, 7, 10_000_000]);
        assert_eq!(numbers(with_manifest(place.path()).unwrap()), [1, 7, 12, 13, 10_000_000]);
    }

    #[test]
    fn only_drafts_of_flow_are_removed_and_names_that_are_taken_are_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let kept = [".thesis.part", ".0000004.part", ".2024.part", "0000002"];
        kept.iter().for_each(|name| fs::create_dir_all(at(name).join("chapter")).unwrap());
        fs::create_dir_all(at(".0000005.part")).unwrap();
        manifest(&at(".0000006.part"));
        let unfinished = BackupDraft::make(place.path(), Some(6)).unwrap();
        assert_eq!(unfinished.folder(), at(".0000007.part"));
        fs::create_dir_all(unfinished.folder().join("state")).unwrap();

        let draft = BackupDraft::make(place.path(), Some(1)).unwrap();
        let gone = [".0000005.part", ".0000006.part", ".0000007.part"];
        assert!(gone.iter().all(|name| !at(name).exists()));
        assert!(kept.iter().all(|name| at(name).join("chapter").exists()));
        // 2 is somebody else's, and so is the draft of 4.
        assert_eq!(draft.folder(), at(".0000003.part"));
        let made = draft.finish().unwrap();
        assert_eq!(made, at("0000003"));
        assert_eq!(fs::read_dir(&made).unwrap().count(), 0, "its mark is removed");
        assert_eq!(BackupDraft::make(place.path(), Some(3)).unwrap().folder(), at(".0000005.part"));
        assert!(matches!(BackupDraft::make(place.path(), Some(u64::MAX)), Err(BackupError::NoNumber(_))));
    }
}
