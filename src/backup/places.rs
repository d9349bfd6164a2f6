//! Where state folders and backups may lie: neither of them within the other.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::error::BackupError;

/// Refuses a folder of backups that shares files with a state folder.
///
/// # Errors
/// If one of them lies in the other, also by a link directly below the state folder, or one cannot be found.
pub fn check_apart(state: &Path, backups: &Path) -> Result<(), BackupError> {
    let (inner, outer) = (resolved(backups)?, resolved(state)?);
    let entries = fs::read_dir(&outer).map_err(BackupError::at("read", state))?;
    // The store may lie on another disk.
    let folders = entries.filter_map(|entry| entry.ok()?.path().canonicalize().ok());
    let nested = |inner: &Path, outer: &Path, why| {
        Err(BackupError::Nested { inner: inner.to_owned(), outer: outer.to_owned(), why })
    };
    if inner.starts_with(&outer) || folders.into_iter().any(|folder| inner.starts_with(folder)) {
        return nested(backups, state, "so that each backup would be copied into the next");
    }
    if outer.starts_with(&inner) {
        return nested(
            state,
            backups,
            "so that whoever moves or removes the backups would take the state along",
        );
    }
    Ok(())
}

/// Refuses a state folder in a backup.
///
/// # Errors
/// If it lies there, or one of them cannot be found.
pub fn check_outside(state: &Path, backup: &Path) -> Result<(), BackupError> {
    match resolved(state)?.starts_with(resolved(backup)?) {
        true => Err(BackupError::Nested {
            inner: state.to_owned(),
            outer: backup.to_owned(),
            why: "and would be removed with that backup",
        }),
        false => Ok(()),
    }
}

/// An absolute path.
pub fn absolute(path: &Path) -> Result<PathBuf, BackupError> {
    std::path::absolute(path).map_err(BackupError::at("find", path))
}

/// A path without links. Its end need not be there yet.
fn resolved(path: &Path) -> Result<PathBuf, BackupError> {
    let path = absolute(path)?;
    let known = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    Ok(match known {
        Some((above, canonical)) => match path.strip_prefix(above) {
            // Folders that are not there yet are no links, so that `..` leads back out of them.
            Ok(end) => end.components().fold(canonical, |path, part| match part {
                Component::ParentDir => path.parent().unwrap_or(&path).to_owned(),
                part => path.join(part),
            }),
            Err(_) => canonical,
        },
        None => path,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_state_folder_and_its_backups_lie_apart() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for folder in ["state/inbox", "disk/store", "backups"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        symlink(at("disk/store"), at("state/store")).unwrap();
        symlink(at("state"), at("link")).unwrap();
        let is_apart = |backups: &str| check_apart(&at("state"), &at(backups)).is_ok();
        for backups in ["backups", "state-backups/new", "disk/backups", "disk"] {
            assert!(is_apart(backups), "{backups}");
        }
        let within = ["state", "state/backups/new", "link/backups", "disk/store/x", ""];
        for backups in within.into_iter().chain(["backups/../state/x", "none/../state/x", "none/x/../.."]) {
            assert!(!is_apart(backups), "{backups}");
        }
        let is_outside = |state: &str| check_outside(&at(state), &at("backups")).is_ok();
        assert!(is_outside("other") && is_outside("backups-of-it") && !is_outside("backups/state"));
    }
}
