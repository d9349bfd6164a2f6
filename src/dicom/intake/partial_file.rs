//! A file being received, and the files that are made for it beforehand.
//!
//! An instance is durable when its bytes are, and a name for them. A name costs a sync of its folder, so names
//! are made in batches: [`SpareFiles`] makes empty files and syncs their folder once. A received file is then
//! synced once, marked with the digest of its content, and moved to its place without another sync. If the
//! power fails before its new name is on the disk, the file is found under the old one, and the mark says
//! that it is whole. This relies on file systems where a power cut leaves a moved file under its old name or
//! its new one, as those with a journal do.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::dicom_file::content::{ContentDigester, FileContent};
use crate::dicom_file::part10::FileHead;
use crate::step::Digest;
use crate::store::begin_writing;

/// A file that is being received. It is removed when this is dropped, unless it was moved to its place.
pub(in crate::dicom) struct PartialFile {
    file: File,
    path: PathBuf,
    digester: ContentDigester,
    beginning: Vec<u8>,
    size: u64,
    /// The number of bytes whose writing to disk has been started.
    begun: u64,
    /// Its preamble was written here and takes a mark.
    takes_mark: bool,
}

/// The bytes after which writing to disk is started, so that the disk works while the rest of the file
/// arrives.
const PIECE_BYTES: u64 = 128 << 10;

/// The bytes at the beginning of a file that stay in memory for its header. A longer header is read from the
/// file again.
const BEGINNING_BYTES: usize = 128 << 10;

/// How a synced file would be found after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum SyncedUnder {
    /// Under the name that it has while it is received: its mark says that it is whole.
    AnyName,
    /// Only in its place, once the folder of that is synced.
    ItsPlace,
}

impl PartialFile {
    /// Writes a head that was made here, so that its preamble can take a mark.
    pub fn write_head(&mut self, head: &FileHead) -> io::Result<()> {
        self.takes_mark = self.size == 0;
        self.write(&head.encode())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.size)?;
        self.digester.update(bytes);
        let wanted = bytes.len().min(BEGINNING_BYTES - self.beginning.len());
        self.beginning.extend_from_slice(&bytes[..wanted]);
        self.size += bytes.len() as u64;
        if self.size - self.begun >= PIECE_BYTES {
            begin_writing(&self.file, self.begun, self.size - self.begun);
            self.begun = self.size;
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The content of the file, which is complete.
    pub fn content(&mut self) -> FileContent {
        std::mem::take(&mut self.digester).finish()
    }

    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// Whether the whole file is in memory.
    pub fn is_short(&self) -> bool {
        self.size == self.beginning.len() as u64
    }

    /// Leaves the file without a mark: it is found in its place only.
    pub fn without_mark(mut self) -> PartialFile {
        self.takes_mark = false;
        self
    }

    /// Syncs the file to disk, marked with the digest of its content where that is possible.
    pub fn sync(&self, content: Digest) -> io::Result<SyncedUnder> {
        if self.takes_mark {
            self.file.write_all_at(&mark(content), 0)?;
        }
        self.file.sync_data()?;
        Ok(if self.takes_mark { SyncedUnder::AnyName } else { SyncedUnder::ItsPlace })
    }

    /// Moves the file, which has been synced, into a study's folder. It replaces a file of the same name.
    pub fn put(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // After it was moved there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

/// The mark's first bytes. It stands in the preamble, which PS3.10 7.1 leaves to programs; the digest of the
/// file's content follows.
const MARK: &[u8; 16] = b"flow: is whole \0";
const MARK_BYTES: usize = 16 + 32;

fn mark(content: Digest) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..16].copy_from_slice(MARK);
    bytes[16..].copy_from_slice(content.as_bytes());
    bytes
}

/// Whether a file has a mark, and its content has the digest in the mark.
fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut begins = Vec::new();
    file.by_ref().take(MARK_BYTES as u64).read_to_end(&mut begins)?;
    if !begins.starts_with(MARK) || begins.len() < MARK_BYTES {
        return Ok(false);
    }
    let mut digester = ContentDigester::default();
    digester.update(&begins);
    io::copy(&mut file, &mut digester)?;
    let content = digester.finish();
    Ok(content.missing.is_none() && begins == mark(content.digest))
}

/// The folder of files that are being received, with empty files whose names are on the disk.
pub(in crate::dicom) struct SpareFiles {
    folder: PathBuf,
    state: Mutex<SpareState>,
}

#[derive(Default)]
struct SpareState {
    /// Number of the next file.
    next: u64,
    /// Files to be made at once, when more are needed.
    batch: usize,
    spare: Vec<(File, PathBuf)>,
}

/// The most files that are made at once: with more, a sync's share of each would hardly shrink.
const BATCH_MAX: usize = 32;

impl SpareFiles {
    /// Removes files that an earlier process had not received completely.
    pub fn open(folder: PathBuf) -> io::Result<SpareFiles> {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if !is_whole(&path)? {
                fs::remove_file(path)?;
            }
        }
        Ok(SpareFiles { folder, state: Mutex::default() })
    }

    pub fn begin(&self) -> io::Result<PartialFile> {
        let mut state = self.lock();
        if state.spare.is_empty() {
            self.make(&mut state)?;
        }
        let (file, path) = state.spare.pop().expect("at least one was made");
        let digester = ContentDigester::default();
        let beginning = Vec::new();
        Ok(PartialFile { file, path, digester, beginning, size: 0, begun: 0, takes_mark: false })
    }

    /// Makes some files, twice as many each time, so that a single instance does not cost many.
    fn make(&self, state: &mut SpareState) -> io::Result<()> {
        state.batch = (state.batch * 2).clamp(1, BATCH_MAX);
        let mut made = Vec::new();
        while made.len() < state.batch {
            let path = self.folder.join(format!("{}.part", state.next));
            state.next += 1;
            match File::create_new(&path) {
                Ok(file) => made.push((file, path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    remove(&made);
                    return Err(error);
                }
            }
        }
        if let Err(error) = sync_folder(&self.folder) {
            remove(&made);
            return Err(error);
        }
        // The last one first: they are taken in the order of their numbers.
        state.spare.extend(made.into_iter().rev());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, SpareState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SpareFiles {
    fn drop(&mut self) {
        remove(&self.lock().spare);
    }
}

/// What is not removed is empty, and removed by the next process.
fn remove(files: &[(File, PathBuf)]) {
    for (_, path) in files {
        let _ = fs::remove_file(path);
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("incoming");
        fs::create_dir(&folder).unwrap();
        (root, folder)
    }

    fn file(number: u8) -> (FileHead, Vec<u8>) {
        let head = FileHead { sop_class_uid: "1.2".to_owned(), ..FileHead::default() };
        (head, [b"\x08\0\x18\0\x04\0\0\x001.2".as_slice(), &[number]].concat())
    }

    #[test]
    fn what_was_synced_is_found_under_its_old_name_and_nothing_else_is() {
        let (_root, folder) = incoming();
        let spare = SpareFiles::open(folder.clone()).unwrap();
        let parts: Vec<PartialFile> = (0..3)
            .map(|number| {
                let (head, data_set) = file(number);
                let mut part = spare.begin().unwrap();
                part.write_head(&head).unwrap();
                part.write(&data_set).unwrap();
                part
            })
            .collect();
        let [whole, changed, unsynced] = parts.try_into().unwrap_or_else(|_| panic!("there are three"));
        for mut part in [whole, changed] {
            let content = part.content().digest;
            assert_eq!(part.sync(content).unwrap(), SyncedUnder::AnyName);
            std::mem::forget(part);
        }
        std::mem::forget(unsynced);
        std::mem::forget(spare);
        let path = |number: usize| folder.join(format!("{number}.part"));
        let mut bytes = fs::read(path(1)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path(1), bytes).unwrap();
        SpareFiles::open(folder.clone()).unwrap();
        assert_eq!([0, 1, 2, 3].map(|number| path(number).exists()), [true, false, false, false]);
    }

    #[test]
    fn a_file_with_a_head_of_its_own_is_not_marked() {
        let (root, folder) = incoming();
        let spare = SpareFiles::open(folder).unwrap();
        let mut part = spare.begin().unwrap();
        part.write(&file(1).0.encode()).unwrap();
        let content = part.content().digest;
        assert_eq!(part.sync(content).unwrap(), SyncedUnder::ItsPlace);
        let place = root.path().join("place.dcm");
        part.put(&place).unwrap();
        assert_eq!(fs::read(place).unwrap(), file(1).0.encode());
    }
}
