//! Files into which the texts of tokens are written before they become the tokens.
//!
//! A new text changes names with the old one, and the file of the old text is written over by a later one. Nothing is
//! made or removed for a token that passes: that took most of the time on ext4 without a journal, where a new file has
//! to find an inode that was not freed a moment ago, and where freed blocks are discarded one by one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;

/// Files that are kept to be written over, at most.
const SPARE_MAX: usize = 1_024;

/// The drafts in a place.
pub(super) struct DraftFiles {
    folder: PathBuf,
    /// The holder of the place.
    holder: String,
    /// What the files of this process look like: others are not written over.
    kind: FileKind,
    state: Mutex<DraftState>,
}

#[derive(Default)]
struct DraftState {
    made: u64,
    spare: Vec<PathBuf>,
    /// Files of old texts which after a power failure may be the tokens' again.
    unsynced: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileKind {
    user: u32,
    group: u32,
    mode: u32,
}

/// The kind of a file, and the number of its names.
fn kind_of(file: &File) -> io::Result<(FileKind, u64)> {
    let found = file.metadata()?;
    Ok((FileKind { user: found.uid(), group: found.gid(), mode: found.mode() }, found.nlink()))
}

impl DraftFiles {
    /// The drafts of a holder of a folder. `example` is a file that this process has made there.
    ///
    /// # Errors
    /// If the example cannot be looked at.
    pub fn new(folder: &Path, holder: &str, example: &File) -> io::Result<DraftFiles> {
        let (kind, _) = kind_of(example)?;
        let (folder, holder) = (folder.to_owned(), holder.to_owned());
        Ok(DraftFiles { folder, holder, kind, state: Mutex::default() })
    }

    /// Writes a text into a file with a hidden name.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&self, bytes: &[u8]) -> io::Result<(PathBuf, File)> {
        let spare = self.lock().spare.pop();
        if let Some(path) = spare {
            if let Ok(Some(file)) = self.write_over(&path, bytes) {
                return Ok((path, file));
            }
            remove([path]);
        }
        let path = self.new_path();
        // Never a file that is there: its owner may be slow, and still write into it.
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = made.and_then(|mut file| file.write_all(bytes).map(|()| file));
        written.map(|file| (path.clone(), file)).inspect_err(|_| remove([path]))
    }

    /// `None` if the file is not this process's alone: it may have a name elsewhere, as in a copy that was made of links.
    fn write_over(&self, path: &Path, bytes: &[u8]) -> io::Result<Option<File>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
        if kind_of(&file)? != (self.kind, 1) {
            return Ok(None);
        }
        file.write_all_at(bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        Ok(Some(file))
    }

    /// Takes files of old texts. They are not touched until the folder has been synced.
    pub fn put_unsynced(&self, paths: Vec<PathBuf>) {
        self.lock().unsynced.extend(paths);
    }

    /// Takes files of old texts for later ones, now that the folder has been synced since they lost their names, and with
    /// them those that waited for that.
    pub fn put_synced(&self, paths: Vec<PathBuf>) {
        let mut state = self.lock();
        let unsynced = std::mem::take(&mut state.unsynced);
        state.spare.extend(paths.into_iter().chain(unsynced));
        let count = state.spare.len().min(SPARE_MAX);
        let surplus = state.spare.split_off(count);
        drop(state);
        remove(surplus);
    }

    /// A name that no other holder of the place has used.
    fn new_path(&self) -> PathBuf {
        let mut state = self.lock();
        state.made += 1;
        self.folder.join(format!(".{}.{}", self.holder, state.made))
    }

    fn lock(&self) -> MutexGuard<'_, DraftState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes drafts. What is left is removed with the place.
pub(super) fn remove(paths: impl IntoIterator<Item = PathBuf>) {
    paths.into_iter().for_each(|path| _ = fs::remove_file(path));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::rename::write_new;
    use super::*;

    fn drafts(folder: &Path) -> DraftFiles {
        let example = write_new(&folder.join(".lease"), b"").unwrap();
        DraftFiles::new(folder, "holder", &example).unwrap()
    }

    fn inode(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn a_kept_file_is_written_over_and_has_the_new_text_alone() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = drafts(folder.path());
        let (path, _) = drafts.write(b"a long text").unwrap();
        let known = inode(&path);
        drafts.put_unsynced(vec![path.clone()]);
        let (other, _) = drafts.write(b"another").unwrap();
        assert_ne!(other, path, "nothing is synced yet");
        drafts.put_synced(Vec::new());
        let (again, _) = drafts.write(b"short").unwrap();
        assert_eq!((&again, inode(&again)), (&path, known));
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_ne!(drafts.write(b"more").unwrap().0, path);
    }

    #[test]
    fn a_file_that_others_know_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = drafts(folder.path());
        let copy = folder.path().join("copy");
        let after = |change: &dyn Fn(&Path)| {
            let (path, _) = drafts.write(b"old").unwrap();
            change(&path);
            drafts.put_synced(vec![path]);
            drafts.write(b"new").unwrap()
        };
        after(&|path| fs::hard_link(path, &copy).unwrap());
        assert_eq!(fs::read(&copy).unwrap(), b"old");
        let known = std::cell::Cell::new(0);
        let (path, _) = after(&|path| {
            known.set(inode(path));
            // Its inode is not free for another file.
            fs::hard_link(path, folder.path().join("other")).unwrap();
            fs::remove_file(folder.path().join("copy")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o604)).unwrap();
        });
        assert_ne!(inode(&path), known.get());
        after(&|path| fs::remove_file(path).unwrap());
        after(&|path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        });
    }
}
