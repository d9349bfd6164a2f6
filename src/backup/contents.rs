//! The files of a state folder that a backup has.
//!
//! Left out are locks, files that are being written, the private folders of running programs, and the logs of
//! databases, which are copied by SQLite itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::BackupError;

/// Names directly below the state folder that are left out.
const LEFT_OUT: [&str; 2] = ["steps", "bench"];

/// A folder below the state folder with its files.
pub struct StateDirectory {
    /// Relative to the state folder; empty for that itself.
    pub path: PathBuf,
    /// The names of its files, sorted.
    pub files: Vec<String>,
}

/// Whether a file is a SQLite database.
pub fn is_database(name: &str) -> bool {
    name.ends_with(".sqlite")
}

/// The folders below a state folder, that itself first, in the order of their paths. A folder that is removed
/// meanwhile is passed over.
///
/// # Errors
/// If one cannot be read, or a name is no text.
pub fn directories(state: &Path) -> Result<Vec<StateDirectory>, BackupError> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let folder = state.join(&path);
        let entries = match entries(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.as_os_str().is_empty() => continue,
            entries => entries.map_err(BackupError::at("read", &folder))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let name = entry.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| BackupError::NoText(entry.clone()))?.to_owned();
            if is_left_out(&path, &name) {
                continue;
            }
            // A link is followed: the store may lie on another disk.
            match fs::metadata(&entry) {
                Ok(about) if about.is_dir() => waiting.push(path.join(name)),
                Ok(about) if about.is_file() => files.push(name),
                // Something else, or removed meanwhile.
                Ok(_) | Err(_) => {}
            }
        }
        files.sort();
        found.push(StateDirectory { path, files });
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn is_left_out(folder: &Path, name: &str) -> bool {
    let is_top = folder.as_os_str().is_empty();
    let is_log = ["-wal", "-shm", "-journal"].iter().any(|end| name.ends_with(end));
    let is_lock = name == "lock" || name.ends_with(".lock");
    let is_incoming = folder == Path::new("inbox") && name == "incoming";
    is_log || is_lock || is_incoming || name.ends_with(".part") || (is_top && LEFT_OUT.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_left_out() {
        let state = tempfile::tempdir().unwrap();
        let files = [
            "journal.sqlite",
            "journal.sqlite-wal",
            "lock",
            "replay.lock",
            "steps/1/secret",
            "inbox/incoming/1.part",
            "inbox/study-0000001/1.2.dcm",
            "inbox/study-0000001/.senders.json.part",
            "store/aa/bb",
            "store/aa/work/steps",
            "alarms.json",
        ];
        for file in files {
            let path = state.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let found = directories(state.path()).unwrap();
        let all = found.iter().flat_map(|one| one.files.iter().map(|file| one.path.join(file)));
        let all: Vec<String> = all.map(|path| path.display().to_string()).collect();
        let wanted = [
            "alarms.json",
            "journal.sqlite",
            "inbox/study-0000001/1.2.dcm",
            "store/aa/bb",
            "store/aa/work/steps",
        ];
        assert_eq!(all, wanted);
        assert!(directories(&state.path().join("nothing")).is_err());
    }
}
