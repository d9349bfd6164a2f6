//! The folders that a program may write, where all other files are mounted read-only.
//!
//! Landlock does not know the rights to change the mode, the owner, the times and the attributes of a file. On a read-only
//! mount, nobody has them, and nothing is written on a kernel without Landlock either. The mounts are those of the
//! program's namespace: nothing of them is seen outside.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{AT_FDCWD, c_int, c_long, c_uint};

/// Folders and files that stay as they are, with what is mounted below them.
#[derive(Default)]
pub struct WritablePlaces {
    folder: CString,
    places: Vec<WritablePlace>,
}

struct WritablePlace {
    path: CString,
    /// A copy of its mounts, which is nowhere yet.
    mounts: Option<OwnedFd>,
}

/// As in `linux/mount.h`.
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 4;

static READ_ONLY: libc::mount_attr =
    libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };

impl WritablePlaces {
    /// The folder of a program and what is granted to it. What is not there is left out.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn new(folder: &Path, grants: &[PathBuf]) -> io::Result<WritablePlaces> {
        let text = |path: PathBuf| Ok::<_, io::Error>(CString::new(path.as_os_str().as_bytes())?);
        let folder = folder.canonicalize()?;
        let granted = grants.iter().filter_map(|path| path.canonicalize().ok());
        let place = |path| Ok(WritablePlace { path: text(path)?, mounts: None });
        let places = granted.chain([folder.clone()]).map(place).collect::<io::Result<_>>()?;
        Ok(WritablePlaces { folder: text(folder)?, places })
    }

    /// Makes all mounts of this process's namespace read-only but these places, and the folder the working directory.
    /// Makes system calls only.
    ///
    /// # Errors
    /// The kernel is older than Linux 5.12, or does not allow it.
    pub fn keep(&mut self) -> io::Result<()> {
        self.places.iter_mut().try_for_each(WritablePlace::copy)?;
        let (flags, bytes) = (libc::AT_RECURSIVE, size_of::<libc::mount_attr>());
        let root = c"/".as_ptr();
        // SAFETY: the string ends with a zero, and the kernel only reads the attributes.
        checked(unsafe {
            libc::syscall(libc::SYS_mount_setattr, AT_FDCWD, root, flags, &raw const READ_ONLY, bytes)
        })?;
        self.places.iter_mut().try_for_each(WritablePlace::mount)?;
        // SAFETY: the string ends with a zero and lives through the call.
        checked(unsafe { libc::chdir(self.folder.as_ptr()) }.into()).map(drop)
    }
}

impl WritablePlace {
    fn copy(&mut self) -> io::Result<()> {
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as c_uint;
        // SAFETY: the string ends with a zero, and the number that comes back is that of a file of our own.
        self.mounts = Some(unsafe {
            let number = libc::syscall(libc::SYS_open_tree, AT_FDCWD, self.path.as_ptr(), flags);
            OwnedFd::from_raw_fd(checked(number)? as c_int)
        });
        Ok(())
    }

    fn mount(&mut self) -> io::Result<()> {
        let Some(mounts) = self.mounts.take() else { return Ok(()) };
        let (from, nothing, path) = (mounts.as_raw_fd(), c"".as_ptr(), self.path.as_ptr());
        let flags = MOVE_MOUNT_F_EMPTY_PATH;
        // SAFETY: the strings end with a zero and live through the call.
        checked(unsafe { libc::syscall(libc::SYS_move_mount, from, nothing, AT_FDCWD, path, flags) })
            .map(drop)
    }
}

fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
