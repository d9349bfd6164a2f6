//! The files of an unpacked container image as all that a program sees: its root.
//!
//! The mounts are those of the program's own namespace, so that nothing of them is seen outside, and they end with it. The
//! image is mounted read-only, without its devices and the rights of its setuid programs; what was mounted before is
//! detached. `/dev` has a few devices and an empty `/dev/shm`. The program's folder is `/tmp`, which every image has.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{
    MNT_DETACH, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT, c_int, c_ulong,
};

use super::confinement;

/// The program's folder, as the program sees it.
pub const FOLDER: &str = "/tmp";

/// The place for memory that its processes share, as the program sees it.
pub const SHARED_MEMORY: &CStr = c"/dev/shm";

/// Folders of a root that are mounted over.
const COVERED: [&str; 3] = ["proc", "dev", "tmp"];

const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// Names below `/dev`, and what they lead to.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// A root, ready to be entered in the child.
pub struct ProgramRoot {
    root: CString,
    folder: CString,
    proc: CString,
    dev: CString,
    tmp: CString,
    shared_memory: CString,
    /// Devices outside, and their files in the root.
    devices: Vec<(CString, CString)>,
    /// What links lead to, and the links.
    links: Vec<(CString, CString)>,
}

/// The reason why a folder cannot be a root.
#[derive(Debug, thiserror::Error)]
pub enum ProgramRootError {
    #[error("the root {0:?} is not the absolute path of a folder below /")]
    Place(PathBuf),
    #[error("the root's folder {folder:?} cannot be used: {source}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("flow's user can make no namespaces here, which a root needs")]
    NoNamespaces,
}

/// Checks that a folder can be the root of a program.
///
/// # Errors
/// The reason why it cannot.
pub fn check_root(root: &Path) -> Result<(), ProgramRootError> {
    let is_all = || fs::canonicalize(root).is_ok_and(|root| root.parent().is_none());
    if !root.is_absolute() || is_all() {
        return Err(ProgramRootError::Place(root.to_owned()));
    }
    let folders = COVERED.map(|covered| root.join(covered));
    for folder in [root.to_owned()].into_iter().chain(folders) {
        // A link would lead out of the image.
        let found = fs::symlink_metadata(&folder).and_then(|found| match found.is_dir() {
            true => Ok(()),
            false => Err(io::ErrorKind::NotADirectory.into()),
        });
        found.map_err(|source| ProgramRootError::Folder { folder, source })?;
    }
    let plan = confinement::namespaces().filter(|plan| plan.has_own_proc);
    plan.map(drop).ok_or(ProgramRootError::NoNamespaces)
}

impl ProgramRoot {
    /// # Errors
    /// A path has a zero byte.
    pub fn new(root: &Path, folder: &Path) -> io::Result<ProgramRoot> {
        let text = |path: &Path| Ok::<_, io::Error>(CString::new(path.as_os_str().as_bytes())?);
        let dev = root.join("dev");
        let outside = Path::new("/dev");
        let devices = DEVICES.iter().map(|name| Ok((text(&outside.join(name))?, text(&dev.join(name))?)));
        let links = LINKS.iter().map(|(name, to)| Ok((text(Path::new(to))?, text(&dev.join(name))?)));
        Ok(ProgramRoot {
            root: text(root)?,
            folder: text(folder)?,
            proc: text(&root.join("proc"))?,
            tmp: text(&root.join("tmp"))?,
            shared_memory: text(&dev.join("shm"))?,
            dev: text(&dev)?,
            devices: devices.collect::<io::Result<_>>()?,
            links: links.collect::<io::Result<_>>()?,
        })
    }

    /// Makes it the root of this process, and of all others in its mount namespace, and its folder the working directory.
    /// Makes system calls only.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn enter(&self) -> io::Result<()> {
        bind(&self.root, &self.root, MS_RDONLY | MS_NOSUID | MS_NODEV)?;
        self.fill_dev()?;
        mount(Some(c"/proc"), &self.proc, None, MS_BIND | MS_REC, None)?;
        bind(&self.folder, &self.tmp, MS_NOSUID | MS_NODEV)?;
        // SAFETY: the strings end with a zero and live through the calls.
        unsafe {
            called(libc::chdir(self.root.as_ptr()))?;
            let (new, old) = (c".".as_ptr(), c".".as_ptr());
            called(libc::syscall(libc::SYS_pivot_root, new, old) as c_int)?;
            // The old root lies over the new one now.
            called(libc::umount2(c".".as_ptr(), MNT_DETACH))?;
            called(libc::chdir(c"/tmp".as_ptr()))
        }
    }

    fn fill_dev(&self) -> io::Result<()> {
        const KIND: Option<&CStr> = Some(c"tmpfs");
        mount(KIND, &self.dev, KIND, MS_NOSUID | MS_NOEXEC, Some(c"mode=0755,size=64k"))?;
        for (outside, device) in &self.devices {
            // SAFETY: the string ends with a zero; the number is that of a file of our own, which is closed at once.
            unsafe {
                let file = libc::open(device.as_ptr(), libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC, 0o600);
                called(file)?;
                libc::close(file);
            }
            // Read-only are its mode and owner, which are the machine's.
            bind(outside, device, MS_RDONLY | MS_NOSUID | MS_NOEXEC)?;
        }
        for (to, link) in &self.links {
            // SAFETY: the strings end with a zero and live through the call.
            called(unsafe { libc::symlink(to.as_ptr(), link.as_ptr()) })?;
        }
        // SAFETY: the string ends with a zero and lives through the call.
        called(unsafe { libc::mkdir(self.shared_memory.as_ptr(), 0o700) })?;
        let flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
        mount(KIND, &self.shared_memory, KIND, flags, Some(c"mode=1777,size=256m"))
    }
}

/// Mounts a file or folder at a second place, with these flags.
fn bind(from: &CStr, place: &CStr, flags: c_ulong) -> io::Result<()> {
    mount(Some(from), place, None, MS_BIND, None)?;
    mount(None, place, None, MS_BIND | MS_REMOUNT | flags, None)
}

fn mount(
    from: Option<&CStr>,
    place: &CStr,
    kind: Option<&CStr>,
    flags: c_ulong,
    options: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the strings end with a zero and live through the call.
    called(unsafe {
        libc::mount(pointer(from), place.as_ptr(), pointer(kind), flags, pointer(options).cast())
    })
}

fn called(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
