//! Files into which the texts of tokens are written before they become the tokens.
//!
//! A new text changes names with the old one, and the file of the old text is written over by a later one. Nothing is
//! made or removed for a token that passes: on ext4 that took most of the time, as a new file has to find an inode that
//! was not freed a moment ago, and freed blocks may have to be discarded one by one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;

use super::rename::write_new;

/// Files that are kept to be written over, at most.
const SPARE_MAX: usize = 1_024;

/// The drafts in a place.
pub(super) struct DraftFiles {
    folder: PathBuf,
    /// What a file of this process looks like: others are not written over.
    own: FileOwner,
    state: Mutex<DraftState>,
}

#[derive(Default)]
struct DraftState {
    made: u64,
    spare: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileOwner {
    user: u32,
    group: u32,
    mode: u32,
}

impl FileOwner {
    fn of(file: &File) -> io::Result<(FileOwner, u64)> {
        let found = file.metadata()?;
        Ok((FileOwner { user: found.uid(), group: found.gid(), mode: found.mode() }, found.nlink()))
    }
}

impl DraftFiles {
    /// The drafts in a folder. `example` is a file that this process has made there.
    pub fn new(folder: &Path, example: &File) -> io::Result<DraftFiles> {
        let (own, _) = FileOwner::of(example)?;
        Ok(DraftFiles { folder: folder.to_owned(), own, state: Mutex::default() })
    }

    /// Writes a text into a file with a hidden name.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&self, bytes: &[u8]) -> io::Result<(PathBuf, File)> {
        let spare = self.lock().spare.pop();
        if let Some(path) = spare {
            match self.write_over(&path, bytes) {
                Ok(Some(file)) => return Ok((path, file)),
                Ok(None) => fs::remove_file(&path)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    self.keep([path]);
                    return Err(error);
                }
            }
        }
        let path = self.new_path();
        match write_new(&path, bytes) {
            Ok(file) => Ok((path, file)),
            Err(error) => {
                self.keep([path]);
                Err(error)
            }
        }
    }

    /// `None` if the file is not this process's alone: it may have a name elsewhere, as in a copy that was made of links.
    fn write_over(&self, path: &Path, bytes: &[u8]) -> io::Result<Option<File>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = match OpenOptions::new().write(true).custom_flags(flags).open(path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
            opened => opened?,
        };
        if FileOwner::of(&file)? != (self.own, 1) {
            return Ok(None);
        }
        file.write_all_at(bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        Ok(Some(file))
    }

    /// Takes files that later texts may be written over. That they are no token's file has to be on the disk by now.
    pub fn keep(&self, paths: impl IntoIterator<Item = PathBuf>) {
        let mut state = self.lock();
        state.spare.extend(paths);
        let count = state.spare.len().min(SPARE_MAX);
        let surplus = state.spare.split_off(count);
        drop(state);
        remove(surplus);
    }

    /// Removes the files that are kept.
    pub fn clear(&self) {
        let spare = std::mem::take(&mut self.lock().spare);
        remove(spare);
    }

    fn new_path(&self) -> PathBuf {
        let mut state = self.lock();
        state.made += 1;
        self.folder.join(format!(".draft-{}", state.made))
    }

    fn lock(&self) -> MutexGuard<'_, DraftState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever takes the place over removes what is left.
fn remove(paths: Vec<PathBuf>) {
    paths.iter().for_each(|path| _ = fs::remove_file(path));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn drafts(folder: &Path) -> DraftFiles {
        let example = write_new(&folder.join(".lease"), b"").unwrap();
        DraftFiles::new(folder, &example).unwrap()
    }

    #[test]
    fn a_kept_file_is_written_over_and_has_the_new_text_alone() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = drafts(folder.path());
        let (path, file) = drafts.write(b"a long text").unwrap();
        drafts.keep([path.clone()]);
        let (again, over) = drafts.write(b"short").unwrap();
        assert_eq!(again, path);
        assert_eq!(file.metadata().unwrap().ino(), over.metadata().unwrap().ino());
        assert_eq!(fs::read(&path).unwrap(), b"short");
        let (other, _) = drafts.write(b"another").unwrap();
        assert_ne!(other, path);
        drafts.keep([path, other]);
        drafts.clear();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the example");
    }

    #[test]
    fn a_file_that_others_know_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let drafts = drafts(folder.path());
        let kept = |change: fn(&Path, &Path)| {
            let (path, _) = drafts.write(b"old").unwrap();
            change(&path, &folder.path().join("copy"));
            drafts.keep([path]);
            drafts.write(b"new").unwrap()
        };
        kept(|path, copy| fs::hard_link(path, copy).unwrap());
        assert_eq!(fs::read(folder.path().join("copy")).unwrap(), b"old");
        let (_, file) = kept(|path, _| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap());
        assert_eq!(FileOwner::of(&file).unwrap(), (drafts.own, 1));
        kept(|path, _| fs::remove_file(path).unwrap());
    }
}
