//! A folder held open. Names are resolved in it, even if its path changes meanwhile, and links out of it are
//! not followed: write access to a watched folder must not allow making flow read or delete files elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

pub struct FolderHandle(OwnedFd);

/// Kind of a folder entry.
pub enum EntryKind {
    Folder,
    File(FileStamp),
    /// Anything else: a link, a pipe, a device.
    Odd,
}

/// Size and modification time, by which a change of a file is noticed. Network shares offer nothing better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    pub size: u64,
    seconds: i64,
    nanoseconds: u64,
}

impl FileStamp {
    /// Time since the last change; `None` if the clock of a share is ahead.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let seconds = u64::try_from(self.seconds).ok()?;
        now.duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).ok()
    }
}

/// The flags for opening. Without NONBLOCK, opening a pipe would block.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl FolderHandle {
    /// Opens a folder; links in the path to it are followed.
    pub fn open(path: &Path) -> io::Result<FolderHandle> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(FolderHandle(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    pub fn below(&self, name: &OsStr) -> io::Result<FolderHandle> {
        Ok(FolderHandle(rustix::fs::openat(&self.0, name, READ | OFlags::DIRECTORY, Mode::empty())?))
    }

    /// A folder below, made if it is not there.
    pub fn made_below(&self, name: &OsStr) -> io::Result<FolderHandle> {
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => self.below(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Names of the folder's entries, at most `most` of them.
    pub fn names(&self, most: usize) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
            if names.len() >= most {
                break;
            }
        }
        Ok(names)
    }

    /// `None` if nothing has this name (any more).
    pub fn look_at(&self, name: &OsStr) -> io::Result<Option<EntryKind>> {
        let stat = match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => EntryKind::Folder,
            FileType::RegularFile => EntryKind::File(mark(&stat)),
            _ => EntryKind::Odd,
        }))
    }

    pub fn read(&self, name: &OsStr) -> io::Result<File> {
        Ok(File::from(rustix::fs::openat(&self.0, name, READ, Mode::empty())?))
    }

    pub fn write(&self, name: &OsStr, text: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o666))?;
        File::from(file).write_all(text.as_bytes())
    }

    pub fn rename(&self, name: &OsStr, to: &FolderHandle, new: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, name, &to.0, new)?)
    }

    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }
}

/// Whether another program has locked the file against reading (`flock`, `fcntl`). On a file system without
/// locks it never has.
pub fn is_locked(file: &File) -> bool {
    let wanted = Flock::from(FlockType::ReadLock);
    if fcntl_getlk(file, &wanted).is_ok_and(|lock| lock.is_some()) {
        return true;
    }
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Err(error) => error == Errno::WOULDBLOCK,
        Ok(()) => {
            // If this fails, closing the file ends the lock.
            let _ = rustix::fs::flock(file, FlockOperation::NonBlockingUnlock);
            false
        }
    }
}

/// Whether nothing has been written at the end of a file: some programs set a file's length first, above all
/// copies over a network share. On a file system that does not know its holes this is never seen.
pub fn has_unwritten_end(file: &File, size: u64) -> bool {
    let last = size.saturating_sub(1);
    // Past the last data there is none to be found.
    size > 0 && rustix::fs::seek(file, SeekFrom::Data(last)) == Err(Errno::NXIO)
}

/// The mark of an open file.
pub fn mark_of(file: &File) -> io::Result<FileStamp> {
    Ok(mark(&rustix::fs::fstat(file)?))
}

fn mark(stat: &Stat) -> FileStamp {
    #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
    let (size, seconds, nanoseconds) = (stat.st_size as u64, stat.st_mtime as i64, stat.st_mtime_nsec as u64);
    FileStamp { size, seconds, nanoseconds }
}
