//! What a power cut takes away: data that was not synced, and names in folders that were not.
//!
//! The strict reading of POSIX. Bytes behind the length that a file had when it was last synced are
//! lost; a name made, moved or removed is as it was before, unless its folder has been synced since.
//! Bytes written over others stay. What is mapped into memory is not seen.

use std::collections::HashMap;
use std::ffi::c_int;
use std::fs::{self, Metadata, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::name::Operation;
use crate::{SIGKILL, getpid, kill, pause};

unsafe extern "C" {
    fn fork() -> c_int;
    fn getppid() -> c_int;
    fn close(file: c_int) -> c_int;
}

#[derive(Default)]
struct Cache {
    files: HashMap<Identity, Unsynced>,
    /// In the order in which they were made.
    names: Vec<Change>,
    /// Numbers the files that are kept.
    kept: usize,
}

/// A file that was written to since it was last synced, or never was.
struct Unsynced {
    paths: Vec<PathBuf>,
    safe_bytes: u64,
}

/// A change of a folder that was not synced since.
struct Change {
    folder: Option<Identity>,
    undo: Undo,
}

/// Device and inode.
type Identity = (u64, u64);

enum Undo {
    Remove(PathBuf),
    RemoveFolder(PathBuf),
    MakeFolder(PathBuf),
    /// From where it is to where it was.
    Move(PathBuf, PathBuf),
}

/// What has to be known before an operation to note it afterwards.
#[derive(Default)]
pub struct Before {
    file: Option<Metadata>,
    /// Where another link of a file is that now goes away.
    kept: Option<PathBuf>,
}

/// Looks at what an operation is about to change.
pub fn before(operation: &Operation, keep: &Path) -> Before {
    let goes = matches!(operation.kind, "remove" | "rename");
    Before {
        file: fs::metadata(&operation.path).ok(),
        kept: goes.then(|| cache().keep(&operation.path, keep)).flatten(),
    }
}

/// Notes an operation that has been done.
pub fn after(operation: &Operation, before: Before) {
    let mut cache = cache();
    match (operation.kind, before.file) {
        ("write" | "copy" | "truncate", Some(file)) => cache.written(&operation.path, &file),
        ("sync", Some(file)) => cache.synced(&file),
        ("syncfs", _) => cache.all_synced(),
        _ => cache.renamed(operation, before.kept),
    }
}

/// Ends this process and leaves on the disk what is safe, and no more. Another process does it, when
/// nothing of this one is left that might go on; it keeps the standard streams open until it is done.
pub fn cut() -> ! {
    // Whoever holds it at the fork would never let go of it.
    let cache = cache();
    let process = unsafe { getpid() };
    if unsafe { fork() } != 0 {
        end(process)
    }
    unsafe { kill(process, SIGKILL) };
    // An orphan is given to another parent.
    while unsafe { getppid() } == process {
        std::thread::yield_now();
    }
    CUTS.store(true, Ordering::Relaxed);
    cache.take_away();
    // What is locked is free before anybody is told that this is over.
    (3..FILES_MAX).for_each(|file| _ = unsafe { close(file) });
    end(unsafe { getpid() })
}

static CUTS: AtomicBool = AtomicBool::new(false);

/// Whether this process takes away what was not synced: what it does is not looked at.
pub fn cuts() -> bool {
    CUTS.load(Ordering::Relaxed)
}

/// More files than these are not open.
const FILES_MAX: c_int = 4096;

fn end(process: c_int) -> ! {
    unsafe { kill(process, SIGKILL) };
    loop {
        unsafe { pause() };
    }
}

fn shorten(file: &fs::File, bytes: u64) -> std::io::Result<()> {
    if file.metadata()?.len() > bytes { file.set_len(bytes) } else { Ok(()) }
}

fn cache() -> MutexGuard<'static, Cache> {
    static CACHE: OnceLock<Mutex<Cache>> = OnceLock::new();
    CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    fn take_away(&self) {
        let paths =
            self.files.values().flat_map(|file| file.paths.iter().map(|path| (path, file.safe_bytes)));
        for (path, bytes) in paths {
            // What cannot be taken back here has gone another way.
            let _ = OpenOptions::new().write(true).open(path).and_then(|file| shorten(&file, bytes));
        }
        self.names.iter().rev().for_each(|name| name.undo.apply());
    }

    /// Makes another link to a file.
    fn keep(&mut self, path: &Path, folder: &Path) -> Option<PathBuf> {
        self.kept += 1;
        let kept = folder.join(self.kept.to_string());
        fs::hard_link(path, &kept).ok().map(|()| kept)
    }

    fn written(&mut self, path: &Path, before: &Metadata) {
        let unsynced = Unsynced { paths: vec![path.to_owned()], safe_bytes: before.len() };
        self.files.entry(identity(before)).or_insert(unsynced);
    }

    fn synced(&mut self, before: &Metadata) {
        // What was written meanwhile may not be safe; that is passed over.
        self.files.remove(&identity(before));
        let folder = Some(identity(before));
        while let Some(index) = self.names.iter().position(|name| name.folder == folder) {
            let mut later = self.names.split_off(index);
            if let Undo::Move(to, from) = later.remove(0).undo {
                // It is safe where it is now, and what was done below it before is found there.
                self.names.retain(|name| !name.undo.unmakes(&from));
                let paths = self.names.iter_mut().flat_map(|name| name.undo.paths());
                paths.for_each(|path| follow(path, &from, &to));
            }
            self.names.append(&mut later);
        }
    }

    /// All folders of a plan are on one file system.
    fn all_synced(&mut self) {
        self.files.clear();
        self.names.clear();
    }

    fn renamed(&mut self, operation: &Operation, kept: Option<PathBuf>) {
        let path = &operation.path;
        let replaced = kept.map(|kept| Undo::Move(kept, path.clone()));
        let undo = match (operation.kind, &operation.from) {
            ("create", _) => Some(Undo::Remove(path.clone())),
            ("link", _) => Some(Undo::Remove(path.clone())),
            ("mkdir", _) => Some(Undo::RemoveFolder(path.clone())),
            ("rmdir", _) => Some(Undo::MakeFolder(path.clone())),
            ("rename", Some(from)) => Some(Undo::Move(path.clone(), from.clone())),
            _ => None,
        };
        self.follow(operation);
        let folder =
            path.parent().and_then(|folder| fs::metadata(folder).ok()).map(|folder| identity(&folder));
        self.names.extend(replaced.into_iter().chain(undo).map(|undo| Change { folder, undo }));
    }

    /// Keeps in mind where the unsynced files are.
    fn follow(&mut self, operation: &Operation) {
        let Operation { kind, path, from, .. } = operation;
        let Some(file) = fs::metadata(path).ok().map(|file| identity(&file)) else { return };
        match (*kind, from) {
            // An inode that another file had before.
            ("create", _) => _ = self.files.remove(&file),
            ("link", _) => {
                self.files.get_mut(&file).into_iter().for_each(|file| file.paths.push(path.clone()))
            }
            ("rename", Some(from)) => {
                let paths = self.files.values_mut().flat_map(|file| &mut file.paths);
                paths.for_each(|one| follow(one, from, path));
            }
            _ => {}
        }
    }
}

/// A path at or below one folder becomes one at or below another.
fn follow(path: &mut PathBuf, from: &Path, to: &Path) {
    if let Ok(below) = path.strip_prefix(from) {
        *path = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
    }
}

impl Undo {
    fn apply(&self) {
        // What was made and is gone again needs no undoing.
        let _ = match self {
            Undo::Remove(path) => fs::remove_file(path),
            Undo::RemoveFolder(path) => fs::remove_dir_all(path),
            Undo::MakeFolder(path) => fs::create_dir(path),
            Undo::Move(from, to) => fs::rename(from, to),
        };
    }

    fn unmakes(&self, made: &Path) -> bool {
        matches!(self, Undo::Remove(path) | Undo::RemoveFolder(path) if path == made)
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Undo::Remove(path) | Undo::RemoveFolder(path) | Undo::MakeFolder(path) => vec![path],
            Undo::Move(from, to) => vec![from, to],
        }
    }
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}
