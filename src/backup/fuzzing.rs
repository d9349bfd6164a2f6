//! Entry point for the target in `fuzz`: the manifest of a backup that somebody else may have changed.

use std::fs;
use std::path::Path;

use super::{BackupManifest, StoredBackup};

/// A manifest beside a file `state/a` and no journal: a backup that cannot be restored, and leaves nothing.
pub fn manifest(folder: &Path, bytes: &[u8]) -> bool {
    let backup = folder.join("backup");
    fs::create_dir_all(backup.join("state")).expect("the folder can be written");
    fs::write(backup.join(BackupManifest::FILE), bytes).expect("the folder can be written");
    fs::write(backup.join("state/a"), b"a").expect("the folder can be written");
    let Ok(stored) = StoredBackup::open(&backup) else { return false };
    stored.manifest().bytes();
    let refused = stored.verify().err().map(|error| error.to_string());
    assert!(refused.is_some_and(|why| !why.is_empty()), "there is no journal");
    let state = folder.join("state");
    assert!(stored.restore(&state).is_err() && !state.exists(), "a state without a journal is none");
    let names =
        fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("as above").file_name());
    let strange: Vec<_> = names.filter(|name| name != "backup" && name != ".state.restoring").collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert_eq!(fs::read(backup.join("state/a")).expect("it is there"), b"a", "the backup stays as it is");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_of_backups_do_no_harm() {
        crate::fuzzed::check_in_folder("backup_manifest", manifest);
    }
}
